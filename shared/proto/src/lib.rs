//! The contracts of `proto/` as Rust: messages, clients, servers, and what each RPC's rule says.
//!
//! `build.rs` has `contract` read every .proto file, refuse what is unfit, and write four things:
//! the messages with tonic's clients and servers, one module per package; the table [`METHODS`];
//! per message, its checks and its JSON form, as straight code and constant tables; and the
//! [`descriptors`] themselves, for whoever asks what is served.
//! Nothing is reflected on at run time.
//!
//! Three types matter to a reader: [`Method`] describes an RPC, [`Check`] finds what a request
//! breaks, and [`Codec`] is where tonic meets both.

mod method;
mod health;
mod reflection;
pub mod descriptors;
mod check;
mod codec;
mod json;

pub use crate::check::{Check, Invalid, VIOLATIONS_MAX, Violation, Violations, check};
pub use crate::codec::{Codec, Decoder, Undecodable};
pub use crate::json::{Json, JsonError};
pub use crate::method::{Access, Kind, Method, Mutation, Priority, Rate, Rule, method};
pub use crate::tables::generated::METHODS;

/// A generated server, which takes what the chassis allows.
pub trait Bounded: Sized {
    /// Reads messages of up to so many bytes, plain or compressed with gzip or zstd; a compressed
    /// one is bounded by what it unpacks to.
    #[must_use]
    fn bounded(self, message_bytes_max: usize) -> Self;
}

include!(concat!(env!("OUT_DIR"), "/contracts/packages.rs"));

mod tables {
    include!(concat!(env!("OUT_DIR"), "/contracts/tables.rs"));
}

include!(concat!(env!("OUT_DIR"), "/foreign/packages.rs"));

mod foreign_tables {
    include!(concat!(env!("OUT_DIR"), "/foreign/tables.rs"));
}

// A contract of no product, which has every kind of field and rule that the generator knows.
#[cfg(test)]
include!(concat!(env!("OUT_DIR"), "/probe/packages.rs"));

#[cfg(test)]
mod probe_tables {
    include!(concat!(env!("OUT_DIR"), "/probe/tables.rs"));
}
