//! Calls: in Connect's JSON, and what it does not carry in gRPC-Web, which a plain HTTP client can
//! speak.

use std::{error::Error as _, time::Duration};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use proto::{Kind, Method, Mutation};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{failure::Failure, options::Options};

const CONNECT_MAX: Duration = Duration::from_secs(5);

/// A frame's flag and length.
const HEADER_BYTES: usize = 5;
/// The flag of the frame that holds the trailers.
const TRAILERS: u8 = 0x80;

/// Is why a text is refused before anybody is asked.
const NO_MESSAGE: &str = "the message is not that of this RPC";

/// Whoever sends calls.
#[derive(Debug)]
pub(crate) struct Caller(Client);

/// One call, but for its message.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: &'static Method,
    pub(crate) token: Option<String>,
    pub(crate) key: Option<String>,
}

impl Caller {
    pub(crate) fn new(options: &Options) -> Result<Self, Failure> {
        // The provider may be there already.
        let _outcome = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut builder = Client::builder().connect_timeout(CONNECT_MAX).no_proxy();
        if [&options.url, &options.issuer].iter().all(|url| url.starts_with("http://")) {
            // Certificates take their time, and none is needed.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(Self(client))
    }

    /// Asks in JSON for JSON, whatever the HTTP status.
    pub(crate) async fn post_json(
        &self,
        url: &str,
        bearer: Option<&str>,
        body: &Value,
    ) -> Result<Value, Failure> {
        let request = self.0.post(url).header("content-type", "application/json");
        let request = match bearer {
            Some(bearer) => request.bearer_auth(bearer),
            None => request,
        };
        let request = request.body(body.to_string());
        let response = send(url, request).await?;
        let body = response.bytes().await.map_err(|error| unreachable(url, &error))?;
        Ok(serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Sends one message as it was written, and returns the answer's text.
    pub(crate) async fn unary(
        &self,
        url: &str,
        call: &Call,
        text: &str,
    ) -> Result<String, Failure> {
        let url = format!("{url}{}", call.method.path);
        let request = self.0.post(&url).header("content-type", "application/json");
        let response = send(&url, call.headers(request).body(text.to_owned())).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.map_err(|error| unreachable(&url, &error))?;
        if status != 200 {
            return Err(Failure::of_connect(status, headers, &body));
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Sends messages, and tells each answer as it comes.
    pub(crate) async fn stream(
        &self,
        url: &str,
        call: &Call,
        text: &str,
        tell: fn(&str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let url = format!("{url}{}", call.method.path);
        let body = call.frames(text)?;
        let request = self.0.post(&url).header("content-type", "application/grpc-web+proto");
        let mut response = send(&url, call.headers(request).body(body)).await?;
        let headers = response.headers().clone();
        if response.status() != 200 {
            return Err(Failure::of_connect(response.status().as_u16(), headers, &[]));
        }
        if let Some(status) = Status::from_header_map(&headers) {
            return ended(status);
        }
        let mut rest = BytesMut::new();
        while let Some(part) = response.chunk().await.map_err(|error| unreachable(&url, &error))? {
            rest.put(part);
            while let Some((flag, frame)) = frame(&mut rest) {
                if flag & TRAILERS != 0 {
                    let trailers = trailers(&frame);
                    return Status::from_header_map(&trailers).map_or_else(broken_off, ended);
                }
                let json = (call.method.messages.response)(&frame);
                let json = json.map_err(|error| Failure::Usage(error.to_string()))?;
                tell(&String::from_utf8_lossy(&json))?;
            }
        }
        broken_off()
    }
}

impl Call {
    fn headers(&self, mut request: RequestBuilder) -> RequestBuilder {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let key = match (&self.key, self.method.rule.mutation) {
            (Some(key), _) => Some(key.clone()),
            (None, Mutation::ExactlyOnce) => Some(Uuid::new_v4().to_string()),
            (None, _) => None,
        };
        match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        }
    }

    /// Frames the messages of a text: one, or as many as the RPC takes.
    fn frames(&self, text: &str) -> Result<Vec<u8>, Failure> {
        let no_message =
            |why: &dyn std::fmt::Display| Failure::Usage(format!("{NO_MESSAGE}: {why}"));
        let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        let values: Vec<_> = values.collect::<Result<_, _>>().map_err(|why| no_message(&why))?;
        let takes_many = matches!(self.method.kind, Kind::ClientStream | Kind::BidiStream);
        if values.len() != 1 && !takes_many {
            return Err(no_message(&"it takes one"));
        }
        let mut frames = Vec::new();
        for value in values {
            let message = (self.method.messages.request)(value.to_string().as_bytes());
            let message = message.map_err(|error| match error.source() {
                Some(why) => no_message(&why),
                None => no_message(&error),
            })?;
            frames.put_u8(0);
            frames.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
            frames.extend(message);
        }
        Ok(frames)
    }
}

async fn send(url: &str, request: RequestBuilder) -> Result<Response, Failure> {
    request.send().await.map_err(|error| unreachable(url, &error))
}

/// Tells the last cause, which is the one that says something.
fn unreachable(url: &str, error: &reqwest::Error) -> Failure {
    if error.is_builder() {
        return Failure::Usage(format!("{url:?} is no URL, or a header is none"));
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    Failure::Unreachable { url: url.to_owned(), why: cause.to_string() }
}

fn ended(status: Status) -> Result<(), Failure> {
    if status.code() == Code::Ok { Ok(()) } else { Err(Failure::of_status(status)) }
}

fn broken_off() -> Result<(), Failure> {
    Err(Failure::of_status(Status::unavailable("the stream broke off")))
}

/// Takes a whole frame, once it is there.
fn frame(rest: &mut BytesMut) -> Option<(u8, Bytes)> {
    let (mut header, _message) = rest.split_at_checked(HEADER_BYTES)?;
    let (flag, length) = (header.get_u8(), usize::try_from(header.get_u32()).ok()?);
    if rest.len() - HEADER_BYTES < length {
        return None;
    }
    rest.advance(HEADER_BYTES);
    Some((flag, rest.split_to(length).freeze()))
}

/// Reads trailers that are written as HTTP/1 would write them.
fn trailers(frame: &[u8]) -> HeaderMap {
    let text = String::from_utf8_lossy(frame);
    let lines = text.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        let name: HeaderName = name.trim().parse().ok()?;
        Some((name, HeaderValue::from_str(value.trim()).ok()?))
    });
    lines.collect()
}
