//! Records how every call ended: in the metrics always, in the log when it failed or was slow.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use call::{Call, Ended, Onward, Outcome, RequestId};
use fault::Reason;
use http_body::Body as _;
use pin_project_lite::pin_project;
use proto::Method;
use telemetry::metrics::{MethodMetrics, Metrics};
use tokio::time::Instant;
use tonic::{Code, body::Body};
use tower::Service;
use tracing::Level;

use crate::{Proxy, Request, Response, body::Keeping, leftover::Late, stack::Contract};

/// A call that succeeds within this writes no line: a line costs half of a bare call.
const QUICK_MAX: Duration = Duration::from_secs(1);

/// How much sooner than ours a client's timer may fire for the same deadline.
const TIMERS_DIFFER_MAX: Duration = Duration::from_millis(2);

/// Records every call of `S`.
#[derive(Clone, Debug)]
pub(crate) struct Trace<S> {
    inner: S,
    metrics: Metrics,
    proxy: Proxy,
    contract: Contract,
}

impl<S> Trace<S> {
    pub(crate) fn new(inner: S, metrics: Metrics, proxy: Proxy, contract: Contract) -> Self {
        Self { inner, metrics, proxy, contract }
    }
}

// === impl Trace ===

impl<S> Service<Request> for Trace<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = TraceFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let method = (self.contract)(request.uri().path());
        let mut call = Call::new(RequestId::of(request.headers()), method);
        call.onward = Onward::of(request.headers());
        call.address = self.proxy.address(&request);
        // A browser asks before it calls, which is no call.
        let record = (request.method() != http::Method::OPTIONS)
            .then(|| Record::begin(self.metrics.of(method), &call));
        request.extensions_mut().insert(call);
        TraceFuture { inner: self.inner.call(request), record }
    }
}

pin_project! {
    /// An answer that is awaited; dropped before that, the client has left.
    pub(crate) struct TraceFuture<F> {
        #[pin]
        inner: F,
        record: Option<Record>,
    }
}

impl<F> Future for TraceFuture<F>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(mut response) = ready!(this.inner.poll(cx));
        let record = this.record.take();
        if record.as_ref().and_then(|record| record.outcome.ended()).is_some_and(is_late) {
            response.extensions_mut().insert(Late);
        }
        Poll::Ready(Ok(response.map(|inner| {
            if inner.is_end_stream() {
                // Nothing will be polled: the call is over, and its record is written here.
                drop(record);
                inner
            } else {
                Body::new(Keeping::new(inner, record))
            }
        })))
    }
}

/// Whether a call has ended because there was no more time for it: its own, or the process's.
fn is_late(ended: &Ended) -> bool {
    match ended.code {
        Code::DeadlineExceeded => true,
        Code::Unavailable => ended.reason().as_deref() == Some(Reason::Draining.name()),
        _ => false,
    }
}

/// What is known of a call; written when it is dropped, however the call ended.
struct Record {
    series: Arc<MethodMetrics>,
    method: Option<&'static Method>,
    id: RequestId,
    outcome: Outcome,
    start: Instant,
}

impl Drop for Record {
    fn drop(&mut self) {
        let took = self.start.elapsed();
        let code = self.outcome.ended().map_or_else(|| self.abandoned(), |ended| ended.code);
        let (received, sent) = self.outcome.messages();
        self.series.handled(code, took);
        self.series.messages(received, sent);
        if code != Code::Ok || took > QUICK_MAX {
            self.log(code, took);
        }
        self.outcome.log_events(self.id, self.method);
    }
}

impl Record {
    /// Of a call that has just arrived.
    fn begin(series: &Arc<MethodMetrics>, call: &Call) -> Self {
        series.started();
        Self {
            series: Arc::clone(series),
            method: call.method,
            id: call.id,
            outcome: call.outcome.clone(),
            start: Instant::now(),
        }
    }

    /// Nobody told an end: the client went away before there was one. It gives up when its time is
    /// over, and is often the first to see that: on the wire the time left is rounded up, by a
    /// hundredth at most.
    fn abandoned(&self) -> Code {
        let is_over = self.outcome.deadline().is_some_and(|deadline| {
            let early = deadline.duration_since(self.start) / 100 + TIMERS_DIFFER_MAX;
            deadline.duration_since(Instant::now()) <= early
        });
        if is_over { Code::DeadlineExceeded } else { Code::Cancelled }
    }

    fn log(&self, code: Code, took: Duration) {
        let ended = self.outcome.ended();
        let caller = self.outcome.caller().map(identity::Caller::key);
        let error = ended.map(Ended::chain).unwrap_or_default();
        let reason = ended.and_then(Ended::reason);
        let (what, level) = told(code);
        // The level of an event is part of its callsite: one arm each, one set of fields.
        macro_rules! line {
            ($level:expr) => {
                tracing::event!(
                    $level,
                    request_id = %self.id,
                    rpc = self.method.map_or("unknown", |method| method.path),
                    code = telemetry::metrics::code_name(code),
                    reason = reason.as_deref(),
                    caller = caller.as_deref(),
                    took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                    error,
                    "{what}"
                )
            };
        }
        match level {
            Level::ERROR => line!(Level::ERROR),
            Level::WARN => line!(Level::WARN),
            _ => line!(Level::INFO),
        }
    }
}

/// What a line says, and how loud: a bug is an error, what an operator can mend a warning.
fn told(code: Code) -> (&'static str, Level) {
    match code {
        Code::Ok => ("call was slow", Level::INFO),
        Code::Internal | Code::Unknown | Code::DataLoss => ("call failed", Level::ERROR),
        Code::Unavailable | Code::DeadlineExceeded | Code::Aborted => ("call failed", Level::WARN),
        _ => ("call failed", Level::INFO),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tonic::Status;

    use super::*;

    #[test]
    fn only_what_had_no_more_time_is_late() {
        for (reason, expected) in [
            (Reason::DeadlineExceeded, true),
            (Reason::Draining, true),
            (Reason::Shed, false),
            (Reason::MessageTooLarge, false),
        ] {
            let status = Status::from(reason);
            let ended = Ended { code: status.code(), cause: Some(Arc::new(status)) };
            assert_eq!(is_late(&ended), expected, "{reason:?}");
        }
    }
}
