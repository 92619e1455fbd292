//! Watches a call's messages go by: counts them, refuses what is too large or too many before it is
//! read, and waits no longer for the next than a client may take.
//!
//! What has one message is handed on when all of it is there, with its place: nothing is unpacked or
//! begun for a request whose end does not come.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use call::{Call, Outcome};
use fault::{Fault, Reason};
use http::Version;
use http_body::{Body as _, Frame};
use proto::Kind;
use tokio::time::{Sleep, sleep};
use tonic::{Code, Status, body::Body};

use crate::{
    Request,
    held::{Held, Total},
    in_flight::Turn,
    message::Scanner,
};

/// Bytes of requests that are not whole, of all connections; beyond it none may go on.
const UNFINISHED_BYTES_MAX: usize = 64 * 1024 * 1024;

static UNFINISHED: Total = Total::new();

/// Requests that wait for their clients, of all connections. Each may keep a little uncounted, and
/// its call; who does not go on while there are more has the [`HURRY`] alone.
const WAITING_MAX: usize = 4096;
const HURRY: Duration = Duration::from_secs(1);

static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Bytes of a request that is not whole.
#[derive(Debug)]
pub(crate) struct Unfinished(Held);

impl Unfinished {
    pub(crate) fn none() -> Self {
        Self(Held::of(&UNFINISHED))
    }

    /// There are so many by now, if there may be.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Reason> {
        self.0.set(bytes);
        let is_too_much = !self.0.is_empty() && UNFINISHED.bytes() > UNFINISHED_BYTES_MAX;
        if is_too_much { Err(Reason::Shed) } else { Ok(()) }
    }
}

/// What a request's body may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The largest message that is read.
    pub(crate) message_bytes_max: usize,
    /// How long a client may not go on with it.
    pub(crate) idle_max: Duration,
}

/// Whether the client goes on with a body.
enum Stall {
    Not,
    /// It is waited for, without a timer where the call's deadline is nearer than the patience.
    Waits(Waiting, Option<Pin<Box<Sleep>>>),
}

/// One request that waits for its client, until this is dropped.
struct Waiting;

impl Waiting {
    fn begin() -> Self {
        WAITING.fetch_add(1, Ordering::Relaxed);
        Self
    }

    fn are_too_many() -> bool {
        WAITING.load(Ordering::Relaxed) > WAITING_MAX
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How a request is read.
enum Reading {
    /// Its one message, whole, for which the call may need a place. It mostly is one chunk.
    Whole { first: Bytes, others: VecDeque<Bytes>, bytes: usize, turn: Option<Turn> },
    /// One message after the other, as they come.
    Stream,
}

/// A request's body, as far as its RPC allows one.
pub(crate) struct RequestFrames {
    inner: Body,
    scanner: Scanner,
    outcome: Outcome,
    messages: u64,
    reading: Reading,
    unfinished: Unfinished,
    bounds: Bounds,
    /// How long its client may not go on; nothing where the call's deadline is nearer.
    patience: Option<Duration>,
    stall: Stall,
    version: Version,
    is_over: bool,
}

impl RequestFrames {
    /// The request with a body that is read within `bounds`, and finds its call a place.
    pub(crate) fn around(request: Request, bounds: Bounds, turn: Option<Turn>) -> Request {
        let version = request.version();
        let (method, outcome) = match request.extensions().get::<Call>() {
            Some(call) => (call.method, call.outcome.clone()),
            None => (None, Outcome::default()),
        };
        let reading = match method.map(|method| method.kind) {
            Some(Kind::Unary | Kind::ServerStream) => {
                Reading::Whole { first: Bytes::new(), others: VecDeque::new(), bytes: 0, turn }
            }
            Some(Kind::ClientStream | Kind::BidiStream) | None => Reading::Stream,
        };
        let is_short = method.is_some_and(|method| {
            method.kind == Kind::Unary && method.rule.deadline <= bounds.idle_max
        });
        let patience = (!is_short).then_some(bounds.idle_max);
        request.map(|inner| {
            Body::new(Self {
                inner,
                scanner: Scanner::default(),
                outcome,
                messages: 0,
                reading,
                unfinished: Unfinished::none(),
                bounds,
                patience,
                stall: Stall::Not,
                version,
                is_over: false,
            })
        })
    }

    /// Waits for the client, but not for ever.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        if let Stall::Not = self.stall {
            let waiting = Waiting::begin();
            let hurry = || self.bounds.idle_max.min(HURRY);
            let patience = if Waiting::are_too_many() { Some(hurry()) } else { self.patience };
            let sleep = patience.map(|patience| Box::pin(sleep(patience)));
            self.stall = Stall::Waits(waiting, sleep);
        }
        let Stall::Waits(_, Some(sleep)) = &mut self.stall else {
            return Poll::Pending;
        };
        sleep.as_mut().poll(cx).map(|()| Reason::RequestStalled.into())
    }

