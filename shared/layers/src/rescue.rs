//! Turns what the layers below raise into statuses, and completes every answer.
//!
//! An error of a layer, a refusal of the codec and a failure of the handler leave here alike: code,
//! constant message, details, request id. A body that breaks ends in trailers, never in a reset.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use call::{Call, Outcome, RequestId};
use fault::Fault;
use http::{HeaderMap, HeaderValue};
use http_body::{Body as _, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::{Code, Status, body::Body};
use tower::Service;

use crate::{Raised, Request, Response, catch_panic::caught, message::Scanner};

/// Rescues the calls of `S`.
#[derive(Clone, Debug)]
pub(crate) struct Rescue<S> {
    inner: S,
}

impl<S> Rescue<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner }
    }
}

/// A status in our words, whoever raised it. Of a foreign one's metadata only this is kept: which
/// encodings would be read.
fn ours(status: Status) -> Status {
    const ENCODINGS: &str = "grpc-accept-encoding";
    let Some(fault) = Fault::behind(&status) else {
        return status;
    };
    let mut ours = Status::from(fault);
    if let Some(encodings) = status.metadata().get(ENCODINGS) {
        ours.metadata_mut().insert(ENCODINGS, encodings.clone());
    }
    ours
}

/// Whether trailers say that all went well.
fn is_ok(trailers: &HeaderMap) -> bool {
    trailers.get(Status::GRPC_STATUS).is_none_or(|code| code.as_bytes() == b"0")
}

// === impl Rescue ===

impl<S> Service<Request> for Rescue<S>
where
    S: Service<Request, Response = Response, Error = Raised>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = RescueFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Nothing below holds calls back; whatever it raises is raised by the call itself.
        let _readiness = self.inner.poll_ready(cx);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let call = request.extensions().get::<Call>();
        let (id, outcome) = match call {
            Some(call) => (call.id, call.outcome.clone()),
            None => (RequestId::of(request.headers()), Outcome::default()),
        };
        RescueFuture { inner: self.inner.call(request), id, outcome }
    }
}

pin_project! {
    pub(crate) struct RescueFuture<F> {
        #[pin]
        inner: F,
        id: RequestId,
        outcome: Outcome,
    }
}

impl<F> Future for RescueFuture<F>
where
    F: Future<Output = Result<Response, Raised>>,
{
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = match ready!(this.inner.poll(cx)) {
            Ok(response) => response,
            Err(raised) => Status::from(Fault::from(raised)).into_http(),
        };
        // What is not known, or is not begun, is told in headers alone.
        let raised = response.extensions_mut().remove::<Status>();
        let told = || Status::from_header_map(response.headers());
        let is_over = response.body().is_end_stream();
        if let Some(status) = raised.or_else(|| if is_over { told() } else { None }) {
            let status = ours(status);
            this.outcome.set_ended(status.code(), Some(Arc::new(status.clone())));
            response = status.into_http();
            response.extensions_mut().remove::<Status>();
        }
        let id = this.id.to_value();
        response.headers_mut().insert(RequestId::HEADER, id.clone());
        Poll::Ready(Ok(response.map(|inner| {
            if inner.is_end_stream() {
                inner
            } else {
                Body::new(RescueBody::new(inner, id, this.outcome.clone()))
            }
        })))
    }
}

/// A body that always ends in trailers, however it is made: one that panics as well.
struct RescueBody {
    inner: Body,
    /// Written once: it stands in the headers and in the trailers.
    id: HeaderValue,
    outcome: Outcome,
    scanner: Scanner,
    is_over: bool,
}

impl RescueBody {
    fn new(inner: Body, id: HeaderValue, outcome: Outcome) -> Self {
        Self { inner, id, outcome, scanner: Scanner::default(), is_over: false }
    }

    fn pass(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        if let Some(data) = frame.data_ref() {
            self.outcome.count_sent(self.scanner.scan(data).messages);
        }
        frame
    }

    /// The end as it is told; `fault` is what a handler's stream has just failed with, of which
    /// only the words have come this far.
    fn complete(&mut self, trailers: HeaderMap, fault: Option<Arc<Fault>>) -> Frame<Bytes> {
        self.is_over = true;
        // Most calls go well, and a status costs a copy of the trailers.
        let failed = if is_ok(&trailers) { None } else { Status::from_header_map(&trailers) };
        let mut trailers = match failed {
            Some(status) if status.details().is_empty() => self.end(ours(status)),
            Some(mut status) => {
                if let Some(fault) = fault.filter(|fault| fault.reason().code() == status.code()) {
                    status.set_source(fault);
                }
                self.outcome.set_ended(status.code(), Some(Arc::new(status)));
                trailers
            }
            None => {
                self.outcome.set_ended(Code::Ok, None);
                trailers
            }
        };
        trailers.insert(RequestId::HEADER, self.id.clone());
        Frame::trailers(trailers)
    }

    fn end(&self, status: Status) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        // Only metadata that is no header could fail, and ours is made of constants.
        let _outcome = status.add_header(&mut trailers);
        self.outcome.set_ended(status.code(), Some(Arc::new(status)));
        trailers
    }
}

impl http_body::Body for RescueBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let poll = || caught(|| Pin::new(&mut self.inner).poll_frame(cx));
        let (polled, fault) = fault::told_by(poll);
        let frame = match polled {
            Ok(frame) => ready!(frame),
            Err(panicked) => Some(Err(Fault::internal(panicked).into())),
        };
        match frame {
            Some(Ok(frame)) => Poll::Ready(Some(Ok(match frame.into_trailers() {
                Ok(trailers) => self.complete(trailers, fault),
                Err(data) => self.pass(data),
            }))),
            Some(Err(status)) => {
                let trailers = self.end(ours(status));
                Poll::Ready(Some(Ok(self.complete(trailers, None))))
            }
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use fault::Reason;
    use futures_util::{FutureExt, stream};
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    /// What is known of an answer that ends in the trailers of `status`, made when it is polled.
    fn outcome_of(status: impl FnOnce() -> Status + Send + 'static) -> Outcome {
        let failing = stream::once(async {
            let mut trailers = HeaderMap::new();
            status().add_header(&mut trailers).unwrap();
            Ok::<_, Status>(Frame::trailers(trailers))
        });
        let (outcome, id) = (Outcome::default(), HeaderValue::from_static("an id"));
        let body = Body::new(StreamBody::new(Box::pin(failing)));
        let answer = RescueBody::new(body, id, outcome.clone()).collect().now_or_never();
        let answer = answer.unwrap().unwrap();
        assert_eq!(answer.trailers().unwrap()["x-request-id"], "an id");
        outcome
    }

    #[test]
    fn what_a_stream_fails_with_midway_is_known_with_its_cause() {
        let outcome = outcome_of(|| Fault::new(Reason::DbUnavailable).because("no route").into());
        let ended = outcome.ended().unwrap();
        assert_eq!(
            (ended.code, ended.reason().as_deref()),
            (Code::Unavailable, Some("DB_UNAVAILABLE"))
        );
        assert!(ended.chain().ends_with("no route"), "{}", ended.chain());
    }

    #[test]
    fn the_reason_is_read_where_the_cause_is_lost() {
        let status = Status::from(Reason::Conflict);
        let outcome = outcome_of(move || status);
        let ended = outcome.ended().unwrap();
        assert_eq!((ended.reason().as_deref(), &*ended.chain()), (Some("CONFLICT"), ""));
    }
}
