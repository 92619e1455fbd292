//! The harness: a function behind its whole stack, on a database of its own, and people who call it.
//!
//! ```no_run
//! # async fn example() {
//! let app = tests::App::start().await;
//! let ada = app.person("ada");
//! let (status, profile) = ada.json("GetProfile", &serde_json::json!({})).await;
//! # }
//! ```
//!
//! One Postgres runs per test binary, under a watchdog that ends it however the binary ends, and
//! every [`App`] gets a copy of one migrated database. What a machine lacks is told by [`skip`],
//! and by [`leave_out`] where it need not have it.

mod app;
pub mod conformance;
mod cluster;
mod container;
mod errors;
pub mod faults;
pub mod flood;
mod options;
pub mod oracles;
mod others;
mod person;
mod proxy;
pub mod random;
mod server;
pub mod storm;
mod wait;
mod world;

pub use app::{App, AppBuilder};
pub use cluster::Cluster;
pub use errors::{Told, says_nothing_of_us, told};
pub use options::numbers;
pub use others::{interpreter, packages};
pub use person::{Answer, Person, keyed, with_key};
pub use proxy::{Fate, Proxy};
pub use server::Server;
pub use wait::until;
pub use world::{PROJECT, World, leave_out, print, skip, world};
