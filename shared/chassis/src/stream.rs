//! One HTTP/2 stream as a task: ended when its client does not take the answer.
//!
//! hyper asks a body for more only when the last of it has found room in the client's window. Behind
//! a window that stays shut no body is asked again, and with it nothing that would end the call.

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};
use layers::Held;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};
use tonic::{Status, body::Body};

use crate::owed::{Debt, Owed, STREAM_BYTES};

/// Streams of one connection that may be ended so within a while; who does it more often means it.
const STALLS_MAX: u32 = 10;
const STALLS_WITHIN: Duration = Duration::from_mins(1);

/// What of an answer is handed on at a time: a message that is larger would be asked for whole, and
/// nobody would see its client take it bit by bit.
const PIECE_BYTES_MAX: usize = 16 * 1024;

/// What was last seen of a stream while it was polled.
#[derive(Clone, Copy)]
enum Sign {
    /// Nothing: it waits for its client, if it waits.
    None,
    /// Its client has taken what there was, and more was handed on.
    Taken,
    /// It waits for us.
    Ours,
}

thread_local! {
    /// The sign of what is being polled on this thread.
    static SIGN: Cell<Sign> = const { Cell::new(Sign::None) };
}

/// Runs the streams of one connection where the drain can see them.
#[derive(Clone, Debug)]
pub(crate) struct Streams(Arc<Shared>);

/// What the streams of one connection share.
#[derive(Debug)]
struct Shared {
    tasks: TaskTracker,
    idle_max: Duration,
    owed: Owed,
    recent: Mutex<Recent>,
    finish: CancellationToken,
}

/// How many stalled since when.
#[derive(Debug)]
struct Recent {
    since: Instant,
    count: u32,
}

impl Streams {
    /// The streams of a connection; each is ended when nothing of its answer was taken for
    /// `idle_max`, or sooner by what is `owed`. Once that has happened too often, `finish` has the
    /// connection take no more.
    pub(crate) fn new(
        tasks: TaskTracker,
        owed: Owed,
        idle_max: Duration,
        finish: CancellationToken,
    ) -> Self {
        let recent = Mutex::new(Recent { since: Instant::now(), count: 0 });
        Self(Arc::new(Shared { tasks, idle_max, owed, recent, finish }))
    }
}

/// Polls what is ours to finish.
pub(crate) async fn ours<F: Future>(work: F) -> F::Output {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|cx| noted(work.as_mut().poll(cx))).await
}

fn noted<T>(poll: Poll<T>) -> Poll<T> {
    if poll.is_pending() {
        SIGN.set(Sign::Ours);
    }
    poll
}

/// The body of an answer, which tells who has to go on.
pub(crate) struct Answer {
    body: Body,
    /// What is left of a frame that is larger than a piece.
    left: Bytes,
    owed: Owed,
    /// What of it is held here.
    held: Held,
    /// What its first piece costs beside its bytes.
    stream_bytes: usize,
    /// The call is under way until it is sent.
    _call: Option<TaskTrackerToken>,
}

/// A piece of an answer, which is owed until it is written or its stream is gone.
pub(crate) struct Piece {
    bytes: Bytes,
    _owed: Debt,
}

impl Answer {
    /// An answer whose pieces are `owed`.
    pub(crate) fn new(body: Body, owed: Owed, call: Option<TaskTrackerToken>) -> Self {
        let held = owed.none_held();
        let (left, stream_bytes) = (Bytes::new(), STREAM_BYTES);
        Self { body, left, owed, held, stream_bytes, _call: call }
    }

    fn hold(&mut self, data: Bytes) {
        self.owed.hold(&mut self.held, data.len());
        self.left = data;
    }

    /// The next piece of what is at hand.
    fn piece(&mut self) -> Frame<Piece> {
        let bytes = self.left.split_to(self.left.len().min(PIECE_BYTES_MAX));
        if self.left.is_empty() {
            self.owed.hold(&mut self.held, 0);
        }
        let cost = bytes.len() + std::mem::take(&mut self.stream_bytes);
        Frame::data(Piece { bytes, _owed: self.owed.add(cost) })
    }
}

pin_project! {
    struct Stream<F> {
        #[pin]
        inner: F,
        #[pin]
        sleep: Option<Sleep>,
        shared: Arc<Shared>,
    }
}

impl Shared {
    fn add_stalled(&self) {
        let now = Instant::now();
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(recent.since) > STALLS_WITHIN {
            *recent = Recent { since: now, count: 0 };
        }
        recent.count += 1;
        if recent.count == STALLS_MAX {
            self.finish.cancel();
        }
    }
}

// === impl Streams ===

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, inner: F) {
        let shared = Arc::clone(&self.0);
        self.0.tasks.spawn(Stream { inner, sleep: None, shared });
    }
}

// === impl Stream ===

impl<F: Future<Output = ()>> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        SIGN.set(Sign::None);
        if this.inner.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match SIGN.get() {
            Sign::Ours => {
                this.sleep.set(None);
                return Poll::Pending;
            }
            Sign::None if this.sleep.is_some() => {}
            Sign::None | Sign::Taken => {
                let patience = this.shared.owed.patience(this.shared.idle_max);
                this.sleep.set(Some(sleep(patience)));
            }
        }
        if let Some(sleep) = this.sleep.as_pin_mut() {
            ready!(sleep.poll(cx));
        }
        // What is dropped now is reset.
        this.shared.add_stalled();
        Poll::Ready(())
    }
}

// === impl Answer ===

impl Drop for Answer {
    fn drop(&mut self) {
        self.owed.hold(&mut self.held, 0);
    }
}

impl http_body::Body for Answer {
    type Data = Piece;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, Status>>> {
        if self.left.is_empty() {
            let frame = match ready!(noted(Pin::new(&mut self.body).poll_frame(cx))) {
                Some(Ok(frame)) => frame,
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                None => return Poll::Ready(None),
            };
            match frame.into_data() {
                Ok(data) => self.hold(data),
                Err(frame) => {
                    let trailers = frame.into_trailers().ok().map(Frame::trailers);
                    return Poll::Ready(trailers.map(Ok));
                }
            }
        }
        SIGN.set(Sign::Taken);
        Poll::Ready(Some(Ok(self.piece())))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (left, rest) =
            (u64::try_from(self.left.len()).unwrap_or(u64::MAX), self.body.size_hint());
        let mut hint = SizeHint::new();
        // Sums of lengths that are there, or are about to be.
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + left);
        }
        hint.set_lower(rest.lower() + left);
        hint
    }
}

// === impl Piece ===

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        self.bytes.copy_to_bytes(length)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn stalls_finish_a_connection_when_they_are_many_in_a_while() {
        let finish = CancellationToken::new();
        let streams =
            Streams::new(TaskTracker::new(), Owed::default(), STALLS_WITHIN, finish.clone());
        for _ in 0..3 * STALLS_MAX {
            streams.0.add_stalled();
            advance(STALLS_WITHIN / (STALLS_MAX - 2)).await;
        }
        assert!(!finish.is_cancelled());
        for _ in 0..2 * STALLS_MAX {
            streams.0.add_stalled();
        }
        assert!(finish.is_cancelled());
    }
}
