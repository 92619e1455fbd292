//! gRPC-Web: gRPC's messages for clients that cannot see trailers, which come as a last frame in
//! the body; and for those that cannot see bytes either, all of it in base64.

mod request;
mod response;

use http::{HeaderValue, header};
use tonic::body::Body;

use crate::{Request, Response};

/// How the bytes are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Encoding {
    Binary,
    Text,
}

/// Content types, by what they carry.
const BINARY: &str = "application/grpc-web+proto";
const TEXT: &str = "application/grpc-web-text+proto";

impl Encoding {
    /// The encoding of a request, by the essence of its content type.
    pub(crate) fn of(essence: &str) -> Option<Self> {
        let is = |names: [&str; 2]| names.iter().any(|name| essence.eq_ignore_ascii_case(name));
        if is(["application/grpc-web", BINARY]) {
            Some(Self::Binary)
        } else if is(["application/grpc-web-text", TEXT]) {
            Some(Self::Text)
        } else {
            None
        }
    }

    /// The encoding of the answer: what the client accepts, else what it sent.
    pub(crate) fn of_answer(self, request: &Request) -> Self {
        let accepted = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
        accepted.and_then(|accepted| Self::of(crate::essence(accepted))).unwrap_or(self)
    }

    /// The same request in gRPC's shape.
    pub(crate) fn translate(self, request: Request) -> Request {
        let (mut parts, body) = request.into_parts();
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        let body = match self {
            // A client's messages are framed as gRPC's.
            Self::Binary => body,
            Self::Text => Body::new(request::Decoded::new(body)),
        };
        Request::from_parts(parts, body)
    }

    /// The answer in gRPC-Web's shape.
    pub(crate) fn answer(self, response: Response) -> Response {
        let content_type = match self {
            Self::Binary => BINARY,
            Self::Text => TEXT,
        };
        let mut response = response.map(|body| Body::new(response::Encoded::new(body, self)));
        let content_type = HeaderValue::from_static(content_type);
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        response
    }
}
