//! Finds out who calls, and refuses whoever the rule does not name.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use call::Call;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use http_body::Body as _;
use identity::{Caller, Verifier, bearer};
use proto::{Access, Kind, Method};
use revocation::Revocations;
use tonic::body::Body;
use tower::Service;

use crate::{
    BoxError, Request, Response,
    tenure::{Tenure, TenureBody},
};

/// A known caller that may not call this.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Forbidden {
    #[error("the caller has none of the roles")]
    Role,
    #[error("the caller is not one of the services")]
    Service,
}

/// Puts the caller of every call of `S` into its [`Call`].
#[derive(Clone, Debug)]
pub(crate) struct Authenticate<S> {
    inner: S,
    gate: Gate,
}

/// Who knows whom a token belongs to, and whether it still counts.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    pub(crate) verifier: Verifier,
    pub(crate) revocations: Revocations,
}

impl<S> Authenticate<S> {
    pub(crate) fn new(inner: S, gate: Gate) -> Self {
        Self { inner, gate }
    }
}

/// Who calls, if the rule lets them in. The identity is the token's and nothing else's.
async fn admit(
    gate: &Gate,
    method: Option<&Method>,
    headers: &HeaderMap,
) -> Result<Caller, BoxError> {
    let any_of = match method.map(|method| method.rule.access) {
        // A path in no contract has no handler either; tonic's router says so. And a public RPC
        // looks at no token: an expired one must not stand in the way of a new one.
        None | Some(Access::Public) => return Ok(Caller::Nobody),
        Some(Access::SignedIn) => None,
        Some(Access::Role { any_of }) => Some(any_of),
        Some(Access::Service { .. }) => return Err(Forbidden::Service.into()),
    };
    let person = gate.verifier.verify(bearer(headers)?).await?;
    gate.revocations.check(&person).await?;
    let has_one = |any_of: &[&str]| person.roles.iter().any(|role| any_of.contains(&role.as_str()));
    if any_of.is_some_and(|any_of| !has_one(any_of)) {
        return Err(Forbidden::Role.into());
    }
    Ok(Caller::Person(person))
}

/// A stream's answer, for as long as its caller may have it.
async fn for_as_long_as(
    mut tenure: Tenure,
    answer: impl Future<Output = Result<Response, BoxError>> + Send,
) -> Result<Response, BoxError> {
    let response = tokio::select! {
        response = answer => response?,
        over = poll_fn(|cx| tenure.poll_over(cx)) => return Err(over),
    };
    if response.body().is_end_stream() {
        return Ok(response);
    }
    Ok(response.map(|body| Body::new(TenureBody::new(body, tenure))))
}

// === impl Authenticate ===

impl<S> Service<Request> for Authenticate<S>
where
    S: Service<Request, Response = Response, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let gate = self.gate.clone();
        // The clone is the one that was not polled ready: it takes the other's place.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let method = request.extensions().get::<Call>().and_then(|call| call.method);
            let caller = admit(&gate, method, request.headers()).await?;
            let is_stream = method.is_some_and(|method| method.kind != Kind::Unary);
            let tenure = match &caller {
                Caller::Person(person) if is_stream => Some(Tenure::new(gate, Arc::clone(person))),
                _ => None,
            };
            if let Some(call) = request.extensions_mut().get_mut::<Call>() {
                call.outcome.set_caller(caller.clone());
                call.caller = caller;
            }
            match tenure {
                Some(tenure) => for_as_long_as(tenure, inner.call(request)).await,
                None => inner.call(request).await,
            }
        })
    }
}
