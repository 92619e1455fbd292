//! A client with nothing of ours in it: hyper's connections, and bytes.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use bytes::{BufMut, Bytes};
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use serde_json::Value;
use tests::{Told, says_nothing_of_us, told};
use tokio::{net::TcpStream, time::sleep};
use tokio_util::task::TaskTracker;
use tonic::{Code, Status, metadata::MetadataMap};
use tonic_types::pb;

/// The path of a method of the `user` function.
pub(crate) fn user(method: &str) -> String {
    format!("/mayfly.user.v1.UserService/{method}")
}

/// A message as gRPC frames it.
pub(crate) fn frame(message: &impl Message) -> Vec<u8> {
    framed(0, &message.encode_to_vec())
}

/// Any bytes as gRPC frames a message, under any flag.
pub(crate) fn framed(flag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![flag];
    frame.put_u32(u32::try_from(bytes.len()).unwrap());
    frame.put(bytes);
    frame
}

/// What a connection speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

/// One request that is not sent yet.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: Method,
    path: String,
    version: Version,
    headers: HeaderMap,
    body: Vec<Bytes>,
    end: End,
}

/// How a request's body ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Plain,
    /// With trailers, which mean nothing.
    Trailers,
    Never,
    /// Never, and there is more of it every so often.
    Trickling,
}

/// How often there is more of a body that trickles.
const TRICKLES_EVERY: Duration = Duration::from_millis(20);

/// One answer, whole.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

// === impl Call ===

impl Call {
    pub(crate) fn new(method: Method, path: &str, body: impl Into<Bytes>) -> Self {
        let (path, body) = (path.to_owned(), vec![body.into()]);
        let (version, headers) = (Version::Http1, HeaderMap::new());
        Self { method, path, version, headers, body, end: End::Plain }
    }

    /// A gRPC call with these bytes for its body.
    pub(crate) fn grpc(path: &str, frames: impl Into<Bytes>) -> Self {
        Self::new(Method::POST, path, frames)
            .over(Version::Http2)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
    }

    /// A call in JSON.
    pub(crate) fn json(path: &str, message: &Value) -> Self {
        Self::post(path, message.to_string())
    }

    /// A call in JSON, or in what should be JSON.
    pub(crate) fn post(path: &str, body: impl Into<Bytes>) -> Self {
        Self::new(Method::POST, path, body).header("content-type", "application/json")
    }

    pub(crate) fn over(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Sets a header, which may be no text.
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name = HeaderName::try_from(name).unwrap();
        self.headers.insert(name, HeaderValue::from_bytes(value.as_ref()).unwrap());
        self
    }

