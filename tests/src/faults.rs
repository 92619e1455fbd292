//! Faults, each tried against a function's binary: what is expected of it, and what is seen.
//!
//! `cargo run --release -p tests --bin faults` runs them at their full size and prints a table; the
//! suite runs the same ones small.

mod field;
pub(crate) mod frame;
mod neighbour;
pub(crate) mod peer;
mod floods;
mod slow;
mod windows;
mod heads;
mod bombs;
mod crowds;
mod cable;
mod stops;
mod sleeps;
mod restarts;
mod rolling;
mod drains;
mod writes;
mod migrations;
mod memory;
mod expired;
mod cancels;
mod writers;
mod outages;
mod rounds;
mod conflicts;

use std::{future::Future, pin::Pin};

pub use field::{Field, Seen, Size, Verdict};

/// A fault that is tried.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What it is called.
    pub name: &'static str,
    /// What is expected of the server.
    pub expected: &'static str,
    run: for<'f> fn(&'f Field) -> Run<'f>,
}

type Run<'f> = Pin<Box<dyn Future<Output = Seen> + Send + 'f>>;

impl Case {
    /// Tries it.
    pub async fn run(&self, field: &Field) -> Seen {
        (self.run)(field).await
    }
}

/// Every case, in the order of the table.
pub fn cases() -> Vec<Case> {
    [
        floods::CASES,
        slow::CASES,
        windows::CASES,
        heads::CASES,
        bombs::CASES,
        crowds::CASES,
        cable::CASES,
        stops::CASES,
        sleeps::CASES,
        restarts::CASES,
        rolling::CASES,
        drains::CASES,
        writes::CASES,
        migrations::CASES,
        memory::CASES,
        expired::CASES,
        cancels::CASES,
        outages::CASES,
        rounds::CASES,
        conflicts::CASES,
    ]
    .concat()
}
