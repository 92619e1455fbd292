//! The accept loop: a bounded number of connections, and no spin when the machine is out of them.

use std::{io, sync::Arc, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{interval, sleep},
};
use tokio_util::task::TaskTracker;

use crate::{
    Limits,
    connection::Connections,
    watchdog::{BEAT_EVERY, Pulse},
};

/// How long to wait when the process is out of file descriptors or memory.
const BREATHER: Duration = Duration::from_millis(100);

/// How the kernel asks for a peer of which nothing was heard for `KEEPALIVE_SECS`.
const PROBE_EVERY: Duration = Duration::from_secs(5);
const PROBES: u32 = 2;

/// Ages differ by up to this much in either direction.
const AGE_SPREAD: f64 = 0.1;

/// Accepts connections until the drain begins.
pub(crate) async fn accept(
    listener: TcpListener,
    connections: Connections,
    tasks: TaskTracker,
    pulse: Pulse,
) {
    let places = Arc::new(Semaphore::new(connections.limits.connections_max));
    let mut ages = Ages::default();
    let mut beats = interval(BEAT_EVERY);
    let mut is_failing = false;
    loop {
        let next = async {
            // The kernel queues whoever finds no place.
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((place, listener.accept().await))
        };
        let accepted = tokio::select! {
            () = connections.drain.cancelled() => break,
            _beat = beats.tick() => {
                pulse.beat();
                continue;
            }
            accepted = next => accepted,
        };
        match accepted {
            None => break,
            Some((place, Ok((stream, _peer)))) => {
                is_failing = false;
                // Small answers would wait for acknowledgements; without it they only come later.
                let _outcome = stream.set_nodelay(true);
                let _outcome = notice_loss(&stream, &connections.limits);
                let age_max = ages.next(connections.limits.connection_age_max);
                let connection = connections.clone().serve(stream, age_max);
                tasks.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            // One peer went away before its turn, which is nothing to the others.
            Some((_place, Err(error))) if is_of_the_peer(&error) => {}
            Some((_place, Err(error))) => {
                if !is_failing {
                    tracing::warn!(error = fault::chain(&error), "cannot accept");
                }
                is_failing = true;
                // Out of descriptors the listener stays readable, and a loop would spin.
                sleep(BREATHER).await;
            }
        }
    }
    pulse.stop();
}

/// Has the kernel find out about peers that vanish. HTTP/2 asks by itself; over HTTP/1.1 an answer
/// that has nothing to say for a while would never be missed.
fn notice_loss(stream: &TcpStream, limits: &Limits) -> io::Result<()> {
    let socket = SockRef::from(stream);
    let probes = TcpKeepalive::new().with_time(limits.keepalive).with_interval(PROBE_EVERY);
    socket.set_tcp_keepalive(&probes.with_retries(PROBES))?;
    // The same for what was sent and is not acknowledged, which no probe asks for, and not before a
    // peer that takes nothing may be left.
    #[cfg(target_os = "linux")]
    {
        let lost = limits.keepalive + PROBE_EVERY * PROBES;
        socket.set_tcp_user_timeout(Some(lost.max(limits.body_idle_max)))?;
    }
    Ok(())
}

fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted | Kind::ConnectionReset | Kind::ConnectionRefused
    )
}

/// Spreads connections' ages evenly over their range, without chance: each is a golden-ratio step
/// from the last.
#[derive(Debug, Default)]
struct Ages {
    step: f64,
}

impl Ages {
    const GOLDEN: f64 = 0.618_033_988_749_895;

    fn next(&mut self, age: Duration) -> Duration {
        self.step = (self.step + Self::GOLDEN).fract();
        age.mul_f64(1.0 - AGE_SPREAD + 2.0 * AGE_SPREAD * self.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_stay_within_a_tenth_and_do_not_repeat() {
        let mut ages = Ages::default();
        let age = Duration::from_secs(1000);
        let mut seen: Vec<_> = (0..100).map(|_| ages.next(age)).collect();
        assert!(seen.iter().all(|age| (900..=1100).contains(&age.as_secs())), "{seen:?}");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 100);
    }
}
