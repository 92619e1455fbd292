//! `cargo fly`: deploys functions to Fly.io through flyctl, and tells what runs there.
//!
//! Every call of flyctl is a list of arguments, never a line for a shell. What a deploy is made of
//! is checked before Fly is asked anything: see the crate `check`.

mod options;
mod command;
mod files;
mod flyctl;
mod machines;
mod release;
mod probe;
mod report;
pub mod documents;
mod restore;

pub use command::run;
pub use files::{Source, source, sources};
