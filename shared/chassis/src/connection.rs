//! One connection: what it speaks, what it may cost, and when it ends.

use std::{
    cell::RefCell,
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    time::Duration,
};

use futures_util::{StreamExt, future::Either, stream::FuturesUnordered};
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Limited};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use layers::{Peer, Stack};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::body::Body;
use tower::Service;

use crate::{
    Limits, Tls,
    guard::{Blocked, Guard, Times},
    health::Liveness,
    owed::Owed,
    preface::{Rewound, Version, detect},
    stream::{Answer, Streams, ours},
    tls::Wire,
};

/// Headers of one request that are read at all; what is allowed is less, and refused in words.
const HEADER_BYTES_MAX: u32 = 64 * 1024;

/// Frames are no longer than every client may send them (RFC 9113, 4.2).
const FRAME_BYTES_MAX: u32 = 16 * 1024;

/// Streams that a peer has reset and the server has not yet let go of; more is an attack.
const RESETS_PENDING_MAX: usize = 20;

/// Streams that the server had to reset because of what the peer did; more is an attack.
const RESETS_LOCAL_MAX: usize = 100;

/// What may be in flight to the server: per stream, and per connection.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// What a stream may have waiting for a reader that does not read.
const SEND_BUFFER_BYTES_MAX: usize = 256 * 1024;

/// How long a peer may take to answer a keepalive.
const KEEPALIVE_ANSWER_MAX: Duration = Duration::from_secs(10);

/// How long a peer may take to take its leave, once its calls are over and it was told to.
const GOODBYE_MAX: Duration = Duration::from_secs(2);

/// How long a connection that was told to go may have calls, and answers that are not yet taken:
/// a little longer than any rule lets a call be. The drain has an end of its own, which is nearer.
const LEAVE_MAX: Duration = Duration::from_mins(61);

/// How long whoever asks for the health is listened to; they have nothing to say.
const QUESTION_MAX: Duration = Duration::from_secs(1);

/// What all connections share.
#[derive(Clone)]
pub(crate) struct Connections {
    pub(crate) limits: Limits,
    pub(crate) tls: Option<Tls>,
    pub(crate) stack: Stack,
    pub(crate) liveness: Liveness,
    /// Connections finish what is under way, and begin nothing.
    pub(crate) drain: CancellationToken,
    /// Connections end now.
    pub(crate) end: CancellationToken,
}

impl Connections {
    /// Serves one connection to its end. `age_max` differs from one to the next, so that they do
    /// not all come back at once.
    pub(crate) async fn serve(self, stream: TcpStream, age_max: Duration) {
        let peer = stream.peer_addr().ok();
        let greeted_by = Instant::now() + self.limits.preface_max;
        let detected = tokio::select! {
            biased;
            detected = self.greet(stream, greeted_by) => detected,
            // Who has said nothing so far has asked for nothing.
            () = self.drain.cancelled() => return,
        };
        // A peer that went away needs no answer and no line.
        let Ok((version, stream)) = detected else {
            return;
        };
        let Limits { preface_max, body_idle_max, .. } = self.limits;
        let times = Times { greeted_by, headers_max: preface_max, idle_max: body_idle_max };
        let owed = Owed::default();
        let guard = Guard::new(stream, version, times, owed.clone());
        let life = Life {
            age_max,
            calls: TaskTracker::new(),
            owed,
            blocked: guard.blocked(),
            finish: CancellationToken::new(),
        };
        let io = TokioIo::new(guard);
        let calls = Calls {
            stack: RefCell::new(self.stack.clone()),
            liveness: self.liveness.clone(),
            peer,
            owed: life.owed.clone(),
            // Over HTTP/2 a call is a task, which is tracked until its answer is sent.
            under_way: (version == Version::Http1).then(|| life.calls.clone()),
        };
        let service = service_fn(move |request| calls.answer(request));
        let outcome = match version {
            Version::Http1 => {
                let connection = self.http1().serve_connection(io, service);
                self.drive(connection, &life, http1::Connection::graceful_shutdown).await
            }
            Version::Http2 => {
                let (calls, owed) = (life.calls.clone(), life.owed.clone());
                let streams = Streams::new(calls, owed, body_idle_max, life.finish.clone());
                let connection = self.http2(streams).serve_connection(io, service);
                self.drive(connection, &life, http2::Connection::graceful_shutdown).await
            }
        };
        // Calls notice that their connection is gone; the drain waits until they have.
        life.calls.close();
        let _is_over = self.end.run_until_cancelled(life.calls.wait()).await;
        if let Some(Err(error)) = outcome {
            tracing::debug!(error = fault::chain(&error), "a connection broke");
        }
    }

    /// Finds out what the client speaks, below the encryption if there is one.
    async fn greet(&self, stream: TcpStream, by: Instant) -> io::Result<(Version, Rewound<Wire>)> {
        let greeted = async {
            let wire = match &self.tls {
                Some(tls) => tls.accept(stream).await?,
                None => Wire::Left(stream),
            };
            detect(wire).await
        };
        timeout_at(by, greeted).await.map_err(|_elapsed| io::ErrorKind::TimedOut)?
    }

