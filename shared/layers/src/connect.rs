//! Connect's unary protocol: one message in, one message or one error out, as JSON or as protobuf.
//!
//! Its streams are not spoken. They are refused in their own form: a client makes nothing of HTTP's.

mod error;
mod request;

use std::sync::Arc;

use bytes::{Buf, Bytes};
use call::Call;
use fault::Fault;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body_util::{BodyExt, Full};
use proto::Json;
use tonic::{Code, Status, body::Body};

use crate::{Request, Response, message::HEADER_BYTES};

/// How the messages are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Codec {
    Json,
    Proto,
}

/// Which of Connect's two protocols it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    Unary,
    Stream,
}

/// One call over Connect.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    form: Form,
    codec: Codec,
    json: Option<&'static Json>,
    call: Option<Call>,
}

/// Headers that belong to gRPC's framing and mean nothing to a Connect client.
const FRAMING: [HeaderName; 6] = [
    Status::GRPC_STATUS,
    Status::GRPC_MESSAGE,
    Status::GRPC_STATUS_DETAILS,
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("grpc-accept-encoding"),
    header::CONTENT_TYPE,
];

impl Exchange {
    pub(crate) fn of(request: &Request, form: Form, codec: Codec) -> Self {
        let call = request.extensions().get::<Call>();
        let json = call.and_then(|call| call.method).and_then(|method| method.json.as_ref());
        let json = json.filter(|_| form == Form::Unary);
        Self { form, codec, json, call: call.cloned() }
    }

    /// The same request in gRPC's shape. Its body is read and translated when it is asked for,
    /// which is below the deadline.
    pub(crate) fn translate(&self, request: Request, message_bytes_max: usize) -> Request {
        let (mut parts, body) = request.into_parts();
        let is_plain = parts
            .headers
            .remove(header::CONTENT_ENCODING)
            .is_none_or(|encoding| encoding == "identity");
        let translation = match (self.codec, self.json) {
            // Compressed bodies and streams are not spoken here.
            _ if !is_plain => None,
            (_, None) => None,
            (Codec::Json, Some(json)) => Some(request::Translation::Json(json.request)),
            (Codec::Proto, Some(_)) => Some(request::Translation::None),
        };
        request::set_timeout(&mut parts.headers);
        for name in [header::CONTENT_LENGTH, HeaderName::from_static("grpc-accept-encoding")] {
            parts.headers.remove(name);
        }
        parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        let body = request::TranslatedBody::new(body, translation, message_bytes_max);
        Request::from_parts(parts, Body::new(body))
    }

    /// The answer in Connect's shape.
    pub(crate) async fn answer(&self, response: Response) -> Response {
        let (parts, body) = response.into_parts();
        let mut headers = parts.headers;
        let outcome = match Status::from_header_map(&headers) {
            Some(status) => Err(status),
            None => collect(body).await,
        };
        for name in FRAMING {
            headers.remove(name);
        }
        let outcome = outcome.and_then(|(message, trailers)| {
            let message = self.write(message)?;
            headers.extend(as_headers(&trailers));
            Ok(message)
        });
        match outcome {
            Ok(message) => {
                let content_type = match self.codec {
                    Codec::Json => "application/json",
                    Codec::Proto => "application/proto",
                };
                let mut response = Response::new(Body::new(full(message)));
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
                *response.headers_mut() = headers;
                response
            }
            Err(status) if self.form == Form::Stream => {
                error::end_of_stream(&status, headers, self.codec)
            }
            Err(status) => error::answer(&status, headers),
        }
    }

    fn write(&self, message: Bytes) -> Result<Bytes, Status> {
        match (self.codec, self.json) {
            (Codec::Json, Some(json)) => {
                let text = (json.response)(&message).map_err(|error| {
                    let status = Status::from(Fault::internal(error));
                    if let Some(call) = &self.call {
                        call.outcome.set_spoilt(Arc::new(status.clone()));
                    }
                    status
                })?;
                Ok(text.into())
            }
            _ => Ok(message),
        }
    }
}

/// The one message of a unary answer, and its trailers.
async fn collect(body: Body) -> Result<(Bytes, HeaderMap), Status> {
    let collected = body.collect().await?;
    let trailers = collected.trailers().cloned().unwrap_or_default();
    if let Some(status) = Status::from_header_map(&trailers).filter(|s| s.code() != Code::Ok) {
        return Err(status);
    }
    let mut message = collected.to_bytes();
    // The flag and the length, which the end of the body says again.
    message.advance(message.len().min(HEADER_BYTES));
    Ok((message, trailers))
}

/// Trailing metadata travels as headers with a prefix.
fn as_headers(trailers: &HeaderMap) -> HeaderMap {
    let named = trailers.iter().filter(|(name, _)| !FRAMING.contains(name));
    let prefixed = named.filter_map(|(name, value)| {
        Some((HeaderName::try_from(format!("trailer-{name}")).ok()?, value.clone()))
    });
    prefixed.collect()
}

fn full(bytes: Bytes) -> impl http_body::Body<Data = Bytes, Error = Status> {
    Full::new(bytes).map_err(|never| match never {})
}
