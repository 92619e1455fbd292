//! Bounds how many unary calls are worked on at a time, over all connections. Who finds no place is
//! told to come back at once: a queue would only be longer by the time it is seen.
//!
//! To wait for a client is no work: a call has its place from the end of its request on, and who
//! does not send theirs takes none from others.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{self, Context, Poll},
};

use call::Call;
use fault::Reason;
use futures_util::future::{Either, Ready, ready};
use pin_project_lite::pin_project;
use proto::{Kind, grpc::health::v1::health_server::SERVICE_NAME as HEALTH};
use tower::Service;

use crate::{
    Raised, Request, Response,
    frames::{Bounds, RequestFrames},
    places::{Place, Places},
};

/// There are as many calls as are worked on at a time.
#[derive(Debug, thiserror::Error)]
#[error("there are too many calls")]
pub(crate) struct TooManyCalls;

/// Bounds the unary calls of `S`, and what it reads of any.
#[derive(Clone, Debug)]
pub(crate) struct InFlight<S> {
    inner: S,
    places: Places,
    bounds: Bounds,
}

impl<S> InFlight<S> {
    pub(crate) fn new(inner: S, calls_max: usize, bounds: Bounds) -> Self {
        Self { inner, places: Places::new(calls_max), bounds }
    }
}

/// Streams have places of their own. Whether the process serves is told at once, and all the more
/// when it has enough to do.
fn takes_a_place(request: &Request) -> bool {
    let method = request.extensions().get::<Call>().and_then(|call| call.method);
    method.is_some_and(|method| method.kind == Kind::Unary && method.service != HEALTH)
}

// === impl InFlight ===

type Answer = Result<Response, Raised>;

impl<S> Service<Request> for InFlight<S>
where
    S: Service<Request, Response = Response, Error = Raised>,
{
    type Response = Response;
    type Error = Raised;
    type Future = Either<S::Future, Either<PlacedFuture<S::Future>, Ready<Answer>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Raised>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if !takes_a_place(&request) {
            return Either::Left(self.inner.call(RequestFrames::around(
                request,
                self.bounds,
                None,
            )));
        }
        // Sooner, and at no cost, where there is none in any case.
        if self.places.are_taken() {
            return Either::Right(Either::Right(ready(Err(TooManyCalls.into()))));
        }
        let place = Arc::default();
        let turn = Turn { places: self.places.clone(), place: Arc::clone(&place) };
        let inner = self.inner.call(RequestFrames::around(request, self.bounds, Some(turn)));
        Either::Right(Either::Left(PlacedFuture { inner, place: Some(place) }))
    }
}

/// Where a call finds its place, and where it is kept.
pub(crate) struct Turn {
    places: Places,
    place: Arc<OnceLock<Place>>,
}

impl Turn {
    /// Takes a place for the call, if there is one.
    pub(crate) fn take_place(self) -> Result<(), Reason> {
        let _first = self.place.set(self.places.take().ok_or(Reason::Shed)?);
        Ok(())
    }
}

pin_project! {
    /// A call that has its place until its answer is there; how it is taken costs no work.
    pub(crate) struct PlacedFuture<F> {
        #[pin]
        inner: F,
        place: Option<Arc<OnceLock<Place>>>,
    }
}

impl<F> Future for PlacedFuture<F>
where
    F: Future<Output = Result<Response, Raised>>,
{
    type Output = Result<Response, Raised>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let outcome = task::ready!(this.inner.poll(cx));
        *this.place = None;
        Poll::Ready(outcome)
    }
}
