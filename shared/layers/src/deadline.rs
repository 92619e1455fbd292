//! Ends a call when its time is over: the client's, the rule's or the ceiling, whichever is first.
//!
//! tonic's own timer answers CANCELLED and takes a malformed header for none; this one is told in
//! words. The handler is dropped where it stands, and with it whatever it was waiting for.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use call::{Call, TimeoutError, timeout};
use fault::Reason;
use http_body::{Body as _, Frame, SizeHint};
use pin_project_lite::pin_project;
use proto::{Kind, Method};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::{Status, body::Body};
use tower::Service;

use crate::{BoxError, Request, Response};

/// A path that is in no contract gets no more time than it takes to say so.
const UNKNOWN_METHOD_MAX: Duration = Duration::from_secs(1);

/// The call took longer than it was given.
#[derive(Debug, thiserror::Error)]
#[error("the deadline has passed")]
pub(crate) struct Expired;

/// Bounds the calls of `S`.
#[derive(Clone, Debug)]
pub(crate) struct Deadline<S> {
    inner: S,
    deadline_max: Duration,
}

impl<S> Deadline<S> {
    pub(crate) fn new(inner: S, deadline_max: Duration) -> Self {
        Self { inner, deadline_max }
    }

    /// How long the call may take.
    fn budget(&self, request: &Request, method: Option<&Method>) -> Result<Duration, TimeoutError> {
        let rule = method.map_or(UNKNOWN_METHOD_MAX, |method| method.rule.deadline);
        // A stream's rule is its age, which the ceiling on calls says nothing about.
        let ceiling = match method.map(|method| method.kind) {
            None | Some(Kind::Unary) => rule.min(self.deadline_max),
            Some(_stream) => rule,
        };
        Ok(timeout(request.headers())?.map_or(ceiling, |asked| asked.min(ceiling)))
    }
}

// === impl Deadline ===

impl<S> Service<Request> for Deadline<S>
where
    S: Service<Request, Response = Response, Error = BoxError>,
{
    type Response = Response;
    type Error = BoxError;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let method = request.extensions().get::<Call>().and_then(|call| call.method);
        let (budget, malformed) = match self.budget(&request, method) {
            Ok(budget) => (budget, None),
            Err(malformed) => (Duration::ZERO, Some(malformed)),
        };
        let deadline = Instant::now() + budget;
        if let Some(call) = request.extensions_mut().get_mut::<Call>() {
            call.deadline = Some(deadline);
        }
        let is_begun = malformed.is_none() && !budget.is_zero();
        DeadlineFuture {
            inner: is_begun.then(|| self.inner.call(request)),
            malformed,
            sleep: sleep_until(deadline),
            deadline,
            is_stream: method.is_some_and(|method| method.kind != Kind::Unary),
        }
    }
}

pin_project! {
    pub(crate) struct DeadlineFuture<F> {
        #[pin]
        inner: Option<F>,
        malformed: Option<TimeoutError>,
        #[pin]
        sleep: Sleep,
        deadline: Instant,
        is_stream: bool,
    }
}

impl<F> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<Response, BoxError>>,
{
    type Output = Result<Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(malformed) = this.malformed.take() {
            return Poll::Ready(Err(malformed.into()));
        }
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(Err(Expired.into()));
        };
        if let Poll::Ready(outcome) = inner.poll(cx) {
            let is_stream = *this.is_stream;
            let deadline = *this.deadline;
            // The one message of a unary answer is there; a stream goes on until it is over.
            return Poll::Ready(outcome.map(|response| {
                if is_stream && !response.body().is_end_stream() {
                    response.map(|inner| Body::new(DeadlineBody::new(inner, deadline)))
                } else {
                    response
                }
            }));
        }
        ready!(this.sleep.poll(cx));
        // The handler is dropped now, not when somebody drops this future.
        this.inner.set(None);
        Poll::Ready(Err(Expired.into()))
    }
}

/// A stream that ends when its time is over, idle or not.
struct DeadlineBody {
    inner: Option<Body>,
    sleep: Pin<Box<Sleep>>,
}

impl DeadlineBody {
    fn new(inner: Body, deadline: Instant) -> Self {
        Self { inner: Some(inner), sleep: Box::pin(sleep_until(deadline)) }
    }
}

impl http_body::Body for DeadlineBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.inner.is_some() && self.sleep.as_mut().poll(cx).is_ready() {
            self.inner = None;
            return Poll::Ready(Some(Err(Reason::DeadlineExceeded.into())));
        }
        match self.inner.as_mut() {
            Some(inner) => Pin::new(inner).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
