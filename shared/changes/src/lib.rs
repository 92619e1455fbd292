//! The change log: what can be watched is appended where it changes, and told to those who watch.
//!
//! A writer appends in its transaction ([`Log::append`]), so that a change and its entry are there
//! together or not at all. A function answers a Watch with [`Log::watch`], for which it says, as a
//! [`Subject`], how things stand. Nobody who watches misses how something ended up or hears of a
//! version twice, over disconnects, restarts and drains: each message carries a cursor to go on from.
//!
//! - An entry says *that* something changed. What is told is how it stands when it is told: of two
//!   transactions that change one row, the first to begin may be the last to commit, so an entry
//!   that held the row would tell them in the wrong order. It would also outlive the right to see it.
//! - A reader goes no further than the oldest transaction that runs; see the migration.
//! - A process looks at the end of the log once for all who watch, when it is told to (by its own
//!   writers, or by LISTEN) and every second besides. Only those whose topics changed read, a few at
//!   a time, and only once their client has taken what it was sent.

mod cursor;
mod hub;
mod listen;
mod log;
mod store;
mod told;
mod watch;
#[cfg(fuzzing)]
pub mod fuzzing;

pub use hub::Hub;
pub use log::Log;
pub use watch::{Messages, Standing, Subject};
