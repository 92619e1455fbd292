//! Servers that are restarted, or killed, while people write.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fault::causes;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};
use tonic::Status;

use super::{
    Case, Field, Seen,
    field::{person, token},
    writers::{Tally, Writers, create, effects, is_unavailable},
    writes::{Lock, freed_max, number},
};
use crate::{Person, Server, until};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "two instances restarted in turn, 100 writes a second",
        expected: "no failed call and no second effect, for a client with the standard retry policy",
        run: |field| Box::pin(rolling_restarts(field)),
    },
    Case {
        name: "kill -9 while people write",
        expected: "every acknowledged write is there, once",
        run: |field| Box::pin(kills(field)),
    },
    Case {
        name: "SIGINT, and kill -9 before the drain is over, while a write runs",
        expected: "the write has happened nowhere, and Postgres is free 500 ms later; repeated under its key elsewhere it happens once",
        run: |field| Box::pin(killed_in_its_drain(field)),
    },
];

/// gRPC's retry policy as service configs write it: attempts, and waits from the first to the most.
const ATTEMPTS_MAX: u32 = 5;
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

const SOON: Duration = Duration::from_secs(10);

/// A server that comes back to its own port.
pub(super) struct Instance<'f> {
    field: &'f Field,
    pub(super) address: SocketAddr,
    server: Option<Server>,
}

impl<'f> Instance<'f> {
    /// On a loopback address of its own, where nobody else is given ports.
    pub(super) fn start(field: &'f Field, host: u8) -> Self {
        let first = serve(field, &format!("127.0.0.{host}:0"));
        Self { field, address: first.address, server: Some(first) }
    }

    /// Ends it by a signal, and starts another; whether the first ended as it should, and in time.
    pub(super) async fn restart(&mut self, signal: &str, code: Option<i32>) -> bool {
        let Some(mut server) = self.server.take() else { return false };
        server.signal(signal);
        let ended = server.ended(Duration::from_secs(10)).await;
        drop(server);
        self.server = Some(serve(self.field, &self.address.to_string()));
        ended.is_some_and(|(_took, ended_with)| ended_with == code)
    }

    fn memory_mib(&self) -> f64 {
        self.server.as_ref().and_then(Server::memory_mib).unwrap_or_default()
    }
}

/// What is tried is the restart: a machine that is busy besides does not make the pool the reason
/// why a call fails.
fn serve(field: &Field, address: &str) -> Server {
    field.server(&[("LISTEN_ADDR", address), ("DB_WAIT_MS_MAX", "5000")])
}

/// What the server asks a client to wait for, where it does.
pub(super) fn push_back(status: &Status) -> Option<Duration> {
    let millis = status.metadata().get("grpc-retry-pushback-ms")?.to_str().ok()?;
    Some(Duration::from_millis(millis.parse().ok()?))
}

