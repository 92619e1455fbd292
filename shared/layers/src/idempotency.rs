//! Asks for an idempotency key wherever the rule says that a mutation happens exactly once.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use call::{Call, IdempotencyKey};
use futures_util::{
    TryFutureExt,
    future::{Either, MapErr, Ready, ready},
};
use proto::Mutation;
use tower::Service;

use crate::{Raised, Request, Response};

/// The rule asks for a key and there is none.
#[derive(Debug, thiserror::Error)]
#[error("the idempotency key is missing")]
pub(crate) struct KeyMissing;

/// Puts the idempotency key of every call of `S` into its [`Call`].
#[derive(Clone, Debug)]
pub(crate) struct Idempotency<S> {
    inner: S,
}

impl<S> Idempotency<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner }
    }
}

fn take_key(request: &mut Request) -> Result<(), Raised> {
    let method = request.extensions().get::<Call>().and_then(|call| call.method);
    // Elsewhere the header means nothing, whatever it holds.
    if method.is_none_or(|method| method.rule.mutation != Mutation::ExactlyOnce) {
        return Ok(());
    }
    let key = IdempotencyKey::of(request.headers())?.ok_or(KeyMissing)?;
    if let Some(call) = request.extensions_mut().get_mut::<Call>() {
        call.idempotency_key = Some(key);
    }
    Ok(())
}

fn never(infallible: Infallible) -> Raised {
    match infallible {}
}

// === impl Idempotency ===

impl<S> Service<Request> for Idempotency<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Raised;
    type Future =
        Either<MapErr<S::Future, fn(Infallible) -> Raised>, Ready<Result<Response, Raised>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Raised>> {
        self.inner.poll_ready(cx).map_err(never)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        match take_key(&mut request) {
            Ok(()) => Either::Left(self.inner.call(request).map_err(never as fn(_) -> _)),
            Err(error) => Either::Right(ready(Err(error))),
        }
    }
}
