//! A panic is one failed call: the process, the connection and its other streams live on. That of
//! an answer's body is caught where its trailers are written, in `rescue`.

use std::{
    any::Any,
    backtrace::Backtrace,
    cell::{Cell, RefCell},
    panic::{self, AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::future::{Either, Ready, ready};
use pin_project_lite::pin_project;
use tower::Service;

use crate::{Raised, Request, Response};

/// A call that panicked: where, and with which words.
#[derive(Debug, thiserror::Error)]
#[error("panicked: {message}\n{backtrace}")]
pub(crate) struct Panicked {
    message: String,
    backtrace: String,
}

thread_local! {
    /// Whether a panic on this thread is about to be caught by this layer.
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
    /// What the hook saw of the last panic on this thread.
    static SEEN: RefCell<Option<Panicked>> = const { RefCell::new(None) };
}

/// Has panics of calls logged with their call, and all others as lines of their own.
pub fn install_hook() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(String::new, ToString::to_string);
        let message = format!("{} at {place}", words(info.payload()));
        let backtrace = Backtrace::force_capture().to_string();
        if IS_CAUGHT.get() {
            SEEN.set(Some(Panicked { message, backtrace }));
        } else {
            tracing::error!(backtrace, "panicked outside of a call: {message}");
        }
    }));
}

fn words(payload: &dyn Any) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("without words")
}

/// Runs `work`, and makes a panic in it an error.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    let outer = IS_CAUGHT.replace(true);
    // What a panic leaves half done belongs to this one call, which ends here.
    let outcome = catch_unwind(AssertUnwindSafe(work));
    IS_CAUGHT.set(outer);
    outcome.map_err(|payload| {
        let message = words(&*payload).to_owned();
        SEEN.take().unwrap_or_else(|| Panicked { message, backtrace: String::new() })
    })
}

/// Catches the panics of `S`.
#[derive(Clone, Debug)]
pub(crate) struct CatchPanic<S> {
    inner: S,
}

impl<S> CatchPanic<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner }
    }
}

// === impl CatchPanic ===

impl<S> Service<Request> for CatchPanic<S>
where
    S: Service<Request, Response = Response, Error = Raised>,
{
    type Response = Response;
    type Error = Raised;
    type Future = Either<CatchPanicFuture<S::Future>, Ready<Result<Response, Raised>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Raised>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match caught(|| self.inner.call(request)) {
            Ok(inner) => Either::Left(CatchPanicFuture { inner }),
            Err(panicked) => Either::Right(ready(Err(panicked.into()))),
        }
    }
}

pin_project! {
    pub(crate) struct CatchPanicFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F> Future for CatchPanicFuture<F>
where
    F: Future<Output = Result<Response, Raised>>,
{
    type Output = Result<Response, Raised>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match caught(|| this.inner.poll(cx)) {
            Ok(outcome) => outcome,
            Err(panicked) => Poll::Ready(Err(panicked.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use tower::{ServiceExt, service_fn};

    use super::*;

    #[tokio::test]
    async fn what_is_written_of_a_panic_names_the_place_and_the_way_there() {
        install_hook();
        let bug = service_fn(async |_request| panic!("no words"));
        let error = CatchPanic::new(bug).oneshot(Request::default()).await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("panicked: no words at shared/layers/src/catch_panic.rs:"),
            "{text}"
        );
        assert!(text.contains("CatchPanicFuture"), "{text}");
    }
}
