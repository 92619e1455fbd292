//! One connection: what it speaks, what it may cost, and when it ends.

use std::{convert::Infallible, future::Future, net::SocketAddr, pin::pin, time::Duration};

use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use layers::{Peer, Stack};
use tokio::{net::TcpStream, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::body::Body;
use tower::Service;

use crate::{
    Limits,
    health::Liveness,
    preface::{Version, detect},
};

/// Headers of one request that are read at all; what is allowed is less, and refused in words.
const HEADER_BYTES_MAX: u32 = 64 * 1024;

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

/// What all connections share.
#[derive(Clone)]
pub(crate) struct Connections {
    pub(crate) limits: Limits,
    pub(crate) stack: Stack,
    pub(crate) liveness: Liveness,
    /// Calls under way, for the drain.
    pub(crate) calls: TaskTracker,
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
        let detected = tokio::select! {
            biased;
            detected = detect(stream, self.limits.preface_max) => detected,
            // Who has said nothing so far has asked for nothing.
            () = self.drain.cancelled() => return,
        };
        // A peer that went away needs no answer and no line.
        let Ok((version, stream)) = detected else {
            return;
        };
        let io = TokioIo::new(stream);
        let this = self.clone();
        let service = service_fn(move |request| this.clone().answer(request, peer));
        let outcome = match version {
            Version::Http1 => {
                let connection = self.http1().serve_connection(io, service);
                self.drive(connection, age_max, http1::Connection::graceful_shutdown).await
            }
            Version::Http2 => {
                let connection = self.http2().serve_connection(io, service);
                self.drive(connection, age_max, http2::Connection::graceful_shutdown).await
            }
        };
        if let Some(Err(error)) = outcome {
            tracing::debug!(error = &error as &dyn std::error::Error, "a connection broke");
        }
    }

    /// Polls a connection until it ends, is told to finish, or is cut.
    async fn drive<C>(
        &self,
        connection: C,
        age_max: Duration,
        finish: impl Fn(std::pin::Pin<&mut C>),
    ) -> Option<hyper::Result<()>>
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let mut connection = pin!(connection);
        tokio::select! {
            outcome = &mut connection => return Some(outcome),
            () = self.end.cancelled() => return None,
            () = self.drain.cancelled() => {}
            () = sleep(age_max) => {}
        }
        // GOAWAY for HTTP/2, `connection: close` for HTTP/1.1; calls under way go on.
        finish(connection.as_mut());
        self.end.run_until_cancelled(connection).await
    }

    async fn answer(
        mut self,
        mut request: http::Request<Incoming>,
        peer: Option<SocketAddr>,
    ) -> Result<http::Response<Body>, Infallible> {
        if request.uri().path() == Liveness::PATH {
            return Ok(self.liveness.answer(request.method()));
        }
        if let Some(peer) = peer {
            request.extensions_mut().insert(Peer(peer.ip()));
        }
        self.stack.call(request.map(Body::new)).await
    }

    fn http1(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.preface_max)
            .max_buf_size(64 * 1024)
            .max_headers(100)
            .keep_alive(true);
        builder
    }

    fn http2(&self) -> http2::Builder<Tracked> {
        let mut builder = http2::Builder::new(Tracked(self.calls.clone()));
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.limits.streams_max)
            .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
            .max_local_error_reset_streams(RESETS_LOCAL_MAX)
            .max_header_list_size(HEADER_BYTES_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
            .keep_alive_interval(self.limits.keepalive)
            .keep_alive_timeout(KEEPALIVE_ANSWER_MAX);
        builder
    }
}

/// Runs hyper's streams where the drain can see them.
#[derive(Clone)]
struct Tracked(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0.spawn(stream);
    }
}