    /// Polls a connection until it ends, is told to finish, or is cut.
    async fn drive<C>(
        &self,
        connection: C,
        life: &Life,
        finish: impl Fn(Pin<&mut C>),
    ) -> Option<hyper::Result<()>>
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let mut connection = pin!(connection);
        // Most of them wait behind a lock, three behind one of all connections. Here they are asked
        // when they have something to tell, not with every frame.
        let mut told = FuturesUnordered::from_iter([async {
            tokio::select! {
                () = self.end.cancelled() => Told::End,
                () = self.drain.cancelled() => Told::Finish,
                () = life.finish.cancelled() => Told::Finish,
                () = sleep(life.age_max) => Told::Finish,
                () = life.owed.stuck(self.limits.body_idle_max, &life.blocked) => Told::Stuck,
            }
        }]);
        let told = tokio::select! {
            biased;
            outcome = &mut connection => return Some(outcome),
            told = told.select_next_some() => told,
        };
        let idle_max = match told {
            Told::End => return None,
            Told::Finish => self.limits.body_idle_max,
            Told::Stuck => self.limits.body_idle_max / 2,
        };
        // GOAWAY for HTTP/2, `connection: close` for HTTP/1.1; calls under way go on.
        finish(connection.as_mut());
        life.calls.close();
        let leaving = timeout(LEAVE_MAX, self.leave(connection, life, idle_max));
        self.end.run_until_cancelled(leaving).await?.ok()?
    }

    /// Polls a connection that was told to finish, until nothing more is to be waited for, or its
    /// client takes nothing for `idle_max`.
    async fn leave<C>(
        &self,
        mut connection: Pin<&mut C>,
        life: &Life,
        idle_max: Duration,
    ) -> Option<C::Output>
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let mut moved = Instant::now();
        loop {
            // What a client sent before it knew may begin a call when the last is over.
            if !life.calls.is_empty() {
                tokio::select! {
                    outcome = &mut connection => return Some(outcome),
                    () = life.calls.wait() => moved = Instant::now(),
                    // It was told to go, and one call that lives on is no reason to keep for it
                    // what it does not take.
                    () = life.owed.stuck(idle_max, &life.blocked) => return None,
                }
            }
            let gone = life.owed.gone();
            if let Ok(outcome) = timeout(GOODBYE_MAX, &mut connection).await {
                return Some(outcome);
            }
            if life.owed.gone() != gone {
                moved = Instant::now();
            }
            // An answer is queued when its call is over, and a slow client has yet to take it.
            let patience = life.owed.patience(idle_max);
            let is_taken = !life.owed.is_empty() && moved.elapsed() < patience;
            // `guard` knows how long it waits for the peer's machine.
            let is_waited_for = is_taken || life.blocked.get() || !life.calls.is_empty();
            // Who does not answer, or has sent half a head, is left.
            if !is_waited_for {
                return None;
            }
        }
    }

    fn http1(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            // From the end of one answer to the end of the next head.
            .header_read_timeout(self.limits.preface_max)
            .max_buf_size(64 * 1024)
            .max_headers(100)
            .keep_alive(true);
        builder
    }

    fn http2(&self, streams: Streams) -> http2::Builder<Streams> {
        let mut builder = http2::Builder::new(streams);
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.limits.streams_max)
            .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
            .max_local_error_reset_streams(RESETS_LOCAL_MAX)
            .max_header_list_size(HEADER_BYTES_MAX)
            .max_frame_size(FRAME_BYTES_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
            .keep_alive_interval(self.limits.keepalive)
            .keep_alive_timeout(KEEPALIVE_ANSWER_MAX);
        builder
    }
}

/// What a connection is told from outside.
enum Told {
    /// To finish what is under way.
    Finish,
    /// The same, as its client has taken nothing for as long as it may: it has half as long again.
    Stuck,
    /// To end.
    End,
}

/// The calls of one connection.
struct Calls {
    /// It is called by one task, in turn: a clone of its own for every call would cost locks and
    /// counters that all connections share.
    stack: RefCell<Stack>,
    liveness: Liveness,
    peer: Option<SocketAddr>,
    owed: Owed,
    under_way: Option<TaskTracker>,
}

impl Calls {
    fn answer(
        &self,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Answer>, Infallible>> + Send + use<> {
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(Peer(peer.ip()));
        }
        let (owed, call) = (self.owed.clone(), self.under_way.as_ref().map(TaskTracker::token));
        // Where chunks end is for nobody to find but whoever reads them: no request follows them.
        let is_last = call.is_some() && request.headers().contains_key(header::TRANSFER_ENCODING);
        let answer = if request.uri().path() == Liveness::PATH {
            // Boxed: calls need not have room for it.
            Either::Left(Box::pin(examine(self.liveness.clone(), request)))
        } else {
            Either::Right(ours(self.stack.borrow_mut().call(request.map(Body::new))))
        };
        async move {
            let Ok(response) = answer.await;
            let mut response = response.map(|body| Answer::new(body, owed, call));
            if is_last {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            Ok(response)
        }
    }
}

/// Answers whoever asks for the health. Whatever is wrong with a request is told before that.
async fn examine(
    liveness: Liveness,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let asked = Limited::new(body, Liveness::QUESTION_BYTES_MAX).collect();
    let _end = timeout(QUESTION_MAX, asked).await;
    Ok(liveness.answer(&head.method))
}

/// What ends one connection, and what it waits for.
struct Life {
    age_max: Duration,
    calls: TaskTracker,
    owed: Owed,
    blocked: Blocked,
    /// Cancelled when its client takes too little of what it asks for.
    finish: CancellationToken,
}

#[cfg(test)]
mod tests;
