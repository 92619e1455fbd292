//! A status as Connect's error: an HTTP status and a small JSON object.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use prost::Message;
use serde::Serialize;
use tonic::{Code, Status, body::Body};
use tonic_types::pb;

use super::full;
use crate::Response;

#[derive(Serialize)]
struct Error<'s> {
    code: &'static str,
    message: &'s str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<Detail>,
}

#[derive(Serialize)]
struct Detail {
    r#type: String,
    value: String,
}

/// The answer of a failed call.
pub(super) fn answer(status: &Status, mut headers: HeaderMap) -> Response {
    let (code, http_status) = of_code(status.code());
    let error = Error { code, message: status.message(), details: details(status) };
    let text = serde_json::to_vec(&error).expect("strings are always JSON");
    let mut response = Response::new(Body::new(full(text.into())));
    *response.status_mut() = http_status;
    headers.extend(status.metadata().clone().into_headers());
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *response.headers_mut() = headers;
    response
}

fn details(status: &Status) -> Vec<Detail> {
    // Our own details always decode; without them the code still says what happened.
    let details = pb::Status::decode(status.details()).unwrap_or_default().details;
    let details = details.into_iter().map(|any| Detail {
        r#type: any.type_url.rsplit('/').next().unwrap_or_default().to_owned(),
        value: STANDARD_NO_PAD.encode(any.value),
    });
    details.collect()
}

/// Connect's table of codes.
fn of_code(code: Code) -> (&'static str, StatusCode) {
    let client_closed_request = StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST);
    match code {
        Code::Ok | Code::Unknown => ("unknown", StatusCode::INTERNAL_SERVER_ERROR),
        Code::Cancelled => ("canceled", client_closed_request),
        Code::InvalidArgument => ("invalid_argument", StatusCode::BAD_REQUEST),
        Code::DeadlineExceeded => ("deadline_exceeded", StatusCode::GATEWAY_TIMEOUT),
        Code::NotFound => ("not_found", StatusCode::NOT_FOUND),
        Code::AlreadyExists => ("already_exists", StatusCode::CONFLICT),
        Code::PermissionDenied => ("permission_denied", StatusCode::FORBIDDEN),
        Code::ResourceExhausted => ("resource_exhausted", StatusCode::TOO_MANY_REQUESTS),
        Code::FailedPrecondition => ("failed_precondition", StatusCode::BAD_REQUEST),
        Code::Aborted => ("aborted", StatusCode::CONFLICT),
        Code::OutOfRange => ("out_of_range", StatusCode::BAD_REQUEST),
        Code::Unimplemented => ("unimplemented", StatusCode::NOT_IMPLEMENTED),
        Code::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
        Code::Unavailable => ("unavailable", StatusCode::SERVICE_UNAVAILABLE),
        Code::DataLoss => ("data_loss", StatusCode::INTERNAL_SERVER_ERROR),
        Code::Unauthenticated => ("unauthenticated", StatusCode::UNAUTHORIZED),
    }
}
