//! Every function, for those who host them in one process.

use chassis::Function;

/// The functions of the platform.
pub fn functions() -> Vec<Function> {
    vec![Function::new("auth", auth::service), Function::new("user", user::service)]
}
