//! What every function stands on: settings, telemetry, the pool, the layers, the server, the drain.
//!
//! A function's `main` is one call of [`run`]. The platform and the tests start the same thing in
//! their own process with [`Server::bind`].

mod function;
mod settings;
mod command;
mod process;
mod server;
mod parts;
mod watchdog;
mod accept;
mod connection;
mod tls;
mod preface;
mod guard;
mod stream;
mod health;
mod reflection;
mod services;
mod tasks;
mod internal;
mod owed;
#[cfg(fuzzing)]
pub mod fuzzing;

pub use command::Command;
pub use function::{Context, Function, Own, Ready, Served};
pub use process::{run, run_all};
pub use server::{Ended, Error, Server};
pub use settings::{Limits, Settings};
pub use tasks::Tasks;
pub use tls::Tls;