    /// Adds a header beside others of its name.
    pub(crate) fn and_header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::try_from(name).unwrap();
        self.headers.append(name, value.parse().unwrap());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    pub(crate) fn token(self, token: Option<&str>) -> Self {
        match token {
            Some(token) => self.header("authorization", format!("Bearer {token}")),
            None => self,
        }
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    /// Sends more of the body in a chunk of its own.
    pub(crate) fn and(mut self, chunk: impl Into<Bytes>) -> Self {
        self.body.push(chunk.into());
        self
    }

    /// Never ends the body.
    pub(crate) fn endless(mut self) -> Self {
        self.end = End::Never;
        self
    }

    /// Never ends the body, and goes on with it, byte by byte.
    pub(crate) fn trickling(mut self) -> Self {
        self.end = End::Trickling;
        self
    }

    /// Ends the body in trailers.
    pub(crate) fn with_trailers(mut self) -> Self {
        self.end = End::Trailers;
        self
    }

    /// Sends it over a connection of its own, and reads the whole answer.
    pub(crate) async fn send(self, address: SocketAddr) -> Answer {
        let path = self.path.clone();
        Answer::read(self.begin(address).await)
            .await
            .unwrap_or_else(|error| panic!("{path} broke off: {error:?}"))
    }

    /// Sends it, and leaves the answer's body to be read.
    pub(crate) async fn begin(self, address: SocketAddr) -> Response<Incoming> {
        let version = self.version;
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let stream = TokioIo::new(stream);
        let request = self.into_request(address);
        let connections = TaskTracker::new();
        match version {
            Version::Http1 => {
                let (mut sender, connection) = http1::handshake(stream).await.unwrap();
                connections.spawn(connection);
                sender.send_request(request).await.unwrap()
            }
            Version::Http2 => {
                let executor = TokioExecutor::new();
                let (mut sender, connection) = http2::handshake(executor, stream).await.unwrap();
                connections.spawn(connection);
                sender.send_request(request).await.unwrap()
            }
        }
    }

    fn into_request(self, address: SocketAddr) -> Request<UnsyncBoxBody<Bytes, Infallible>> {
        let mut request = Request::builder().method(self.method);
        request = match self.version {
            Version::Http1 => request.uri(self.path).header(header::HOST, address.to_string()),
            Version::Http2 => request.uri(format!("http://{address}{}", self.path)),
        };
        request.headers_mut().unwrap().extend(self.headers);
        let chunks: Vec<_> = self.body.into_iter().filter(|chunk| !chunk.is_empty()).collect();
        let chunks = stream::iter(chunks).map(|chunk| Ok(Frame::data(chunk)));
        let body = match self.end {
            End::Plain => UnsyncBoxBody::new(StreamBody::new(chunks)),
            End::Trailers => {
                let trailer = (header::WARNING, HeaderValue::from_static("nobody reads this"));
                let trailers = Frame::trailers(HeaderMap::from_iter([trailer]));
                UnsyncBoxBody::new(StreamBody::new(chunks.chain(stream::iter([Ok(trailers)]))))
            }
            End::Trickling => {
                let more = stream::repeat(()).then(|()| async {
                    sleep(TRICKLES_EVERY).await;
                    Ok(Frame::data(Bytes::from_static(b" ")))
                });
                UnsyncBoxBody::new(StreamBody::new(chunks.chain(more)))
            }
            End::Never => UnsyncBoxBody::new(StreamBody::new(chunks.chain(stream::pending()))),
        };
        request.body(body).unwrap()
    }
}

// === impl Answer ===

impl Answer {
    async fn read(response: Response<Incoming>) -> hyper::Result<Self> {
        let (parts, body) = response.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        Ok(Self { status: parts.status, headers: parts.headers, body: body.to_bytes(), trailers })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        Some(self.headers.get(name)?.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The one message of a gRPC answer that succeeded.
    #[track_caller]
    pub(crate) fn message<M: Message + Default>(&self) -> M {
        assert_eq!(self.grpc_status().code(), Code::Ok, "{self:?}");
        M::decode(&self.body[5..]).unwrap()
    }

    /// How a gRPC call ended; it is said in trailers, or in headers alone.
    #[track_caller]
    pub(crate) fn grpc_status(&self) -> Status {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        assert!(self.header("content-type").unwrap().starts_with("application/grpc"), "{self:?}");
        let in_headers = Status::from_header_map(&self.headers);
        in_headers.or_else(|| Status::from_header_map(&self.trailers)).expect("a grpc-status")
    }

    /// How a JSON call failed, as the status that a gRPC client would have got.
    #[track_caller]
    pub(crate) fn json_status(&self) -> Status {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        let error = self.json();
        let known = ["code", "message", "details"];
        assert!(error.as_object().unwrap().keys().all(|key| known.contains(&&**key)), "{error}");
        let code = code(error["code"].as_str().unwrap());
        assert_eq!(self.status, http_status(code), "{error}");
        let details = error["details"].as_array().into_iter().flatten().map(|detail| {
            let keys: Vec<_> = detail.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["type", "value"], "{error}");
            let type_url = format!("type.googleapis.com/{}", detail["type"].as_str().unwrap());
            let value = STANDARD_NO_PAD.decode(detail["value"].as_str().unwrap()).unwrap();
            prost_types::Any { type_url, value }
        });
        let message = error["message"].as_str().unwrap();
        let details = details.collect();
        let details = pb::Status { code: code.into(), message: message.to_owned(), details };
        let metadata = MetadataMap::from_headers(self.headers.clone());
        Status::with_details_and_metadata(code, message, details.encode_to_vec().into(), metadata)
    }

    /// What a failed call tells, over either protocol, and that it tells nothing else.
    #[track_caller]
    pub(crate) fn told(&self) -> Told {
        says_nothing_of_us(&String::from_utf8_lossy(&self.body));
        for (_name, value) in self.headers.iter().chain(&self.trailers) {
            says_nothing_of_us(&String::from_utf8_lossy(value.as_bytes()));
        }
        told(&self.failure())
    }

    /// The status of a failed call, over either protocol.
    #[track_caller]
    pub(crate) fn failure(&self) -> Status {
        let content_type = self.header("content-type").unwrap_or_default();
        let status = if content_type.starts_with("application/grpc") {
            self.grpc_status()
        } else {
            self.json_status()
        };
        assert_ne!(status.code(), Code::Ok, "{self:?}");
        status
    }
}

/// Connect's names of the codes.
fn code(name: &str) -> Code {
    match name {
        "canceled" => Code::Cancelled,
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
        other => panic!("{other} is no code of Connect's"),
    }
}

/// Connect's HTTP statuses of the codes.
fn http_status(code: Code) -> StatusCode {
    let status = match code {
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::ResourceExhausted => 429,
        Code::Cancelled => 499,
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => 500,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
    };
    StatusCode::from_u16(status).unwrap()
}