    /// What of a chunk goes on at once.
    fn read(&mut self, chunk: Bytes) -> Result<Option<Bytes>, Fault> {
        let seen = self.scanner.scan(&chunk);
        self.messages += seen.messages;
        if seen.messages > 0 {
            self.outcome.count_received(seen.messages);
        }
        if seen.bytes_max > self.bounds.message_bytes_max {
            return Err(Reason::MessageTooLarge.into());
        }
        match &mut self.reading {
            // gRPC calls it a wrong cardinality, and answers 12.
            Reading::Whole { .. } if self.messages > 1 => Err(Reason::Unimplemented.into()),
            Reading::Whole { first, others, bytes, .. } => {
                *bytes += chunk.len();
                self.unfinished.grow(*bytes)?;
                if first.is_empty() {
                    *first = chunk;
                } else if !chunk.is_empty() {
                    others.push_back(chunk);
                }
                Ok(None)
            }
            Reading::Stream => {
                self.unfinished.grow(self.scanner.unfinished())?;
                Ok(Some(chunk))
            }
        }
    }

    /// The body has broken off. What is not told in our words comes from the connection.
    fn broken(&mut self, status: Status) -> Status {
        if Fault::behind(&status).is_none() {
            return status;
        }
        // Half of an HTTP/1.1 connection may be closed, or hold what is no chunk; the client hears.
        if self.version < Version::HTTP_2 && !is_gone(&status) {
            return Fault::invalid("", "the body ends within a message").into();
        }
        // The client is gone, however it went, and this is for nobody to read. tonic would take
        // a cancelled body for one that has ended well, and begin the call.
        self.outcome.set_ended(Code::Cancelled, None);
        Reason::RequestStalled.into()
    }

    /// All of it is there, if that is what it should be.
    fn end(&mut self) -> Result<(), Fault> {
        if self.scanner.is_within() {
            return Err(Fault::invalid("", "the body ends within a message"));
        }
        if let Reading::Whole { turn, .. } = &mut self.reading {
            if self.messages == 0 {
                return Err(Reason::Unimplemented.into());
            }
            if let Some(turn) = turn.take() {
                turn.take_place()?;
            }
        }
        self.unfinished = Unfinished::none();
        Ok(())
    }

    /// Reads until something can go on, or nothing more comes.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Status>> {
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
                return self.poll_stalled(cx).map(|fault| Err(fault.into()));
            };
            self.stall = Stall::Not;
            let chunk = match frame.transpose() {
                Ok(frame) => frame.and_then(|frame| frame.into_data().ok()),
                Err(status) => return Poll::Ready(Err(self.broken(status))),
            };
            // Trailers end it as well: nothing reads a request's.
            let Some(chunk) = chunk else {
                return Poll::Ready(self.end().map(|()| None).map_err(Status::from));
            };
            match self.read(chunk) {
                Ok(None) => {}
                Ok(chunk) => return Poll::Ready(Ok(chunk)),
                Err(fault) => return Poll::Ready(Err(fault.into())),
            }
        }
    }

    /// What was kept until all of it was there.
    fn next_chunk(&mut self) -> Option<Bytes> {
        match &mut self.reading {
            Reading::Whole { first, .. } if !first.is_empty() => Some(std::mem::take(first)),
            Reading::Whole { others, .. } => others.pop_front(),
            Reading::Stream => None,
        }
    }
}

/// Whether a body broke off because nobody is there any longer.
fn is_gone(status: &Status) -> bool {
    fault::causes(status).any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| {
            use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut};
            matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | TimedOut)
        })
    })
}

