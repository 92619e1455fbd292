//! The faults of `cargo run --release -p tests --bin faults`, small, against the debug binary.

use tests::faults::{Field, Size, cases};

use crate::process::program::USER;

/// Tries the case of this name.
async fn holds(name: &str) {
    let case = cases().into_iter().find(|case| case.name == name).expect("there is such a case");
    let field = Field::new(USER.into(), Size::Short).await;
    let seen = case.run(&field).await;
    assert!(seen.wrong.is_empty(), "{name}: expected {}; wrong: {:#?}; {}", case.expected, seen.wrong, seen.line());
}