/// One write by the retry policy, over one instance after the other.
async fn write(people: &[Person], first: usize, name: &str, tally: &Tally) -> Result<(), Status> {
    let mut backoff = BACKOFF_MIN;
    for attempt in 1.. {
        tally.attempts.fetch_add(1, Ordering::Relaxed);
        let person = &people[(first + usize::try_from(attempt).unwrap_or(0)) % people.len()];
        match create(person, name).await {
            Err(status) if is_unavailable(&status) && attempt < ATTEMPTS_MAX => {
                sleep(push_back(&status).unwrap_or(backoff)).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
            outcome => return outcome.map(drop),
        }
    }
    Ok(())
}

async fn rolling_restarts(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let mut instances = [Instance::start(field, 71), Instance::start(field, 72)];
    let addresses: Vec<_> = instances.iter().map(|instance| instance.address).collect();
    let prefix = field.pick("rolls", "rollf");
    let (tally, is_done) = (Arc::new(Tally::default()), Arc::new(AtomicBool::new(false)));
    // A debug build beside other tests is not what is tried.
    let every = field.pick(Duration::from_millis(40), Duration::from_millis(10));
    let calling = call_every(every, addresses, prefix, &tally, &is_done);
    let restarting = async {
        let pause = Duration::from_millis(200);
        let ended = restart_in_turn(&mut instances, field.pick(2, 50), pause).await;
        is_done.store(true, Ordering::Relaxed);
        ended
    };
    let (errors, (restarts, unclean)) = tokio::join!(calling, restarting);
    let calls = tally.calls.load(Ordering::Relaxed);
    let attempts = tally.attempts.load(Ordering::Relaxed);
    seen.note(unclean == 0, format!("{restarts} restarts, {unclean} of them not with 0"));
    seen.note(
        errors.is_empty() && calls > 0,
        format!("{calls} calls in {attempts} attempts, failed: {errors:?}"),
    );
    effects(&mut seen, &field.owner_url(), prefix, calls).await;
    seen.say(format!("{:.1} MiB", instances[0].memory_mib()));
    seen
}

/// Restarts one after the other, so many times each; how many that were, and how many of them did
/// not end as they should.
pub(super) async fn restart_in_turn(
    instances: &mut [Instance<'_>],
    rounds: usize,
    pause: Duration,
) -> (usize, usize) {
    let mut unclean = 0;
    for _round in 0..rounds {
        for instance in &mut *instances {
            sleep(pause).await;
            unclean += usize::from(!instance.restart("TERM", Some(0)).await);
        }
    }
    sleep(pause).await;
    (rounds * instances.len(), unclean)
}

/// Begins one write after the other until it is told to stop; the failures by what they said.
async fn call_every(
    pause: Duration,
    addresses: Vec<SocketAddr>,
    prefix: &'static str,
    tally: &Arc<Tally>,
    is_done: &AtomicBool,
) -> BTreeMap<String, u64> {
    // Connections are shared, as a client's are; people differ by their tokens alone.
    let seats: Vec<_> =
        addresses.iter().map(|address| Person::new(*address, "seat", None)).collect();
    let mut calls = JoinSet::new();
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut errors = BTreeMap::new();
    let mut number = 0;
    while !is_done.load(Ordering::Relaxed) {
        ticks.tick().await;
        let name = format!("{prefix}_{number}");
        let people: Vec<_> =
            seats.iter().map(|seat| seat.signed_in_as(&name, token(&name))).collect();
        let tally = Arc::clone(tally);
        tally.calls.fetch_add(1, Ordering::Relaxed);
        calls.spawn(async move { write(&people, number, &name, &tally).await });
        number += 1;
        while let Some(ended) = calls.try_join_next() {
            count(&mut errors, ended.expect("it does not panic"));
        }
    }
    for ended in calls.join_all().await {
        count(&mut errors, ended);
    }
    errors
}

fn count(errors: &mut BTreeMap<String, u64>, outcome: Result<(), Status>) {
    if let Err(status) = outcome {
        let (code, message) = (status.code(), status.message());
        let causes: Vec<_> = causes(&status).map(|cause| format!("{cause:?}")).collect();
        *errors.entry(format!("{code:?}: {message} {}", causes.join(", "))).or_default() += 1;
    }
}

async fn kills(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let mut instance = Instance::start(field, 73);
    let writers = Writers::start(instance.address, field.pick("kills", "killf"), 8);
    let rounds = field.pick(5, 200);
    for round in 0..rounds {
        // Somewhere in what the writers do, and not always at the same place.
        sleep(Duration::from_micros(100_000 + round * 7_919 % 200_000)).await;
        instance.restart("KILL", None).await;
    }
    seen.say(format!("{rounds} kills"));
    writers.end(&mut seen, &field.owner_url()).await;
    seen
}

/// Fly stops a machine so: SIGINT, and SIGKILL after a while, which is 5 s unless a file says more; here
/// sooner, since the call's own deadline would end the drain by then.
async fn killed_in_its_drain(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let name = field.pick("killed_short", "killed_full");
    let (mut first, second) = (field.server(&[]), field.server(&[]));
    let people = [&first, &second].map(|server| person(server, name));
    let lock = Lock::on_profiles(field).await;
    let waiting = "select count(*) from pg_stat_activity where datname = current_database()
        and usename = 'mayfly_runtime' and wait_event_type = 'Lock'";
    let (outcome, is_killed) = tokio::join!(create(&people[0], name), async {
        until("it waits", SOON, async || number(field, waiting).await == 1).await;
        first.signal("INT");
        let is_gone = first.ended(field.pick(Duration::from_secs(1), Duration::from_secs(3))).await;
        first.signal("KILL");
        is_gone.is_none() && first.ended(SOON).await.is_some()
    });
    let told = outcome.map(drop).map_err(|status| status.code());
    seen.note(is_killed && told.is_err(), format!("killed while it drained: {told:?}"));
    let left =
        until("nothing is left of it", SOON, async || number(field, waiting).await == 0).await;
    let millis = left.as_secs_f64() * 1e3;
    seen.note(left <= freed_max(field), format!("Postgres is free after {millis:.0} ms"));
    lock.release().await;
    let before = number(field, "select count(*) from mayfly_user.profile").await;
    let again = create(&people[1], name).await;
    let after = number(field, "select count(*) from mayfly_user.profile").await;
    seen.note(
        again.is_ok() && after == before + 1,
        format!("repeated elsewhere: {:?}, {} profiles more", again.err(), after - before),
    );
    seen
}