impl http_body::Body for RequestFrames {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if !self.is_over {
            match ready!(self.poll_read(cx)) {
                Ok(Some(chunk)) => return Poll::Ready(Some(Ok(Frame::data(chunk)))),
                Ok(None) => self.is_over = true,
                Err(status) => {
                    self.is_over = true;
                    self.reading = Reading::Stream;
                    return Poll::Ready(Some(Err(status)));
                }
            }
        }
        Poll::Ready(self.next_chunk().map(|chunk| Ok(Frame::data(chunk))))
    }
}

#[cfg(test)]
mod tests {
    use call::RequestId;
    use futures_util::{StreamExt, stream};
    use http_body_util::{BodyExt, StreamBody};
    use tokio::time::{Instant, timeout};

    use super::*;

    const UNARY: &str = "/mayfly.user.v1.UserService/GetProfile";
    const WATCH: &str = "/mayfly.user.v1.UserService/WatchProfiles";
    const BIDI: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

    /// What a handler of `path` reads of a whole message in two pieces, behind which its client is
    /// gone, if it is.
    async fn read(path: &str, gone: Option<Status>) -> Vec<Result<Vec<u8>, Code>> {
        let pieces = [Bytes::from_static(&[0, 0, 0, 0, 2, 1]), Bytes::from_static(&[2])];
        let sent = pieces.map(|piece| Ok(Frame::data(piece))).into_iter().chain(gone.map(Err));
        let body = Body::new(StreamBody::new(stream::iter(sent)));
        let bounds = Bounds { message_bytes_max: 1024, idle_max: Duration::from_secs(1) };
        let mut request = Request::new(body);
        *request.version_mut() = Version::HTTP_2;
        let call = Call::new(RequestId::of(request.headers()), proto::method(path));
        assert!(call.method.is_some());
        request.extensions_mut().insert(call);
        let mut frames = RequestFrames::around(request, bounds, None).into_body();
        let mut read = Vec::new();
        while let Some(frame) = frames.frame().await {
            let data = frame.map(|frame| frame.into_data().unwrap().to_vec());
            read.push(data.map_err(|status| status.code()));
        }
        read
    }

    #[tokio::test]
    async fn one_message_is_handed_on_when_all_of_it_is_there() {
        let pieces = [Ok(vec![0, 0, 0, 0, 2, 1]), Ok(vec![2])];
        assert_eq!(read(UNARY, None).await, pieces);
        assert_eq!(read(BIDI, None).await, pieces);
        // Nothing is begun for whoever is gone, and no stream of theirs seems to end well.
        let gone = || Some(Status::cancelled("reset"));
        let told = Err(Code::DeadlineExceeded);
        assert_eq!(read(UNARY, gone()).await, std::slice::from_ref(&told));
        assert_eq!(read(BIDI, gone()).await, [&pieces[..], &[told]].concat());
    }

    /// How long half a message of `path` is waited for, if not for longer than anybody waits.
    async fn stalls(path: &str) -> Option<Duration> {
        let half = stream::iter([Ok::<_, Status>(Frame::data(Bytes::from_static(&[0; 3])))]);
        let body = Body::new(StreamBody::new(half.chain(stream::pending())));
        let bounds = Bounds { message_bytes_max: 1024, idle_max: HURRY * 30 };
        let mut request = Request::new(body);
        let call = Call::new(RequestId::of(request.headers()), proto::method(path));
        request.extensions_mut().insert(call);
        let mut frames = RequestFrames::around(request, bounds, None).into_body();
        let start = Instant::now();
        let frame = timeout(HURRY * 60, frames.frame()).await.ok()?.unwrap();
        assert_eq!(frame.unwrap_err().code(), Code::DeadlineExceeded);
        Some(start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_go_on_is_hurried_once_there_are_too_many_who_do_not() {
        // The deadline of the first is nearer than its patience, and ends it from outside.
        assert_eq!([stalls(UNARY).await, stalls(WATCH).await], [None, Some(HURRY * 30)]);
        let _waiting: Vec<_> = (0..WAITING_MAX).map(|_request| Waiting::begin()).collect();
        assert_eq!([stalls(UNARY).await, stalls(WATCH).await], [Some(HURRY); 2]);
    }
}
