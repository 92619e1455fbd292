//! Postgres as a function sees it: a [`Pool`] that never waits long and leaves nothing running,
//! transactions, and mutations that happen exactly once.
//!
//! Store functions take `impl PgExecutor<'_>`: `&Pool` is one, and so is the [`Tx`] of a
//! transaction. A query that is dropped midway (the deadline passed, the client left) takes its
//! connection out of the pool and is cancelled in Postgres.

mod answer;
mod cancel;
mod connect;
mod error;
mod executor;
mod health;
mod lease;
mod once;
mod pool;
mod secret;
mod settings;
mod sweep;
mod transaction;
mod tries;

pub use error::{Error, OnConstraint, Result};
pub use health::Standing;
pub use pool::{Pool, State};
pub use settings::Settings;
pub use sweep::Sweeper;
pub use transaction::Tx;
