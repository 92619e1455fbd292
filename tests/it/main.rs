//! End-to-end tests: every function, from its contract inwards; and the rules of the house.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by unwrapping it")]

mod tidy;
mod documents;
mod auth;
mod user;
mod watch;
mod erase;
mod wire;
mod identity;
mod attacks;
mod revocation;
mod once;
mod database;
mod roles;
mod process;
mod reflection;
mod evolution;
mod random;
mod faults;
mod conformance;
mod deadlines;
mod call;
mod outbound;
mod dev;
mod grpcio;
mod javascript;
mod fly;
mod limits;
