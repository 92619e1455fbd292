//! An answer's messages as they come, and its trailers in one frame at the end.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Frame;
use tonic::{Status, body::Body};

use super::Encoding;
use crate::message::framed;

/// The flag of the frame that holds the trailers.
const TRAILERS: u8 = 0x80;

/// A body in gRPC-Web's form.
pub(super) struct Encoded {
    inner: Body,
    encoding: Encoding,
    is_over: bool,
}

impl Encoded {
    pub(super) fn new(inner: Body, encoding: Encoding) -> Self {
        Self { inner, encoding, is_over: false }
    }

    fn write(&self, bytes: Bytes) -> Frame<Bytes> {
        Frame::data(match self.encoding {
            Encoding::Binary => bytes,
            // Every piece is padded by itself, so that it can be read as soon as it is there.
            Encoding::Text => STANDARD.encode(bytes).into(),
        })
    }
}

/// Trailers as HTTP/1 would write them: names in lower case, a line each.
fn trailers_frame(trailers: &HeaderMap) -> Bytes {
    let mut lines = BytesMut::new();
    for (name, value) in trailers {
        for part in [name.as_str().as_bytes(), b":", value.as_bytes(), b"\r\n"] {
            lines.extend_from_slice(part);
        }
    }
    framed(TRAILERS, &lines)
}

impl http_body::Body for Encoded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let bytes = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => data,
                Err(frame) => {
                    self.is_over = true;
                    trailers_frame(&frame.into_trailers().unwrap_or_default())
                }
            },
            Some(Err(status)) => return Poll::Ready(Some(Err(status))),
            None => return Poll::Ready(None),
        };
        Poll::Ready(Some(Ok(self.write(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        // An answer that is all headers stays one.
        self.is_over || self.inner.is_end_stream()
    }
}
