//! The whole platform on one machine: Postgres, an issuer, every function.
//!
//! `cargo dev` is [`command::run`]; the tests' harness uses the parts.

pub mod command;
pub mod database;
pub mod issuer;
mod options;
mod report;
mod error;
mod running;
mod data;
mod functions;
mod watch;

pub use error::Error;
pub use options::{Beginning, Hosting, Options};
pub use running::Running;
