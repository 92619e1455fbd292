//! Everything that serves: bound, running, drained.

use std::{future::Future, io, net::SocketAddr, time::Duration};

use clock::Clock;
use futures_util::future::join_all;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::TcpListener,
    time::{Instant, interval, sleep, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Ready, Settings, Tasks,
    accept::accept,
    connection::Connections,
    owed::hurry,
    parts::Parts,
    watchdog::{BEAT_EVERY, Pulse, Pulses},
};

/// Connections that the kernel holds for a process that is busy accepting.
const BACKLOG: i32 = 1024;

/// How long calls are still taken once health has turned bad: who asked last may not know yet.
pub(crate) const LAME_DUCK: Duration = Duration::from_millis(500);

/// How long after that a call may still come in, from a client that has not heard of it.
pub(crate) const CROSSING_MAX: Duration = Duration::from_secs(1);

/// How long calls that are cut may take for their last word.
const LAST_WORD_MAX: Duration = Duration::from_millis(250);

/// How long what is left may take to close once the last call is over; and how long after the
/// drain's hard end at most, the last words included: the process is over a second after that.
const CLOSE_MAX: Duration = Duration::from_secs(1);
const CLOSE_LATE_MAX: Duration = Duration::from_millis(500);

/// A server that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be bound.
    #[error("{setting} {address} cannot be bound")]
    Bind {
        /// The setting that names it.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why not; most often somebody has it.
        #[source]
        cause: io::Error,
    },
}

/// How a server ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ended {
    /// Nothing was left of what was under way.
    Drained,
    /// Not all of it was over at the drain's hard end. It was told so, and may come again.
    Cut,
}

/// Functions behind their layers, on bound ports.
#[derive(Debug)]
pub struct Server {
    public: TcpListener,
    internal: TcpListener,
    parts: Parts,
}

impl Server {
    /// Binds the ports and puts the functions together. Nothing is connected to yet: a process
    /// starts, and says that it is up, whatever else is down. To be called within a runtime.
    pub fn bind(settings: &Settings, functions: Vec<Ready>, clock: &Clock) -> Result<Self, Error> {
        let public = listen("LISTEN_ADDR", settings.listen)?;
        let internal = listen("METRICS_ADDR", settings.internal)?;
        let parts = Parts::new(settings, functions, clock);
        Ok(Self { public, internal, parts })
    }

    /// Where apps call.
    pub fn address(&self) -> SocketAddr {
        self.public.local_addr().expect("a bound socket has an address")
    }

    /// Where operators look.
    pub fn internal_address(&self) -> SocketAddr {
        self.internal.local_addr().expect("a bound socket has an address")
    }

    /// What beats while it makes progress.
    pub(crate) fn pulses(&self) -> Pulses {
        self.parts.pulses.clone()
    }

    /// Serves until `stop`, then drains: what is under way may finish, until the drain's hard end.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Ended {
        let Self {
            public,
            internal,
            parts: Parts { connections, internal: operators, pools, tasks, left, cut, pulses },
        } = self;
        let verifier = operators.verifier.clone();
        let revocations = operators.revocations.clone();
        // The first call should not be the one that waits for the keys.
        tasks.spawn(async move { verifier.warm().await });
        let end = connections.end.clone();
        let operators = tasks.track_future(operators.serve(internal, tasks.clone(), end));
        let Pulses { runtime, accepting } = pulses;
        let beating = connections.end.clone().run_until_cancelled_owned(beat(runtime.clone()));
        tasks.spawn(beating);
        tasks.spawn(connections.end.clone().run_until_cancelled_owned(hurry()));
        let open = TaskTracker::new();
        let accepting = accept(public, connections.clone(), open.clone(), accepting);
        let (ended, hard_end) = tokio::select! {
            // Neither ends before it is told to; what they do meanwhile is done here.
            ((), ()) = async { tokio::join!(accepting, operators) } => {
                (Ended::Drained, Instant::now())
            }
            ended = drain(stop, &connections, (&open, &left), &cut) => ended,
        };
        runtime.stop();
        let closing = async {
            // Each waits for its connections, of which one may be to a database that is silent.
            join_all(pools.iter().map(|(_function, pool)| pool.close())).await;
            revocations.close().await;
            tasks.close();
            tasks.wait().await;
        };
        let close_by = (Instant::now() + CLOSE_MAX).min(hard_end + CLOSE_LATE_MAX);
        // Whatever is left has had its time.
        let _outcome = timeout_at(close_by, closing).await;
        ended
    }
}

/// Beats for as long as tasks are run, and timers.
async fn beat(pulse: Pulse) {
    let mut beats = interval(BEAT_EVERY);
    loop {
        beats.tick().await;
        pulse.beat();
    }
}

/// Waits for `stop`, tells everybody, and waits for the calls under way and for what they have left to
/// be done, but not for ever: how that ended, and when its hard end is.
async fn drain(
    stop: impl Future<Output = ()>,
    connections: &Connections,
    (open, left): (&TaskTracker, &Tasks),
    cut: &CancellationToken,
) -> (Ended, Instant) {
    stop.await;
    let hard_end = Instant::now() + connections.limits.drain_max;
    connections.liveness.drain();
    sleep(LAME_DUCK.min(connections.limits.drain_max)).await;
    connections.drain.cancel();
    open.close();
    let under_way = async {
        open.wait().await;
        left.finished().await;
    };
    let is_whole = timeout_at(hard_end, under_way).await.is_ok();
    if !is_whole {
        tracing::warn!(connections = open.len(), "drain cut short");
        cut.cancel();
        let _outcome = timeout(LAST_WORD_MAX, open.wait()).await;
    }
    connections.end.cancel();
    (if is_whole { Ended::Drained } else { Ended::Cut }, hard_end)
}

/// Binds an address. `[::]` takes IPv4 as well: Fly's proxy comes over IPv4, its private network
/// over IPv6.
fn listen(setting: &'static str, address: SocketAddr) -> Result<TcpListener, Error> {
    let bind = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        // A restart need not wait for the last process's connections to time out.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    bind().map_err(|cause| Error::Bind { setting, address, cause })
}
