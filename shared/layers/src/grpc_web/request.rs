//! A request's base64, decoded as it comes.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::{Bytes, BytesMut};
use fault::Fault;
use http_body::Frame;
use tonic::{Status, body::Body};

/// Clients pad each piece they send, or only the last, or none.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Characters that decode on their own, wherever they stand.
const QUANTUM: usize = 4;

/// A body whose bytes come as base64, which may be padded anywhere and cut anywhere.
pub(super) struct Decoded {
    inner: Body,
    /// Fewer characters than a quantum, until the rest comes.
    left: BytesMut,
    is_over: bool,
}

impl Decoded {
    pub(super) fn new(inner: Body) -> Self {
        Self { inner, left: BytesMut::new(), is_over: false }
    }

    /// Decodes what stands at the front, `length` characters of it.
    fn decode(&mut self, length: usize) -> Result<Bytes, Status> {
        let text = self.left.split_to(length);
        let mut bytes = BytesMut::with_capacity(text.len() / QUANTUM * 3);
        // Each quantum by itself: one that is padded may be followed by more.
        for quantum in text.chunks(QUANTUM) {
            let mut decoded = [0; 3];
            let length = ENGINE.decode_slice(quantum, &mut decoded).map_err(|error| {
                Status::from(Fault::invalid("", "the body is not base64").because(error))
            })?;
            bytes.extend_from_slice(&decoded[..length]);
        }
        Ok(bytes.freeze())
    }
}

impl http_body::Body for Decoded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        while !self.is_over {
            let decoded = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    self.left.extend_from_slice(&frame.into_data().unwrap_or_default());
                    // The rest of a quantum is still on its way.
                    let whole = self.left.len() - self.left.len() % QUANTUM;
                    self.decode(whole)
                }
                Some(Err(status)) => Err(status),
                None => {
                    self.is_over = true;
                    let rest = self.left.len();
                    self.decode(rest)
                }
            };
            match decoded {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Err(status) => {
                    self.is_over = true;
                    return Poll::Ready(Some(Err(status)));
                }
            }
        }
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD as PADDED;
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    async fn decoded(pieces: Vec<String>) -> Result<Bytes, Status> {
        let frames = pieces.into_iter().map(|piece| Ok::<_, Status>(Frame::data(piece.into())));
        let body = Body::new(StreamBody::new(futures_util::stream::iter(frames)));
        Ok(Decoded::new(body).collect().await?.to_bytes())
    }

    #[tokio::test]
    async fn base64_may_be_padded_and_cut_anywhere() {
        let text =
            format!("{}{}{}", PADDED.encode("a"), PADDED.encode("bcdefg"), PADDED.encode("hi"));
        for cut in 0..=text.len() {
            let (first, second) = text.split_at(cut);
            let read = decoded(vec![first.to_owned(), second.to_owned()]).await.unwrap();
            assert_eq!(read, "abcdefghi", "cut at {cut}");
        }
        let bare = text.trim_end_matches('=').to_owned();
        assert_eq!(decoded(vec![bare]).await.unwrap(), "abcdefghi");
    }

    #[tokio::test]
    async fn what_is_not_base64_is_refused() {
        for text in ["A", "AB*D", "ABCDE", "====", "\u{e4}\u{e4}"] {
            let status = decoded(vec![text.to_owned()]).await.unwrap_err();
            assert_eq!(status.code(), tonic::Code::InvalidArgument, "{text}");
        }
    }
}
