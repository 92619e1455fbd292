//! Why there is no answer, in words.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use http::HeaderMap;
use prost::Message;
use prost_types::Any;
use serde_json::Value;
use tonic::{Code, Status, metadata::MetadataMap};
use tonic_types::{StatusExt, pb};

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line asks for what cannot be.
    Usage(String),
    /// Nobody answers.
    Unreachable { url: String, why: String },
    /// The call failed.
    Refused(Box<Status>),
    /// Whoever reads the answers has stopped.
    NobodyReads,
}

impl Failure {
    /// Reads Connect's error; anything else that is no answer is told by its HTTP status.
    pub(crate) fn of_connect(http_status: u16, headers: HeaderMap, body: &[u8]) -> Self {
        let error: Value = serde_json::from_slice(body).unwrap_or_default();
        let code = error["code"].as_str().and_then(code);
        let (code, message) = match code {
            Some(code) => (code, error["message"].as_str().unwrap_or_default().to_owned()),
            None => (Code::Unknown, format!("HTTP {http_status}, which is no answer of an RPC")),
        };
        let details = error["details"].as_array().into_iter().flatten().filter_map(|detail| {
            let type_url = format!("type.googleapis.com/{}", detail["type"].as_str()?);
            let value = BASE64_STANDARD_NO_PAD.decode(detail["value"].as_str()?).ok()?;
            Some(Any { type_url, value })
        });
        let status = pb::Status { code: code.into(), message, details: details.collect() };
        let (bytes, metadata) = (status.encode_to_vec(), MetadataMap::from_headers(headers));
        let message = status.message;
        Self::of_status(Status::with_details_and_metadata(code, message, bytes.into(), metadata))
    }

    /// Reads gRPC's status.
    pub(crate) fn of_status(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(why) => f.write_str(why),
            Self::Unreachable { url, why } => {
                write!(f, "nobody answers at {url}; is `cargo dev` running?\n  {why}")
            }
            Self::Refused(status) => told(status, f),
            Self::NobodyReads => f.write_str("nobody reads the answer"),
        }
    }
}

/// Tells what a status says, a line each.
fn told(status: &Status, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let code = status.code();
    write!(f, "{code:?} ({})", i32::from(code))?;
    if let Some(info) = status.get_details_error_info() {
        write!(f, ", {}", info.reason)?;
    }
    if !status.message().is_empty() {
        write!(f, ": {}", status.message())?;
    }
    for violation in
        status.get_details_bad_request().into_iter().flat_map(|bad| bad.field_violations)
    {
        let field = if violation.field.is_empty() { "the request" } else { &violation.field };
        write!(f, "\n  {field}: {}", violation.description)?;
    }
    let delay = status.get_details_retry_info().and_then(|retry| retry.retry_delay);
    if let Some(delay) = delay {
        write!(f, "\n  try again in {delay:?}")?;
    }
    if status.get_details_error_info().is_some_and(|info| info.reason == "ROLE_REQUIRED") {
        f.write_str("\n  --role calls as somebody of the local issuer who has it")?;
    }
    if let Some(id) = status.metadata().get("x-request-id").and_then(|id| id.to_str().ok()) {
        write!(f, "\n  request id {id}")?;
    }
    Ok(())
}

/// Connect's names of the codes.
fn code(name: &str) -> Option<Code> {
    Some(match name {
        "canceled" => Code::Cancelled,
        "unknown" => Code::Unknown,
        "invalid_argument" => Code::InvalidArgument,
        "deadline_exceeded" => Code::DeadlineExceeded,
        "not_found" => Code::NotFound,
        "already_exists" => Code::AlreadyExists,
        "permission_denied" => Code::PermissionDenied,
        "resource_exhausted" => Code::ResourceExhausted,
        "failed_precondition" => Code::FailedPrecondition,
        "aborted" => Code::Aborted,
        "out_of_range" => Code::OutOfRange,
        "unimplemented" => Code::Unimplemented,
        "internal" => Code::Internal,
        "unavailable" => Code::Unavailable,
        "data_loss" => Code::DataLoss,
        "unauthenticated" => Code::Unauthenticated,
        _ => return None,
    })
}
