//! What layers wrap around an answer's body, where more than one of them does the same.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::{Status, body::Body};

type Polled = Poll<Option<Result<Frame<Bytes>, Status>>>;

/// A body beside which something is kept until it is over, or nobody wants it any longer.
pub(crate) struct Keeping<T> {
    inner: Body,
    kept: Option<T>,
}

impl<T> Keeping<T> {
    pub(crate) fn new(inner: Body, kept: T) -> Self {
        Self { inner, kept: Some(kept) }
    }
}

/// A body that ends when it is told to, idle or not.
pub(crate) struct Ending<T> {
    inner: Option<Body>,
    end: T,
}

/// What ends a body.
pub(crate) trait End {
    /// Waits until it must end, and says why.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Status>;
}

impl<T> Ending<T> {
    pub(crate) fn new(inner: Body, end: T) -> Self {
        Self { inner: Some(inner), end }
    }
}

// === impl Keeping ===

impl<T: Unpin> http_body::Body for Keeping<T> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if frame.is_none() {
            self.kept = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

// === impl Ending ===

impl<T: End + Unpin> http_body::Body for Ending<T> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let Self { inner, end } = &mut *self;
        let Some(body) = inner else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(status) = end.poll_end(cx) {
            *inner = None;
            return Poll::Ready(Some(Err(status)));
        }
        Pin::new(body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    /// Nobody knows how it will end.
    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
