//! Bounds how many streams there are at a time: they last, and each keeps something for its client.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use call::Call;
use futures_util::future::{Either, Ready, ready as settled};
use http_body::{Body as _, Frame, SizeHint};
use pin_project_lite::pin_project;
use proto::Kind;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Status, body::Body};
use tower::Service;

use crate::{BoxError, Request, Response};

/// There are as many streams as there may be.
#[derive(Debug, thiserror::Error)]
#[error("there are too many streams")]
pub(crate) struct TooManyStreams;

/// Bounds the streams of `S`.
#[derive(Clone, Debug)]
pub(crate) struct Streams<S> {
    inner: S,
    places: Arc<Semaphore>,
}

impl<S> Streams<S> {
    pub(crate) fn new(inner: S, streams_max: usize) -> Self {
        Self { inner, places: Arc::new(Semaphore::new(streams_max)) }
    }
}

/// Whether the call is a stream's.
fn is_stream(request: &Request) -> bool {
    let method = request.extensions().get::<Call>().and_then(|call| call.method);
    method.is_some_and(|method| method.kind != Kind::Unary)
}

// === impl Streams ===

impl<S> Service<Request> for Streams<S>
where
    S: Service<Request, Response = Response, Error = BoxError>,
{
    type Response = Response;
    type Error = BoxError;
    type Future = Either<StreamFuture<S::Future>, Ready<Result<Response, BoxError>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let mut place = None;
        if is_stream(&request) {
            let Ok(taken) = Arc::clone(&self.places).try_acquire_owned() else {
                return Either::Right(settled(Err(TooManyStreams.into())));
            };
            place = Some(taken);
        }
        Either::Left(StreamFuture { inner: self.inner.call(request), place })
    }
}

pin_project! {
    pub(crate) struct StreamFuture<F> {
        #[pin]
        inner: F,
        place: Option<OwnedSemaphorePermit>,
    }
}

impl<F> Future for StreamFuture<F>
where
    F: Future<Output = Result<Response, BoxError>>,
{
    type Output = Result<Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        Poll::Ready(Ok(match this.place.take() {
            Some(place) if !response.body().is_end_stream() => {
                response.map(|inner| Body::new(StreamBody { inner, _place: place }))
            }
            _ => response,
        }))
    }
}

/// A stream that has its place until it is over.
struct StreamBody {
    inner: Body,
    _place: OwnedSemaphorePermit,
}

impl http_body::Body for StreamBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
