//! Translates between proto3's canonical JSON and the bytes of a message.
//!
//! The generated code contributes constant tables of messages and enums; reading and writing are
//! written once, over those tables, straight from one form to the other.

mod table;
mod read;
mod write;
mod number;
mod time;
mod mask;
#[cfg(test)]
mod tests;

use std::{error::Error, fmt};

pub(crate) use self::read::read;
pub(crate) use self::table::{Enum, Field, Kind, Message, Shape};
pub(crate) use self::write::write;

/// Translates an RPC's messages.
#[derive(Debug)]
pub struct Json {
    /// Turns a request's JSON text into its protobuf bytes.
    ///
    /// Unknown fields are ignored and null is absence; a field given twice, a wrong type, a number
    /// out of range and more than 127 levels of nesting are refused.
    pub request: fn(&[u8]) -> Result<Vec<u8>, JsonError>,
    /// Turns an answer's protobuf bytes into its JSON text.
    pub response: fn(&[u8]) -> Result<Vec<u8>, JsonError>,
}

/// A text that is not the JSON of its message, or bytes that have no JSON.
///
/// The source says where and why; it quotes nothing of the text.
#[derive(Debug)]
pub struct JsonError(Box<dyn Error + Send + Sync>);

// === impl JsonError ===

impl JsonError {
    fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the message and its JSON do not translate")
    }
}

impl Error for JsonError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let cause: &(dyn Error + 'static) = self.0.as_ref();
        Some(cause)
    }
}
