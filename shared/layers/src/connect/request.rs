//! A Connect request's body as one gRPC message, read and translated when it is asked for.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use fault::{Fault, Reason};
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use proto::JsonError;
use tonic::{Status, body::Body};

use crate::{frames::Unfinished, message::framed};

/// The client's deadline, in milliseconds.
const CONNECT_TIMEOUT: &str = "connect-timeout-ms";
const GRPC_TIMEOUT: &str = "grpc-timeout";

/// What has to be done to the message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Translation {
    None,
    Json(fn(&[u8]) -> Result<Vec<u8>, JsonError>),
}

/// Reads a whole message, bounded, and hands it out as one frame.
pub(super) struct TranslatedBody {
    inner: Body,
    read: BytesMut,
    translation: Option<Translation>,
    message_bytes_max: usize,
    unfinished: Unfinished,
    is_over: bool,
}

impl TranslatedBody {
    /// Without a translation the RPC cannot be called in this form, and the body says so.
    pub(super) fn new(
        inner: Body,
        translation: Option<Translation>,
        message_bytes_max: usize,
    ) -> Self {
        let (read, unfinished) = (BytesMut::new(), Unfinished::none());
        Self { inner, read, translation, message_bytes_max, unfinished, is_over: false }
    }

    fn read(&mut self, data: &[u8]) -> Result<(), Reason> {
        if self.read.len() + data.len() > self.message_bytes_max {
            return Err(Reason::MessageTooLarge);
        }
        self.read.extend_from_slice(data);
        self.unfinished.grow(self.read.len())
    }

    fn translate(&mut self) -> Result<Frame<Bytes>, Status> {
        let read = self.read.split().freeze();
        self.unfinished = Unfinished::none();
        let message = match self.translation {
            None => return Err(Reason::Unimplemented.into()),
            Some(Translation::None) => read,
            Some(Translation::Json(to_proto)) => to_proto(&read)
                .map_err(|error| {
                    Fault::invalid("", "the body is not the JSON of this method's message")
                        .because(error)
                })?
                .into(),
        };
        Ok(Frame::data(framed(0, &message)))
    }
}

impl http_body::Body for TranslatedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut has_gone_on = false;
        while !self.is_over {
            let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
                // Whoever waits for a client that stalls is told that this one does not.
                return if has_gone_on {
                    Poll::Ready(Some(Ok(Frame::data(Bytes::new()))))
                } else {
                    Poll::Pending
                };
            };
            match frame {
                Some(Ok(frame)) => {
                    has_gone_on = true;
                    let data = frame.into_data().unwrap_or_default();
                    if let Err(reason) = self.read(&data) {
                        self.is_over = true;
                        return Poll::Ready(Some(Err(reason.into())));
                    }
                }
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                None => {
                    self.is_over = true;
                    return Poll::Ready(Some(self.translate()));
                }
            }
        }
        Poll::Ready(None)
    }
}

/// Writes Connect's deadline as gRPC's. One that cannot be read stays unreadable.
pub(super) fn set_timeout(headers: &mut HeaderMap) {
    let is_one = headers.get_all(CONNECT_TIMEOUT).iter().nth(1).is_none();
    let Some(sent) = headers.remove(CONNECT_TIMEOUT) else {
        return;
    };
    let millis = sent.to_str().ok().filter(|text| is_one && (1..=10).contains(&text.len()));
    let millis = millis.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let timeout = match millis.and_then(|text| text.parse::<u64>().ok()) {
        // gRPC has room for eight digits; whole seconds are exact enough beyond them.
        Some(millis) if millis > 99_999_999 => format!("{}S", millis / 1000),
        Some(millis) => format!("{millis}m"),
        None => "malformed".to_owned(),
    };
    if let Ok(timeout) = HeaderValue::from_str(&timeout) {
        headers.insert(GRPC_TIMEOUT, timeout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_in_milliseconds_is_written_in_grpcs_eight_digits() {
        for (sent, written) in [
            ("250", "250m"),
            ("99999999", "99999999m"),
            ("9999999999", "9999999S"),
            ("-1", "malformed"),
            ("1e3", "malformed"),
            ("", "malformed"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONNECT_TIMEOUT, HeaderValue::from_str(sent).unwrap());
            set_timeout(&mut headers);
            assert_eq!(headers[GRPC_TIMEOUT], written, "{sent}");
        }
    }
}
