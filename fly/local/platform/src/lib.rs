//! The whole platform on one machine: Postgres, an issuer, every function.
//!
//! `cargo dev` is [`command::run`]; the tests' harness uses the parts.

pub mod command;
pub mod database;
pub mod issuer;
mod options;
mod report;
mod running;

pub use options::{Beginning, Options};
pub use running::{Error, Running};
