//! A key set, as JWK or as certificates: whatever is taken of it can be checked with.

use crate::{ISSUER, NOW, PROJECT};
use identity::fuzzing::Keys;

/// By a key that nobody publishes.
const FORGED: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsxIn0.e30.AAAA";

pub(crate) fn run(data: &[u8]) {
    if let Some(keys) = Keys::parse(data) {
        assert!(keys.verify(FORGED, PROJECT, ISSUER, NOW).is_err());
    }
}
