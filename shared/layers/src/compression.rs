//! Compresses the messages of an answer for a client that can unpack them, where it pays.
//!
//! tonic would compress every message, also one of a few bytes, for which unpacking costs more than
//! it saves; gRPC marks each message by itself, so this compresses only those that are long.

use std::{
    convert::Infallible,
    io::{self, Write},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use fault::Fault;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body as _, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::{Status, body::Body};
use tower::Service;

use crate::{
    Request, Response,
    message::{HEADER_BYTES, put},
};

/// Shorter messages go out as they are.
const MESSAGE_BYTES_MIN: usize = 1024;

/// The cheap ends of both scales: an answer is compressed once and read once.
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;

const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// A compression that both sides know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Encoding {
    Gzip,
    Zstd,
}

impl Encoding {
    /// The better one that the client accepts.
    fn accepted(headers: &HeaderMap) -> Option<Self> {
        let accepted = headers.get(ACCEPT_ENCODING)?.to_str().ok()?;
        let has = |name: &str| accepted.split(',').any(|one| one.trim() == name);
        if has("zstd") { Some(Self::Zstd) } else { has("gzip").then_some(Self::Gzip) }
    }

    fn name(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }

    fn compress(self, message: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(message)?;
                encoder.finish()
            }
            Self::Zstd => zstd::bulk::compress(message, ZSTD_LEVEL),
        }
    }

    /// The same messages, the long ones compressed. tonic hands out whole messages only.
    fn compress_all(self, mut messages: Bytes) -> io::Result<Bytes> {
        let mut out = BytesMut::with_capacity(messages.len());
        while messages.len() >= HEADER_BYTES {
            let (flag, length) = (messages.get_u8(), messages.get_u32());
            let length = usize::try_from(length).unwrap_or(usize::MAX).min(messages.len());
            let message = messages.split_to(length);
            let compressed = if flag == 0 && length >= MESSAGE_BYTES_MIN {
                Some(self.compress(&message)?).filter(|compressed| compressed.len() < length)
            } else {
                None
            };
            match compressed {
                Some(compressed) => put(&mut out, 1, &compressed),
                None => put(&mut out, flag, &message),
            }
        }
        out.put(messages);
        Ok(out.freeze())
    }
}

/// Compresses the answers of `S`.
#[derive(Clone, Debug)]
pub(crate) struct Compression<S> {
    inner: S,
}

impl<S> Compression<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner }
    }
}

// === impl Compression ===

impl<S> Service<Request> for Compression<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = CompressionFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let encoding = Encoding::accepted(request.headers());
        CompressionFuture { inner: self.inner.call(request), encoding }
    }
}

pin_project! {
    pub(crate) struct CompressionFuture<F> {
        #[pin]
        inner: F,
        encoding: Option<Encoding>,
    }
}

impl<F> Future for CompressionFuture<F>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(mut response) = ready!(this.inner.poll(cx));
        match *this.encoding {
            Some(encoding) if !response.body().is_end_stream() => {
                response.headers_mut().insert(ENCODING, encoding.name());
                let body = |inner| Body::new(CompressedBody { inner, encoding });
                Poll::Ready(Ok(response.map(body)))
            }
            _ => Poll::Ready(Ok(response)),
        }
    }
}

struct CompressedBody {
    inner: Body,
    encoding: Encoding,
}

impl http_body::Body for CompressedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let encoding = self.encoding;
        Poll::Ready(ready!(Pin::new(&mut self.inner).poll_frame(cx)).map(|frame| {
            match frame?.into_data() {
                Ok(messages) => match encoding.compress_all(messages) {
                    Ok(messages) => Ok(Frame::data(messages)),
                    Err(error) => Err(Fault::internal(error).into()),
                },
                Err(trailers) => Ok(trailers),
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_messages_that_are_long_are_compressed() {
        let (short, long) = (vec![b'a'; MESSAGE_BYTES_MIN - 1], vec![b'a'; MESSAGE_BYTES_MIN]);
        let mut messages = BytesMut::new();
        put(&mut messages, 0, &short);
        put(&mut messages, 0, &long);
        for encoding in [Encoding::Gzip, Encoding::Zstd] {
            let mut out = encoding.compress_all(messages.clone().freeze()).unwrap();
            assert_eq!((out.get_u8(), out.get_u32()), (0, 1023));
            assert_eq!(out.split_to(1023), short);
            assert_eq!(out.get_u8(), 1);
            assert_eq!(usize::try_from(out.get_u32()).unwrap(), out.len());
            assert!(out.len() < 100, "{}", out.len());
        }
    }

    #[test]
    fn the_better_of_what_a_client_accepts_is_taken() {
        for (accepted, encoding) in [
            ("identity, deflate, gzip", Some(Encoding::Gzip)),
            ("gzip,zstd", Some(Encoding::Zstd)),
            ("identity", None),
            ("x-gzip", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accepted));
            assert_eq!(Encoding::accepted(&headers), encoding, "{accepted}");
        }
    }
}
