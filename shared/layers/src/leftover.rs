//! Reads what is left of a request that was answered before its end, where its client has to have
//! sent all of it before it reads the answer: over HTTP/1.1.
//!
//! Such a connection would be closed with bytes that nobody has read, for which the kernel resets
//! it; and the client, still sending, would never learn why it was refused. HTTP/2 has a code for
//! just that.
//!
//! A call whose time is over is answered at once: its client waits no longer.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, Either};
use http::{HeaderValue, Version, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::{sync::oneshot, time::timeout};
use tonic::{Status, body::Body};
use tower::Service;

use crate::{Request, Response};

/// How long a client may take to come to the answer.
const TIME_MAX: Duration = Duration::from_secs(10);

/// How long it may not go on: one that has stopped sending does not read either.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// How many of the largest messages are read for nothing.
const MESSAGES_MAX: usize = 4;

/// Says of an answer that it has no time to wait: an extension.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Late;

/// Reads what `S` leaves.
#[derive(Clone, Debug)]
pub(crate) struct Leftover<S> {
    inner: S,
    bytes_max: usize,
}

impl<S> Leftover<S> {
    pub(crate) fn new(inner: S, message_bytes_max: usize) -> Self {
        Self { inner, bytes_max: message_bytes_max.saturating_mul(MESSAGES_MAX) }
    }
}

/// Reads to the end, or as far as is reasonable.
async fn discard(mut body: Body, bytes_max: usize) {
    let mut bytes = 0;
    while let Ok(Some(Ok(frame))) = timeout(IDLE_MAX, body.frame()).await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > bytes_max {
            return;
        }
    }
}

// === impl Leftover ===

impl<S> Service<Request> for Leftover<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response, Infallible>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if request.version() > Version::HTTP_11 || request.body().is_end_stream() {
            return Either::Left(self.inner.call(request));
        }
        let (give_back, mut left) = oneshot::channel();
        // Who waits to be told to go on is told so by the first read, and else sends nothing.
        let is_sent = !request.headers().contains_key(header::EXPECT);
        let lend =
            |inner| Body::new(Lent { inner: Some(inner), give_back: Some(give_back), is_sent });
        let answer = self.inner.call(request.map(lend));
        let bytes_max = self.bytes_max;
        Either::Right(Box::pin(async move {
            let Ok(mut response) = answer.await;
            // Whoever still holds the body reads it.
            let Ok(body) = left.try_recv() else { return Ok(response) };
            if response.extensions().get::<Late>().is_some() {
                // No request can follow one whose end is not read.
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            } else {
                let _is_in_time = timeout(TIME_MAX, discard(body, bytes_max)).await;
            }
            Ok(response)
        }))
    }
}

/// A body that is given back by whoever does not read it to its end.
struct Lent {
    inner: Option<Body>,
    give_back: Option<oneshot::Sender<Body>>,
    /// Whether its client sends it unasked, or has been asked.
    is_sent: bool,
}

impl Drop for Lent {
    fn drop(&mut self) {
        let (body, give_back) = (self.inner.take(), self.give_back.take());
        if let (Some(body), Some(give_back), true) = (body, give_back, self.is_sent) {
            // The call itself may be over.
            let _outcome = give_back.send(body);
        }
    }
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.is_sent = true;
        let Some(inner) = self.inner.as_mut() else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(inner).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.inner = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(SizeHint::default, http_body::Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use futures_util::{StreamExt, stream};
    use http_body_util::StreamBody;
    use tower::service_fn;

    use super::*;

    const FRAMES: usize = 20;
    const FRAME: Bytes = Bytes::from_static(&[0; 10]);

    /// How many of a request's frames are read where the call is answered after the first.
    async fn read(version: Version, message_bytes_max: usize) -> usize {
        let refuse = service_fn(async |mut request: Request| {
            let _first = request.body_mut().frame().await;
            Ok::<_, Infallible>(Response::new(Body::empty()))
        });
        read_by(refuse, Request::new(Body::empty()), version, message_bytes_max).await
    }

    /// How many frames of `request` are read where `refuse` does not read them all.
    async fn read_by<S>(
        refuse: S,
        mut request: Request,
        version: Version,
        message_bytes_max: usize,
    ) -> usize
    where
        S: Service<Request, Response = Response, Error = Infallible>,
        S::Future: Send + 'static,
    {
        let read = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&read);
        let frames = stream::iter(0..FRAMES).map(move |_frame| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Status>(Frame::data(FRAME))
        });
        *request.body_mut() = Body::new(StreamBody::new(frames));
        *request.version_mut() = version;
        let Ok(_response) = Leftover::new(refuse, message_bytes_max).call(request).await;
        read.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn a_client_of_http_1_comes_to_the_answer() {
        assert_eq!(read(Version::HTTP_11, 1000).await, FRAMES);
        assert_eq!(read(Version::HTTP_2, 1000).await, 1);
    }

    #[tokio::test]
    async fn who_waits_to_be_told_to_go_on_is_not_told_so_for_nothing() {
        let refuse =
            || service_fn(async |_request| Ok::<_, Infallible>(Response::new(Body::empty())));
        let plain = || Request::new(Body::empty());
        let mut waiting = plain();
        let expected = HeaderValue::from_static("100-continue");
        waiting.headers_mut().insert(header::EXPECT, expected);
        assert_eq!(read_by(refuse(), waiting, Version::HTTP_11, 1000).await, 0);
        assert_eq!(read_by(refuse(), plain(), Version::HTTP_11, 1000).await, FRAMES);
    }

    #[tokio::test]
    async fn an_answer_that_is_late_waits_for_nothing_and_closes_the_connection() {
        let late = service_fn(async |_request: Request| {
            let mut response = Response::new(Body::empty());
            response.extensions_mut().insert(Late);
            Ok::<_, Infallible>(response)
        });
        let request = Request::new(Body::new(StreamBody::new(stream::pending::<
            Result<Frame<Bytes>, Status>,
        >())));
        let answer = Leftover::new(late, 1000).call(request);
        let Ok(response) = timeout(IDLE_MAX / 2, answer).await.expect("it waits for nothing");
        assert_eq!(response.headers()[header::CONNECTION], "close");
    }

    #[tokio::test]
    async fn what_is_left_is_read_as_far_as_is_reasonable() {
        assert_eq!(read(Version::HTTP_11, 10).await, 1 + MESSAGES_MAX + 1);
    }
}
