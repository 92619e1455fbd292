//! What every answer must be, whatever was asked.

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD},
};
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use prost_reflect::prost::Message;
use serde_json::Value;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{
    call::{Call, Kind},
    wire::Answer,
};

/// Returns how a call ended, such as `3` or `http 415`, or what is wrong with the answer.
pub(super) fn judge(call: &Call, answer: &Answer) -> Result<String, String> {
    let has_id = |headers: &HeaderMap| headers.contains_key("x-request-id");
    if !has_id(&answer.headers) && !has_id(&answer.trailers) && call.path != "/healthz" {
        return Err("no request id".to_owned());
    }
    let content_type = answer.headers.get("content-type").map(HeaderValue::as_bytes);
    match content_type.unwrap_or_default() {
        b"application/json" if answer.status == StatusCode::OK => json(&answer.body).map(|_| ok()),
        b"application/proto" if answer.status == StatusCode::OK => Ok(ok()),
        b"application/json" => error(&json(&answer.body)?),
        b"application/connect+json" | b"application/connect+proto" => stream(&answer.body),
        b"application/grpc-web-text+proto" => grpc(answer, Some(&text(&answer.body)?)),
        b"application/grpc-web+proto" => grpc(answer, Some(&answer.body)),
        other if other.starts_with(b"application/grpc") => grpc(answer, None),
        b"" => bare(call, answer),
        other => Err(format!("content type {:?}", String::from_utf8_lossy(other))),
    }
}

fn ok() -> String {
    "0".to_owned()
}

/// Takes what is no call, or may not be one, for an answer without a body.
fn bare(call: &Call, answer: &Answer) -> Result<String, String> {
    let status = answer.status.as_u16();
    let may_be = match call.kind {
        // gRPC needs HTTP/2.
        Kind::Strange if status == 505 => !call.is_http2,
        Kind::Strange => matches!(status, 404 | 405 | 415),
        // A foreign page.
        Kind::Headers => status == 403,
        _ => false,
    };
    if may_be && answer.body.is_empty() {
        Ok(format!("http {status}"))
    } else {
        Err(format!("HTTP {status} without a content type"))
    }
}

/// Reads the status of gRPC's answer: in headers, in trailers or, on the web, in the last frame.
fn grpc(answer: &Answer, web: Option<&[u8]>) -> Result<String, String> {
    if answer.status != StatusCode::OK {
        return Err(format!("HTTP {}", answer.status));
    }
    let in_headers = Status::from_header_map(&answer.headers);
    let status = match (in_headers, web) {
        (Some(status), _) => Some(status),
        (None, Some(body)) => Status::from_header_map(&last_frame(body)?),
        (None, None) => Status::from_header_map(&answer.trailers),
    };
    let status = status.ok_or("no grpc-status")?;
    accept(status.code(), status.get_details_error_info().map(|info| info.domain))
}

/// Reads the only message of a Connect stream, which is its last.
fn stream(body: &Bytes) -> Result<String, String> {
    let last = body.get(5..).filter(|_| body[0] == 2).ok_or("no end of the stream")?;
    error(&json(last)?["error"])
}

/// Reads Connect's error.
fn error(body: &Value) -> Result<String, String> {
    let name = body["code"].as_str().ok_or("an error without a code")?;
    let code = CODES.iter().find(|(known, _)| *known == name).ok_or("an unknown code")?.1;
    let details = body["details"].as_array().into_iter().flatten();
    let mut infos = details.filter(|detail| detail["type"] == "google.rpc.ErrorInfo");
    let info = infos.next().and_then(|detail| {
        let bytes = BASE64_STANDARD_NO_PAD.decode(detail["value"].as_str()?).ok()?;
        let info: tonic_types::pb::ErrorInfo = Message::decode(&*bytes).ok()?;
        Some(info.domain)
    });
    accept(code, info)
}

/// Says whether a call may have ended so.
#[expect(clippy::needless_pass_by_value, reason = "nobody needs it after this")]
fn accept(code: Code, domain: Option<String>) -> Result<String, String> {
    match code {
        Code::Ok => return Ok(ok()),
        Code::Unknown => return Err("code 2".to_owned()),
        // Whatever is corrupt is the client's fault.
        Code::Internal => return Err("code 13".to_owned()),
        Code::Cancelled => return Err("code 1, and nobody cancelled".to_owned()),
        _ => {}
    }
    match domain.as_deref() {
        Some("mayfly") => Ok(i32::from(code).to_string()),
        other => Err(format!("code {} with the domain {other:?}", i32::from(code))),
    }
}

fn json(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| format!("no JSON: {error}"))
}

/// Joins pieces of base64, each of which is padded by itself.
fn text(body: &Bytes) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for group in body.chunks(4) {
        bytes.extend(BASE64_STANDARD.decode(group).map_err(|error| format!("no base64: {error}"))?);
    }
    Ok(bytes)
}

/// Returns the trailers that gRPC-Web's last frame holds.
fn last_frame(mut body: &[u8]) -> Result<HeaderMap, String> {
    while body.len() >= 5 {
        let (flag, length) = (body.get_u8(), body.get_u32());
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let frame = body.get(..length).ok_or("a frame that is cut short")?;
        body.advance(length);
        if flag & 0x80 == 0 {
            continue;
        }
        let lines = String::from_utf8_lossy(frame).into_owned();
        let lines = lines.lines().filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.parse::<HeaderName>().ok()?, value.trim().parse::<HeaderValue>().ok()?))
        });
        return Ok(lines.collect());
    }
    Err("no frame with trailers".to_owned())
}

const CODES: [(&str, Code); 16] = [
    ("canceled", Code::Cancelled),
    ("unknown", Code::Unknown),
    ("invalid_argument", Code::InvalidArgument),
    ("deadline_exceeded", Code::DeadlineExceeded),
    ("not_found", Code::NotFound),
    ("already_exists", Code::AlreadyExists),
    ("permission_denied", Code::PermissionDenied),
    ("resource_exhausted", Code::ResourceExhausted),
    ("failed_precondition", Code::FailedPrecondition),
    ("aborted", Code::Aborted),
    ("out_of_range", Code::OutOfRange),
    ("unimplemented", Code::Unimplemented),
    ("internal", Code::Internal),
    ("unavailable", Code::Unavailable),
    ("data_loss", Code::DataLoss),
    ("unauthenticated", Code::Unauthenticated),
];
