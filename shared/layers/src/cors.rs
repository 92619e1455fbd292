//! Which web pages may call: those whose origin is listed, to the letter.
//!
//! A page of any other origin is refused before the handler: a browser would hide the answer from
//! it, but the call would have happened. A client that is no browser sends no origin and passes.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use call::{Call, RequestId};
use futures_util::future::Either;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use pin_project_lite::pin_project;
use tonic::{Code, body::Body};
use tower::Service;

use crate::{Request, Response};

/// Headers that a page may send.
const ALLOWED: &str = "authorization, connect-protocol-version, connect-timeout-ms, content-type, \
                       grpc-timeout, idempotency-key, traceparent, x-grpc-web, x-mayfly-service, \
                       x-request-id, x-user-agent";

/// Headers that a page may read.
const EXPOSED: &str = "grpc-message, grpc-retry-pushback-ms, grpc-status, grpc-status-details-bin, \
                       idempotency-replayed, retry-after, trailer-x-request-id, x-request-id";

/// How long a browser may remember the answer, in seconds; they keep it for two hours at most.
const MAX_AGE: &str = "7200";

/// What an answer depends on, for caches.
const VARY: &str = "origin, access-control-request-method, access-control-request-headers";

/// The origins that may call.
#[derive(Clone, Debug, Default)]
pub struct Origins(Arc<[HeaderValue]>);

impl Origins {
    /// Just these, each as a browser sends it.
    pub fn new(origins: impl IntoIterator<Item = HeaderValue>) -> Self {
        Self(origins.into_iter().collect())
    }

    fn has(&self, origin: &HeaderValue) -> bool {
        self.0.contains(origin)
    }
}

/// Lets the pages of listed origins call `S`.
#[derive(Clone, Debug)]
pub(crate) struct Cors<S> {
    inner: S,
    origins: Origins,
}

impl<S> Cors<S> {
    pub(crate) fn new(inner: S, origins: Origins) -> Self {
        Self { inner, origins }
    }
}

fn answer(request: &Request, status: StatusCode, code: Code) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(header::VARY, HeaderValue::from_static(VARY));
    if let Some(call) = request.extensions().get::<Call>() {
        call.outcome.set_ended(code, None);
        response.headers_mut().insert(RequestId::HEADER, call.id.to_value());
    }
    response
}

/// Tells a browser what the page may send.
fn preflight(request: &Request, origin: HeaderValue) -> Response {
    let mut response = answer(request, StatusCode::NO_CONTENT, Code::Ok);
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "POST"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED),
        (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn expose(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}

// === impl Cors ===

impl<S> Service<Request> for Cors<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<CorsFuture<S::Future>, std::future::Ready<Result<Response, Infallible>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let headers = request.headers();
        let Some(origin) = headers.get(header::ORIGIN).cloned() else {
            return Either::Left(CorsFuture { inner: self.inner.call(request), origin: None });
        };
        let asks = headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let response = match (self.origins.has(&origin), request.method()) {
            (false, _) => answer(&request, StatusCode::FORBIDDEN, Code::PermissionDenied),
            (true, &Method::OPTIONS) if asks => preflight(&request, origin),
            (true, _) => {
                let inner = self.inner.call(request);
                return Either::Left(CorsFuture { inner, origin: Some(origin) });
            }
        };
        Either::Right(std::future::ready(Ok(response)))
    }
}

pin_project! {
    pub(crate) struct CorsFuture<F> {
        #[pin]
        inner: F,
        origin: Option<HeaderValue>,
    }
}

impl<F> Future for CorsFuture<F>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(mut response) = ready!(this.inner.poll(cx));
        if let Some(origin) = this.origin.take() {
            expose(response.headers_mut(), origin);
        }
        Poll::Ready(Ok(response))
    }
}
