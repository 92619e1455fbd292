//! Refuses headers that are larger than any call of ours needs, in words.
//!
//! HTTP/2 would answer 431 by itself, which a gRPC client can only take for an unknown failure; so
//! the connection reads somewhat more than is allowed, and this says so.

use std::task::{Context, Poll};

use futures_util::future::{Either, Ready, ready};
use tower::Service;

use crate::{Raised, Request, Response};

/// All headers of one request together. gRPC's own advice is 8 KiB; tokens need more.
pub const HEADERS_BYTES_MAX: usize = 16 * 1024;

/// What HTTP/2 counts for each header beside its name and value (RFC 9113, 6.5.2).
const OVERHEAD_BYTES: usize = 32;

/// The request's headers are too large.
#[derive(Debug, thiserror::Error)]
#[error("the headers are too large")]
pub(crate) struct HeadersTooLarge;

/// Bounds the headers of the calls of `S`.
#[derive(Clone, Debug)]
pub(crate) struct Headers<S> {
    inner: S,
}

impl<S> Headers<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner }
    }
}

fn bytes(request: &Request) -> usize {
    let headers = request.headers().iter();
    headers.map(|(name, value)| name.as_str().len() + value.len() + OVERHEAD_BYTES).sum()
}

// === impl Headers ===

impl<S> Service<Request> for Headers<S>
where
    S: Service<Request, Response = Response, Error = Raised>,
{
    type Response = Response;
    type Error = Raised;
    type Future = Either<S::Future, Ready<Result<Response, Raised>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Raised>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if bytes(&request) > HEADERS_BYTES_MAX {
            return Either::Right(ready(Err(HeadersTooLarge.into())));
        }
        Either::Left(self.inner.call(request))
    }
}
