//! Bounds how many unary calls are worked on at a time, over all connections. Who finds no place is
//! told to come back at once: a queue would only be longer by the time it is seen.
//!
//! To wait for a client is no work: a call has its place from the end of its request on, and who
//! does not send theirs takes none from others.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use call::Call;
use fault::Reason;
use futures_util::future::Either;
use http_body::Frame;
use pin_project_lite::pin_project;
use proto::{Kind, grpc::health::v1::health_server::SERVICE_NAME as HEALTH};
use tonic::{Status, body::Body};
use tower::Service;

use crate::{
    BoxError, Request, Response,
    places::{Place, Places},
};

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
    method.is_some_and(|method| method.kind == Kind::Unary && method.service != HEALTH)
}

// === impl InFlight ===

impl<S> Service<Request> for InFlight<S>
where
    S: Service<Request, Response = Response, Error = BoxError>,
{
    type Response = Response;
    type Error = BoxError;
    type Future = Either<S::Future, PlacedFuture<S::Future>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if !takes_a_place(&request) {
            return Either::Left(self.inner.call(request));
        }
        let turn = Turn { places: self.places.clone(), place: Arc::default() };
        let place = Arc::clone(&turn.place);
        let request = request.map(|body| Body::new(WholeBody { inner: body, turn: Some(turn) }));
        Either::Right(PlacedFuture { inner: self.inner.call(request), place })
    }
}

/// Where a call finds its place, and where it is kept.
struct Turn {
    places: Places,
    place: Arc<Mutex<Option<Place>>>,
}

/// The place that a cell holds, which is left for whoever drops it.
fn held(place: &Mutex<Option<Place>>) -> MutexGuard<'_, Option<Place>> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request's body, at the end of which the call needs its place.
struct WholeBody {
    inner: Body,
    turn: Option<Turn>,
}

impl http_body::Body for WholeBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if frame.is_none()
            && let Some(turn) = self.turn.take()
        {
            let Some(place) = turn.places.take() else {
                return Poll::Ready(Some(Err(Reason::Shed.into())));
            };
            *held(&turn.place) = Some(place);
        }
        Poll::Ready(frame)
    }
}

pin_project! {
    /// A call that has its place until its answer is there; how it is taken costs no work.
    pub(crate) struct PlacedFuture<F> {
        #[pin]
        inner: F,
        place: Arc<Mutex<Option<Place>>>,
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
        drop(held(this.place).take());
        Poll::Ready(outcome)
    }
}
