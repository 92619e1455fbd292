//! Watches a call's messages go by: counts them, refuses what is too large or too many before it is
//! read, and waits no longer for the next than a client may take.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use call::Outcome;
use fault::{Fault, Reason};
use http::Version;
use http_body::Frame;
use proto::{Kind, Method};
use tokio::time::{Sleep, sleep};
use tonic::{Code, Status, body::Body};

/// A message's flag and length.
pub(crate) const HEADER_BYTES: usize = 5;

/// Follows gRPC's length-prefixed messages through chunks that are cut anywhere.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    header: [u8; HEADER_BYTES],
    header_bytes: usize,
    bytes_left: usize,
}

/// What a chunk held.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Seen {
    /// Messages that began.
    pub(crate) messages: u64,
    /// The length of the longest of them.
    pub(crate) bytes_max: usize,
}

impl Scanner {
    pub(crate) fn scan(&mut self, mut chunk: &[u8]) -> Seen {
        let mut seen = Seen::default();
        while !chunk.is_empty() {
            if self.bytes_left > 0 {
                let skipped = self.bytes_left.min(chunk.len());
                self.bytes_left -= skipped;
                chunk = &chunk[skipped..];
                continue;
            }
            self.header[self.header_bytes] = chunk[0];
            self.header_bytes += 1;
            chunk = &chunk[1..];
            if self.header_bytes == HEADER_BYTES {
                let [_flag, length @ ..] = self.header;
                self.header_bytes = 0;
                self.bytes_left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                seen.messages += 1;
                seen.bytes_max = seen.bytes_max.max(self.bytes_left);
            }
        }
        seen
    }

    /// Whether the bytes so far end within a message.
    fn is_within(&self) -> bool {
        self.header_bytes > 0 || self.bytes_left > 0
    }
}

/// What a request's body may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The largest message that is read.
    pub(crate) message_bytes_max: usize,
    /// How long a client may not go on with it.
    pub(crate) idle_max: Duration,
}

/// Whether the client goes on with a body.
enum Stall {
    /// The call's deadline is nearer than its patience, and needs no timer beside it.
    Harmless,
    Not,
    Until(Pin<Box<Sleep>>),
}

/// A request's body, as far as its RPC allows one.
pub(crate) struct RequestFrames {
    inner: Body,
    scanner: Scanner,
    outcome: Outcome,
    messages: u64,
    messages_max: u64,
    bounds: Bounds,
    stall: Stall,
    version: Version,
    is_over: bool,
}

impl RequestFrames {
    pub(crate) fn new(
        inner: Body,
        version: Version,
        method: Option<&Method>,
        outcome: Outcome,
        bounds: Bounds,
    ) -> Self {
        let messages_max = match method.map(|method| method.kind) {
            Some(Kind::Unary | Kind::ServerStream) => 1,
            Some(Kind::ClientStream | Kind::BidiStream) | None => u64::MAX,
        };
        let is_short = method.is_some_and(|method| {
            method.kind == Kind::Unary && method.rule.deadline <= bounds.idle_max
        });
        Self {
            inner,
            scanner: Scanner::default(),
            outcome,
            messages: 0,
            messages_max,
            bounds,
            stall: if is_short { Stall::Harmless } else { Stall::Not },
            version,
            is_over: false,
        }
    }

    /// Waits for the client, but not for ever.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Stall::Not = self.stall {
            self.stall = Stall::Until(Box::pin(sleep(self.bounds.idle_max)));
        }
        let Stall::Until(sleep) = &mut self.stall else {
            return Poll::Pending;
        };
        sleep.as_mut().poll(cx).map(|()| Some(self.refuse(Reason::RequestStalled)))
    }

    fn refuse(&mut self, fault: impl Into<Fault>) -> Result<Frame<Bytes>, Status> {
        self.is_over = true;
        Err(fault.into().into())
    }

    fn read(&mut self, data: Frame<Bytes>) -> Result<Frame<Bytes>, Status> {
        let seen = data.data_ref().map(|chunk| self.scanner.scan(chunk)).unwrap_or_default();
        self.messages += seen.messages;
        self.outcome.count_received(seen.messages);
        if seen.bytes_max > self.bounds.message_bytes_max {
            return self.refuse(Reason::MessageTooLarge);
        }
        // gRPC calls it a wrong cardinality, and answers 12.
        if self.messages > self.messages_max {
            return self.refuse(Reason::Unimplemented);
        }
        Ok(data)
    }

    /// The body has broken off. What is not told in our words comes from the connection.
    fn broken(&mut self, status: Status) -> Result<Frame<Bytes>, Status> {
        if Fault::behind(&status).is_none() {
            return Err(status);
        }
        // Half of an HTTP/1.1 connection may be closed, or hold what is no chunk; the client hears.
        if self.version < Version::HTTP_2 {
            return self.refuse(Fault::invalid("", "the body ends within a message"));
        }
        // The client is gone, however it went. tonic takes its message for one that was never sent,
        // and that for a bug.
        self.outcome.set_ended(Code::Cancelled, None);
        Err(Status::cancelled("the client is gone"))
    }

    fn end(&mut self) -> Option<Result<Frame<Bytes>, Status>> {
        if self.scanner.is_within() {
            return Some(self.refuse(Fault::invalid("", "the body ends within a message")));
        }
        if self.messages == 0 && self.messages_max == 1 && !self.is_over {
            return Some(self.refuse(Reason::Unimplemented));
        }
        self.is_over = true;
        None
    }
}

impl http_body::Body for RequestFrames {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
            return self.poll_stalled(cx);
        };
        if let Stall::Until(_) = self.stall {
            self.stall = Stall::Not;
        }
        Poll::Ready(match frame {
            Some(Ok(frame)) => Some(self.read(frame)),
            Some(Err(status)) => Some(self.broken(status)),
            None => self.end(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_seen_wherever_the_chunks_are_cut() {
        let stream = [&[0, 0, 0, 0, 3, 1, 2, 3][..], &[0, 0, 0, 0, 0], &[0, 0, 0, 1, 0]].concat();
        for cut in 0..stream.len() {
            let mut scanner = Scanner::default();
            let (first, second) = (scanner.scan(&stream[..cut]), scanner.scan(&stream[cut..]));
            assert_eq!(first.messages + second.messages, 3, "cut at {cut}");
            assert_eq!(first.bytes_max.max(second.bytes_max), 256, "cut at {cut}");
        }
    }
}
