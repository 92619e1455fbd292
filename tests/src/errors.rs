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
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations);
    Told {
        code: status.code(),
        reason: info.reason,
        fields: violations.unwrap_or_default().into_iter().map(|one| one.field).collect(),
        retry_delay: status.get_details_retry_info().and_then(|info| info.retry_delay),
    }
}
