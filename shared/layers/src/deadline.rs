//! Ends a call when its time is over: the client's, the rule's or the ceiling, whichever is first.
//!
//! tonic's own timer answers CANCELLED and takes a malformed header for none; this one is told in
//! words. The handler is dropped where it stands, and with it whatever it was waiting for.
//!
//! A stream also ends at the age its rule gives it, and when the process is about to stop: with 14,
//! so that the client comes back and goes on from where it was.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use call::{Call, TimeoutError, timeout};
use fault::Reason;
use futures_util::future::{Either, Ready, ready as settled};
use http_body::Body as _;
use pin_project_lite::pin_project;
use proto::{Kind, Method};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Status, body::Body};
use tower::Service;

use crate::{
    Raised, Request, Response,
    body::{End, Ending},
};

/// A path that is in no contract gets no more time than it takes to say so.
const UNKNOWN_METHOD_MAX: Duration = Duration::from_secs(1);

/// A call with less time than this is not begun: it would be dropped with its work half done.
const BEGIN_MIN: Duration = Duration::from_millis(10);

/// How long a stream may go on once the process is about to stop: enough for a last word.
const LAST_WORD_MAX: Duration = Duration::from_millis(250);

/// The call took longer than it was given.
#[derive(Debug, thiserror::Error)]
#[error("the deadline has passed")]
pub(crate) struct Expired;

/// The process cannot wait for the call any longer.
#[derive(Debug, thiserror::Error)]
#[error("the drain is over")]
pub(crate) struct Cut;

/// What ends calls before their time, and how much time that leaves them.
#[derive(Clone, Debug)]
pub(crate) struct Drain {
    /// Cancelled when the process is about to stop.
    pub(crate) begun: CancellationToken,
    /// Cancelled when it waits no longer.
    pub(crate) cut: CancellationToken,
    /// How long lies between the two.
    pub(crate) max: Duration,
}

/// Bounds the calls of `S`.
#[derive(Clone, Debug)]
pub(crate) struct Deadline<S> {
    inner: S,
    ceiling: Duration,
    drain: Drain,
}

/// How long a call may take, and what it is told when that is over.
#[derive(Clone, Copy, Debug)]
struct Budget {
    time: Duration,
    then: Reason,
}

impl<S> Deadline<S> {
    pub(crate) fn new(inner: S, ceiling: Duration, drain: Drain) -> Self {
        Self { inner, ceiling, drain }
    }

    fn budget(&self, request: &Request, method: Option<&Method>) -> Result<Budget, TimeoutError> {
        let rule = method.map_or(UNKNOWN_METHOD_MAX, |method| method.rule.deadline);
        let is_stream = method.is_some_and(|method| method.kind != Kind::Unary);
        // A stream's rule is its age, which the ceiling on calls says nothing about.
        let (ceiling, then) = if is_stream {
            (rule, Reason::StreamAged)
        } else {
            (rule.min(self.ceiling), Reason::DeadlineExceeded)
        };
        Ok(match timeout(request.headers())? {
            Some(asked) if asked <= ceiling => {
                Budget { time: asked, then: Reason::DeadlineExceeded }
            }
            _ => Budget { time: ceiling, then },
        })
    }
}

// === impl Deadline ===

impl<S> Service<Request> for Deadline<S>
where
    S: Service<Request, Response = Response, Error = Raised>,
{
    type Response = Response;
    type Error = Raised;
    type Future = Either<DeadlineFuture<S::Future>, Ready<Result<Response, Raised>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Raised>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let method = request.extensions().get::<Call>().and_then(|call| call.method);
        let budget = match self.budget(&request, method) {
            Ok(budget) => budget,
            Err(malformed) => return Either::Right(settled(Err(malformed.into()))),
        };
        let deadline = Instant::now() + budget.time;
        if let Some(call) = request.extensions_mut().get_mut::<Call>() {
            call.deadline = Some(deadline);
            call.outcome.set_deadline(deadline);
        }
        if budget.time < BEGIN_MIN {
            return Either::Right(settled(Err(Expired.into())));
        }
        let is_stream = method.is_some_and(|method| method.kind != Kind::Unary);
        // Most calls are over before a drain is, and need not be told of its end.
        let is_long = budget.time >= self.drain.max;
        Either::Left(DeadlineFuture {
            inner: Some(self.inner.call(request)),
            deadline,
            sleep: None,
            cut: is_long.then(|| Box::pin(self.drain.cut.clone().cancelled_owned())),
            stream: is_stream.then(|| Ends {
                deadline,
                then: budget.then,
                drain: self.drain.begun.clone(),
            }),
        })
    }
}

pin_project! {
    pub(crate) struct DeadlineFuture<F> {
        // Nothing once the call is over.
        #[pin]
        inner: Option<F>,
        deadline: Instant,
        // Most calls are over when they are first polled, and need no timer.
        #[pin]
        sleep: Option<Sleep>,
        cut: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
        stream: Option<Ends>,
    }
}

/// What ends a stream.
struct Ends {
    deadline: Instant,
    then: Reason,
    drain: CancellationToken,
}

impl<F> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<Response, Raised>>,
{
    type Output = Result<Response, Raised>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(Err(Expired.into()));
        };
        if let Poll::Ready(outcome) = inner.poll(cx) {
            // The one message of a unary answer is there; a stream goes on until it is over.
            return Poll::Ready(outcome.map(|response| match this.stream.take() {
                Some(ends) if !response.body().is_end_stream() => {
                    response.map(|inner| Body::new(Ending::new(inner, StreamEnd::new(ends))))
                }
                _ => response,
            }));
        }
        let is_cut = this.cut.as_mut().is_some_and(|cut| cut.as_mut().poll(cx).is_ready());
        if is_cut {
            this.inner.set(None);
            return Poll::Ready(Err(Cut.into()));
        }
        if this.sleep.is_none() {
            this.sleep.set(Some(sleep_until(*this.deadline)));
        }
        if let Some(sleep) = this.sleep.as_pin_mut() {
            ready!(sleep.poll(cx));
        }
        // The handler is dropped now, not when somebody drops this future.
        this.inner.set(None);
        Poll::Ready(Err(Expired.into()))
    }
}

/// What ends a stream once it is there.
struct StreamEnd {
    sleep: Pin<Box<Sleep>>,
    then: Reason,
    drain: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl StreamEnd {
    fn new(ends: Ends) -> Self {
        Self {
            sleep: Box::pin(sleep_until(ends.deadline)),
            then: ends.then,
            drain: Some(Box::pin(ends.drain.cancelled_owned())),
        }
    }
}

impl End for StreamEnd {
    /// When its time is over; the drain brings that near.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        let is_draining =
            self.drain.as_mut().is_some_and(|drain| drain.as_mut().poll(cx).is_ready());
        if is_draining {
            self.drain = None;
            let end = Instant::now() + LAST_WORD_MAX;
            if end < self.sleep.deadline() {
                self.sleep.as_mut().reset(end);
                self.then = Reason::Draining;
            }
        }
        self.sleep.as_mut().poll(cx).map(|()| self.then.into())
    }
}
