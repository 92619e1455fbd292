//! A database that ends its backends, has no place left, is slow, or swallows what it is told.

use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use proto::user::v1::GetProfileRequest;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{
    Case, Field, Seen,
    crowds::{health, healthy_in_time, within},
    field::person,
    writers::Writers,
    writes::{Lock, detail, nothing_hangs, number},
};
use crate::{Person, Proxy, Server};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a database that is down at start",
        expected: "listens within 1 s; health within 50 ms (p99); 14 within 100 ms (nine of ten); served within 2 s of its return",
        run: |field| Box::pin(down_at_start(field)),
    },
    Case {
        name: "backends terminated every 50 ms",
        expected: "writes and reads succeed by their own repeats; each write once",
        run: |field| Box::pin(terminated(field)),
    },
    Case {
        name: "500 callers while all connections wait for a lock",
        expected: "14 POOL_EXHAUSTED after 500 ms, 200 more at most; health within 50 ms (median); drained 1 s after the release",
        run: |field| Box::pin(exhausted(field)),
    },
    Case {
        name: "a database that is 2 s slower, at 200 calls a second",
        expected: "no more connections than the pool's; left alone within 5 s, asked once a second, served 5 s after the cure",
        run: |field| Box::pin(slow(field)),
    },
    Case {
        name: "a database that swallows what it is sent",
        expected: "calls end at their deadline (2 s); 14 at once within 5 s; no socket left after 30 s; served again without a restart",
        run: |field| Box::pin(swallowing(field)),
    },
];

/// The rule of `GetProfile` gives it two seconds.
const DEADLINE: Duration = Duration::from_secs(2);

/// How long production waits for a connection: what is tried here is that nobody waits for longer.
const WAIT: (&str, &str) = ("DB_WAIT_MS_MAX", "500");

/// A machine that is busy with other tests may hold an answer up.
fn slack(field: &Field) -> Duration {
    field.pick(Duration::from_secs(2), Duration::from_millis(200))
}

/// How soon a process listens, whatever is the matter with its database.
const START_MAX: Duration = Duration::from_secs(1);

/// How soon a call is served once the database is there.
const RECOVERY_MAX: Duration = Duration::from_secs(2);

/// How soon a database that is ill is left alone.
const LEFT_ALONE_MAX: Duration = Duration::from_secs(5);

/// An answer that has waited for nobody.
const AT_ONCE: Duration = Duration::from_millis(100);

/// One call: when it began, how long it took, how it ended.
#[derive(Clone, Debug)]
struct Called {
    began: Instant,
    took: Duration,
    code: Code,
    reason: String,
}

async fn call(person: Person) -> Called {
    let began = Instant::now();
    let outcome = person.user().get_profile(GetProfileRequest::default()).await;
    let status = outcome.err().unwrap_or_else(|| Status::ok(""));
    let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    Called { began, took: began.elapsed(), code: status.code(), reason }
}

/// Whoever calls this often until they are told to stop.
struct Callers {
    is_done: Arc<AtomicBool>,
    calling: JoinSet<Vec<Called>>,
}

impl Callers {
    fn start(server: &Server, every: Duration) -> Self {
        let is_done = Arc::new(AtomicBool::new(false));
        // A connection takes a hundred calls at a time.
        let people: Vec<_> = (0..8).map(|_| person(server, "neighbour")).collect();
        let (told, mut calling) = (Arc::clone(&is_done), JoinSet::new());
        calling.spawn(async move {
            let mut calls = JoinSet::new();
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for person in people.iter().cycle() {
                if told.load(Ordering::Relaxed) {
                    break;
                }
                ticks.tick().await;
                calls.spawn(call(person.clone()));
            }
            calls.join_all().await
        });
        Self { is_done, calling }
    }

    async fn end(mut self) -> Vec<Called> {
        self.is_done.store(true, Ordering::Relaxed);
        let ended = self.calling.join_next().await.expect("one calls");
        ended.expect("it does not panic")
    }
}

/// Calls until one is served; how long that took.
async fn served_again(server: &Server, within: Duration) -> Option<Duration> {
    let (person, start) = (person(server, "neighbour"), Instant::now());
    while start.elapsed() < within {
        if call(person.clone()).await.code == Code::Ok {
            return Some(start.elapsed());
        }
        sleep(Duration::from_millis(10)).await;
    }
    None
}

