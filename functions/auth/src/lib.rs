//! Who people and machines are: signing in through Firebase, what ends a sign-in, and what is kept of
//! it here.
//!
//! Read [`mod@service`] first: one method per RPC, by theme below it. `model` holds the rules, `store`
//! the queries, `remote` what is asked of Firebase.

pub mod service;
mod model;
mod store;
mod remote;

pub use remote::Settings;
#[cfg(fuzzing)]
pub use remote::made_of;
pub use service::service;
