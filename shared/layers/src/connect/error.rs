//! A status as Connect's error: an HTTP status and a small JSON object, or a stream's last message.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use bytes::Bytes;
use call::RequestId;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use prost::Message;
use serde::Serialize;
use tonic::{Code, Status, body::Body};
use tonic_types::pb;

use super::{Codec, full};
use crate::{Response, message::framed};

/// The flag of a stream's last message.
const END_OF_STREAM: u8 = 2;

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

#[derive(Serialize)]
struct EndOfStream<'s> {
    error: Error<'s>,
    metadata: BTreeMap<&'static str, [&'s str; 1]>,
}

/// The answer of a failed call.
pub(super) fn answer(status: &Status, headers: HeaderMap) -> Response {
    let (error, http_status) = error(status);
    let text = serde_json::to_vec(&error).expect("strings are always JSON");
    respond(text, http_status, "application/json", status, headers)
}

/// The answer of a failed call that was to be a stream: its last message is the only one.
pub(super) fn end_of_stream(status: &Status, headers: HeaderMap, codec: Codec) -> Response {
    let id = headers.get(RequestId::HEADER).and_then(|id| id.to_str().ok());
    let metadata = id.map(|id| ("x-request-id", [id])).into_iter().collect();
    let (error, _http_status) = error(status);
    let text = serde_json::to_vec(&EndOfStream { error, metadata });
    let text = text.expect("strings are always JSON");
    let message = framed(END_OF_STREAM, &text);
    let content_type = match codec {
        Codec::Json => "application/connect+json",
        Codec::Proto => "application/connect+proto",
    };
    respond(message, StatusCode::OK, content_type, status, headers)
}

fn error(status: &Status) -> (Error<'_>, StatusCode) {
    let (code, http_status) = of_code(status.code());
    (Error { code, message: status.message(), details: details(status) }, http_status)
}

fn respond(
    body: impl Into<Bytes>,
    http_status: StatusCode,
    content_type: &'static str,
    status: &Status,
    mut headers: HeaderMap,
) -> Response {
    let mut response = Response::new(Body::new(full(body.into())));
    *response.status_mut() = http_status;
    headers.extend(status.metadata().clone().into_headers());
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
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
