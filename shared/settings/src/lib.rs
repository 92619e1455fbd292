//! Typed settings from the environment, and from the file named by `MAYFLY_CONFIG` under it.
//!
//! Each part of the house declares its settings where it reads them, in a small struct beside what
//! they set. A [`Reader`] collects every fault before the process gives up, and remembers what was
//! declared, so that the documented table is made from the same lines.

mod env;
mod reader;
mod secret;
#[cfg(fuzzing)]
pub mod fuzzing;

pub use env::{Env, Error};
pub use reader::{Declared, Need, Problem, Problems, Reader, Setting};
pub use secret::Secret;
