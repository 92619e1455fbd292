//! What stands between the wire and a handler: one file per layer, composed in [`stack`].
//!
//! A layer raises a small type of its own; only [`rescue`] turns what is [`raised`] into a status.

pub mod stack;
mod body;
mod held;
mod leftover;
mod trace;
mod cors;
mod protocols;
mod connect;
mod grpc_web;
mod compression;
mod rescue;
mod raised;
mod headers;
mod catch_panic;
mod deadline;
mod authenticate;
mod tenure;
mod places;
mod streams;
mod in_flight;
mod idempotency;
mod frames;
mod message;
mod peer;
#[cfg(fuzzing)]
pub mod fuzzing;

use protocols::essence;
use raised::Raised;

pub use catch_panic::install_hook;
pub use cors::Origins;
pub use headers::HEADERS_BYTES_MAX;
pub use held::{Held, Total};
pub use peer::{Peer, Proxy};
pub use stack::{Contract, Inbound, Stack, inbound};

/// A request, in gRPC's shape below `protocols`.
pub type Request = http::Request<tonic::body::Body>;

/// An answer, in gRPC's shape below `protocols`.
pub type Response = http::Response<tonic::body::Body>;
