//! Bounds how many unary calls are worked on at a time, over all connections. Who finds no place is
//! told to come back at once: a queue would only be longer by the time it is seen.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use call::Call;
use futures_util::future::{Either, Ready, ready as settled};
use pin_project_lite::pin_project;
use proto::{Kind, grpc::health::v1::health_server::SERVICE_NAME as HEALTH};
use tower::Service;

use crate::{
    BoxError, Request, Response,
    places::{Place, Places},
};

/// There are as many calls as there may be.
#[derive(Debug, thiserror::Error)]
#[error("there are too many calls")]
pub(crate) struct TooManyCalls;

/// Bounds the unary calls of `S`.
#[derive(Clone, Debug)]
pub(crate) struct InFlight<S> {
    inner: S,
    places: Places,
}

impl<S> InFlight<S> {
    pub(crate) fn new(inner: S, calls_max: usize) -> Self {
        Self { inner, places: Places::new(calls_max) }
    }
}

/// Streams have places of their own. Whether the process serves is told at once, and all the more
/// when it has enough to do.
fn takes_a_place(request: &Request) -> bool {
    let method = request.extensions().get::<Call>().and_then(|call| call.method);
    method.is_none_or(|method| method.kind == Kind::Unary && method.service != HEALTH)
}

// === impl InFlight ===

impl<S> Service<Request> for InFlight<S>
where
    S: Service<Request, Response = Response, Error = BoxError>,
{
    type Response = Response;
    type Error = BoxError;
    type Future = Either<PlacedFuture<S::Future>, Ready<Result<Response, BoxError>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let mut place = None;
        if takes_a_place(&request) {
            let Some(taken) = self.places.take() else {
                return Either::Right(settled(Err(TooManyCalls.into())));
            };
            place = Some(taken);
        }
        Either::Left(PlacedFuture { inner: self.inner.call(request), place })
    }
}

pin_project! {
    /// A call that has its place until its answer is there; how it is taken costs no work.
    pub(crate) struct PlacedFuture<F> {
        #[pin]
        inner: F,
        place: Option<Place>,
    }
}

impl<F> Future for PlacedFuture<F>
where
    F: Future<Output = Result<Response, BoxError>>,
{
    type Output = Result<Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let outcome = ready!(this.inner.poll(cx));
        *this.place = None;
        Poll::Ready(outcome)
    }
}
