//! One HTTP/2 stream as a task: ended when its client does not take the answer.
//!
//! hyper asks a body for more only when the last of it has found room in the client's window. Behind
//! a window that stays shut no body is asked again, and with it nothing that would end the call.

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};
use tonic::{Status, body::Body};

/// Streams of one connection that may be ended so; who does it more often means it.
const STALLS_MAX: usize = 10;

thread_local! {
    /// Whether what is being polled on this thread waits for us, and not for its client.
    static IS_OURS: Cell<bool> = const { Cell::new(false) };
}

/// Runs the streams of one connection where the drain can see them.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    tasks: TaskTracker,
    idle_max: Duration,
    stalled: Arc<Stalled>,
}

#[derive(Debug)]
struct Stalled {
    count: AtomicUsize,
    end: CancellationToken,
}

impl Streams {
    /// The streams of a connection that `end` ends; each is ended when nothing of its answer was
    /// taken for `idle_max`.
    pub(crate) fn new(tasks: TaskTracker, idle_max: Duration, end: CancellationToken) -> Self {
        let stalled = Arc::new(Stalled { count: AtomicUsize::new(0), end });
        Self { tasks, idle_max, stalled }
    }
}

/// Polls what is ours to finish.
pub(crate) async fn ours<F: Future>(work: F) -> F::Output {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|cx| noted(work.as_mut().poll(cx))).await
}

fn noted<T>(poll: Poll<T>) -> Poll<T> {
    if poll.is_pending() {
        IS_OURS.set(true);
    }
    poll
}

/// The body of an answer, which tells that it is ours to go on.
pub(crate) struct Answer {
    body: Body,
    /// The call is under way until it is sent.
    _call: Option<TaskTrackerToken>,
}

impl Answer {
    pub(crate) fn new(body: Body, call: Option<TaskTrackerToken>) -> Self {
        Self { body, _call: call }
    }
}

pin_project! {
    struct Stream<F> {
        #[pin]
        inner: F,
        #[pin]
        sleep: Option<Sleep>,
        idle_max: Duration,
        stalled: Arc<Stalled>,
    }
}

impl Stalled {
    fn add(&self) {
        if self.count.fetch_add(1, Ordering::Relaxed) + 1 == STALLS_MAX {
            self.end.cancel();
        }
    }
}

// === impl Streams ===

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, inner: F) {
        let (idle_max, stalled) = (self.idle_max, Arc::clone(&self.stalled));
        self.tasks.spawn(Stream { inner, sleep: None, idle_max, stalled });
    }
}

// === impl Stream ===

impl<F: Future<Output = ()>> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        IS_OURS.set(false);
        if this.inner.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if IS_OURS.get() {
            this.sleep.set(None);
            return Poll::Pending;
        }
        if this.sleep.is_none() {
            this.sleep.set(Some(sleep(*this.idle_max)));
        }
        if let Some(sleep) = this.sleep.as_pin_mut() {
            ready!(sleep.poll(cx));
        }
        // What is dropped now is reset.
        this.stalled.add();
        Poll::Ready(())
    }
}

// === impl Answer ===

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        noted(Pin::new(&mut self.body).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