fn secs(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

async fn down_at_start(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let (mut start, mut told, mut again) = (Vec::new(), Vec::new(), Vec::new());
    let mut healthy = Vec::new();
    for _ in 0..field.pick(2, 20) {
        let proxy = Proxy::closed();
        let begun = Instant::now();
        let server = field.server(&[WAIT, ("DATABASE_URL", &proxy.url(&field.database))]);
        start.push(begun.elapsed());
        let anyone = person(&server, "neighbour");
        for first in 0..20 {
            let called = call(anyone.clone()).await;
            seen.insist(called.reason == "DB_UNAVAILABLE", format!("{called:?}"));
            // Whoever comes first finds it out.
            told.extend((first > 0).then_some(called.took));
        }
        healthy.extend(health(field, &server).await);
        proxy.reopen();
        again.push(served_again(&server, RECOVERY_MAX * 3).await.unwrap_or(RECOVERY_MAX * 3));
    }
    healthy_in_time(&mut seen, healthy, field.pick(25, 99));
    let start = within(start, field.pick(0, 90));
    seen.note(start <= START_MAX, format!("listens after {}", secs(start)));
    let told = within(told, field.pick(25, 90));
    seen.note(told <= AT_ONCE, format!("14 after {}", secs(told)));
    let again = within(again, field.pick(0, 100));
    seen.note(again <= RECOVERY_MAX, format!("served after {}", secs(again)));
    seen
}

async fn terminated(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let server = field.server(&[WAIT]);
    let writers = Writers::start(server.address, field.pick("ended", "endedf"), 6);
    let callers = Callers::start(&server, Duration::from_millis(10));
    let terminate = "select count(pg_terminate_backend(pid)) from pg_stat_activity
        where datname = current_database() and usename = 'mayfly_runtime'";
    let start = Instant::now();
    let mut ended = 0;
    while start.elapsed() < field.pick(Duration::from_secs(2), Duration::from_secs(30)) {
        ended += number(field, terminate).await;
        // A machine that is busy may take as long for one connection.
        sleep(field.pick(Duration::from_millis(250), Duration::from_millis(50))).await;
    }
    let calls = callers.end().await;
    let failed: Vec<_> = calls.iter().filter(|call| call.code != Code::Ok).collect();
    let is_late = |call: &Called| field.is_short() && call.code == Code::DeadlineExceeded;
    let is_told = failed.iter().all(|call| call.code == Code::Unavailable || is_late(call));
    let (all, told) = (calls.len(), failed.len());
    let reasons: BTreeSet<_> = failed.iter().map(|call| call.reason.as_str()).collect();
    // Beside other tests a connection may take longer than a call waits for one.
    seen.note(
        is_told && ended > 0 && (field.is_short() || told * 100 <= all),
        format!("{ended} backends ended; {told} of {all} reads were told 14 {reasons:?}"),
    );
    let each = writers.end(&mut seen, &field.owner_url()).await;
    seen.note(field.is_short() || each <= 1.02, format!("{each:.2} attempts for a write"));
    nothing_hangs(&mut seen, &field.owner_url()).await;
    seen
}

/// Has the server make all connections of its pool, which are then idle; whether it has.
async fn has_ten_connections(field: &Field, people: &[Person]) -> bool {
    const WAITING: &str = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'";
    for _ in 0..5 {
        let lock = Lock::on_profiles(field).await;
        let mut calls = JoinSet::new();
        for person in people {
            calls.spawn(call(person.clone()));
        }
        let (start, mut waiting) = (Instant::now(), 0);
        while waiting < 10 && start.elapsed() < DEADLINE {
            waiting = number(field, WAITING).await;
        }
        lock.release().await;
        calls.join_all().await;
        if waiting == 10 {
            return true;
        }
    }
    false
}

async fn exhausted(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let server = field.server(&[WAIT]);
    seen.note(served_again(&server, DEADLINE).await.is_some(), "serves");
    let people: Vec<_> = (0..10).map(|_| person(&server, "neighbour")).collect();
    // Nine more connections may not be made in half a second, beside a hundred callers.
    seen.insist(has_ten_connections(field, &people).await, "no ten connections");
    let lock = Lock::on_profiles(field).await;
    let (callers, mut calls) = (field.pick(100, 500), JoinSet::new());
    for caller in 0..callers {
        calls.spawn(call(people[caller % people.len()].clone()));
    }
    sleep(Duration::from_millis(100)).await;
    healthy_in_time(&mut seen, health(field, &server).await, field.pick(25, 50));
    let mut called = Vec::new();
    // All but those that have a connection.
    while called.len() < callers - 10 && !calls.is_empty() {
        called.extend(calls.join_next().await.and_then(Result::ok));
    }
    lock.release().await;
    let drained = Instant::now();
    called.extend(calls.join_all().await);
    let drained = drained.elapsed();
    let (refused, others): (Vec<_>, Vec<_>) =
        called.into_iter().partition(|call| call.reason == "POOL_EXHAUSTED");
    let slowest = refused.iter().map(|call| call.took).max().unwrap_or_default();
    seen.note(
        refused.len() == callers - 10 && slowest <= Duration::from_millis(500) + slack(field),
        format!("{} refused, within {}", refused.len(), secs(slowest)),
    );
    let drained_max = field.pick(Duration::from_secs(3), Duration::from_secs(1));
    let codes: Vec<_> = others.iter().map(|call| call.code).collect();
    seen.note(
        codes.iter().all(|code| *code == Code::Ok) && drained <= drained_max,
        format!("{} served, {} after the release", codes.len(), secs(drained)),
    );
    seen
}

/// What callers were told of a database that was ill from `ill` on; whether they were told at once
/// from five seconds later on.
fn judge(seen: &mut Seen, field: &Field, called: &[Called], ill: Instant) {
    let slowest = called.iter().map(|call| call.took).max().unwrap_or_default();
    let is_allowed =
        |code: Code| matches!(code, Code::Ok | Code::Unavailable | Code::DeadlineExceeded);
    seen.note(
        slowest <= DEADLINE + slack(field) && called.iter().all(|call| is_allowed(call.code)),
        format!("{} calls, the slowest {}", called.len(), secs(slowest)),
    );
    let at_once = field.pick(AT_ONCE * 3, AT_ONCE);
    let waited = called.iter().filter(|call| call.took > at_once && call.began >= ill);
    let last = waited.map(|call| call.began - ill).max().unwrap_or_default();
    // Beside other tests one or another waits for its turn.
    let later = called.iter().filter(|call| call.began >= ill + LEFT_ALONE_MAX);
    let (few, of) =
        later.fold((0, 0), |(few, of), call| (few + usize::from(call.took > at_once), of + 1));
    seen.note(
        last <= LEFT_ALONE_MAX || (field.is_short() && few * 20 <= of),
        format!("the last that waited began after {}", secs(last)),
    );
}

async fn slow(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let proxy = Proxy::open();
    let server = field.server(&[WAIT, ("DATABASE_URL", &proxy.url(&field.database))]);
    seen.note(served_again(&server, DEADLINE).await.is_some(), "serves");
    // A debug build beside other tests has enough to do with fewer.
    let every = field.pick(Duration::from_millis(20), Duration::from_millis(5));
    let callers = Callers::start(&server, every);
    sleep(Duration::from_millis(200)).await;
    proxy.delay(Duration::from_secs(2));
    let (ill, mut connections) = (Instant::now(), 0);
    while ill.elapsed() < LEFT_ALONE_MAX {
        connections = connections.max(sockets(&proxy));
        sleep(Duration::from_millis(50)).await;
    }
    let (before, start) = (proxy.made(), Instant::now());
    sleep(field.pick(Duration::from_secs(2), Duration::from_secs(20))).await;
    let (probes, watched) = (proxy.made() - before, start.elapsed());
    let called = callers.end().await;
    judge(&mut seen, field, &called, ill);
    // One more is for control, and one for revocations.
    seen.note(connections <= 12, format!("{connections} connections at most"));
    seen.note(
        probes <= watched.as_secs() + 2,
        format!("asked {probes} times in {}", secs(watched)),
    );
    proxy.delay(Duration::ZERO);
    let cured = served_again(&server, Duration::from_secs(10)).await;
    seen.note(
        cured.is_some_and(|took| took <= Duration::from_secs(5)),
        format!("served after the cure: {:?}", cured.map(secs)),
    );
    seen
}

async fn swallowing(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let proxy = Proxy::open();
    let server = field.server(&[WAIT, ("DATABASE_URL", &proxy.url(&field.database))]);
    let callers = Callers::start(&server, Duration::from_millis(50));
    sleep(Duration::from_millis(300)).await;
    proxy.stall();
    let ill = Instant::now();
    sleep(Duration::from_secs(6)).await;
    // The probe has one at a time.
    while sockets(&proxy) > 1 && ill.elapsed() < Duration::from_secs(30) {
        sleep(Duration::from_millis(50)).await;
    }
    let called = callers.end().await;
    judge(&mut seen, field, &called, ill);
    let left = sockets(&proxy);
    seen.note(left <= 1, format!("{left} sockets left after {}", secs(ill.elapsed())));
    let in_use = detail(&server).await["functions"]["user"]["database"]["in_use"].clone();
    seen.note(in_use == 0, format!("{in_use} of the pool in use"));
    proxy.reopen();
    let cured = served_again(&server, Duration::from_secs(10)).await;
    seen.note(
        cured.is_some_and(|took| took <= Duration::from_secs(5)),
        format!("served again: {:?}", cured.map(secs)),
    );
    seen
}

/// The connections to a proxy, as the kernel knows them; none where it does not tell.
fn sockets(proxy: &Proxy) -> usize {
    const ESTABLISHED: &str = "01";
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let port = format!(":{:04X}", proxy.address.port());
    let to_proxy = table.lines().filter(|line| {
        let mut fields = line.split_whitespace().skip(2);
        fields.next().is_some_and(|remote| remote.ends_with(&port))
            && fields.next() == Some(ESTABLISHED)
    });
    to_proxy.count()
}
