//! An error as a client reads it: code, reason, violations, when to come back, request id.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// What an error tells.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Told {
    /// The gRPC code.
    pub code: Code,
    /// `ErrorInfo.reason`.
    pub reason: String,
    /// The paths of `BadRequest.field_violations`.
    pub fields: Vec<String>,
    /// `RetryInfo.retry_delay`.
    pub retry_delay: Option<Duration>,
}

/// Reads a status, and insists on what every error of ours carries.
#[track_caller]
pub fn told(status: &Status) -> Told {
    let info = status.get_details_error_info().expect("every error has an ErrorInfo");
    assert_eq!(info.domain, "mayfly");
    assert!(status.message().len() <= 120, "{:?}", status.message());
    assert!(status.metadata().contains_key("x-request-id"), "{:?}", status.metadata());
    says_nothing_of_us(status.message());
    says_nothing_of_us(&String::from_utf8_lossy(status.details()));
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations);
    Told {
        code: status.code(),
        reason: info.reason,
        fields: violations.unwrap_or_default().into_iter().map(|one| one.field).collect(),
        retry_delay: status.get_details_retry_info().and_then(|info| info.retry_delay),
    }
}

/// What only somebody who knows the server's inside could write.
const INSIDE: [&str; 10] = [
    "SQLSTATE",
    "pg_",
    ".rs:",
    "/home",
    "Error {",
    "mayfly_auth",
    "mayfly_user",
    "sqlx",
    "tonic",
    "constraint",
];

/// Insists that an answer's text gives away nothing of the server: no table, file, crate or address.
#[track_caller]
pub fn says_nothing_of_us(text: &str) {
    for inside in INSIDE {
        assert!(!text.contains(inside), "{inside:?} in {text:?}");
    }
    let words = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    for word in words.map(|word| word.trim_matches('.')) {
        assert!(word.parse::<std::net::Ipv4Addr>().is_err(), "an address in {text:?}");
    }
}
