//! Watches over a server that is drained again and again: each is told to come back, and goes on
//! from its cursor.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use proto::user::v1::{
    Profile, UpdateProfileRequest, WatchProfilesRequest, watch_profiles_response::Event,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tonic::{Code, Status};

use super::{
    Case, Field, Seen,
    field::{person, token},
    restarts::{Instance, push_back},
    writers::create,
};
use crate::{Person, Proxy, told, until, with_key};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a server drained again and again under watches",
        expected: "each watch ends with 14 and a push-back; resumed by its cursor it loses and repeats nothing",
        run: |field| Box::pin(watched_drains(field)),
    },
    Case {
        name: "a drain beside a database that is silent",
        expected: "calls under way are told, and it is over a second after DRAIN_SECS at most",
        run: |field| Box::pin(silent_drain(field)),
    },
];

const DRAIN_SECS: u64 = 1;

/// How long after that the process is gone: a second, and what a busy machine takes of it.
const OVER_MAX: Duration = Duration::from_secs(1);
const OVER_LATE_MAX: Duration = Duration::from_secs(10);

const WATCHERS: usize = 3;

/// How long watches run before a drain, and after.
const BETWEEN: Duration = Duration::from_millis(300);

/// How long a change may take to reach who watches, restarts included.
const REACHES_MAX: Duration = Duration::from_secs(20);

/// What one watcher has seen.
#[derive(Debug, Default)]
struct Watcher {
    /// The numbers that were told, in order.
    numbers: Mutex<Vec<u64>>,
    /// How many watches have been told something.
    opened: AtomicUsize,
    /// How watches ended.
    ends: Mutex<Vec<String>>,
}

/// What the writer is told.
#[derive(Debug, Default)]
struct Writing {
    /// Nothing is to be written for now.
    is_quiet: AtomicBool,
    /// Nothing is to be written any more.
    is_done: AtomicBool,
}

impl Watcher {
    fn last(&self) -> Option<u64> {
        lock(&self.numbers).last().copied()
    }

    /// Watches until aborted, and comes back after whatever ends the watch.
    async fn watch(&self, address: SocketAddr, name: &str) {
        let mut cursor = String::new();
        loop {
            let watcher = Person::new(address, name, Some(token(name)));
            let request = WatchProfilesRequest { user_ids: Vec::new(), cursor: cursor.clone() };
            let Ok(answer) = watcher.user().watch_profiles(request).await else {
                // Nobody is there for a moment.
                sleep(Duration::from_millis(10)).await;
                continue;
            };
            let mut stream = answer.into_inner();
            let mut messages = 0_u64;
            let end = loop {
                match stream.message().await {
                    Ok(Some(message)) => {
                        self.opened.fetch_add(usize::from(messages == 0), Ordering::Relaxed);
                        messages += 1;
                        cursor = message.cursor;
                        if let Some(Event::Profile(profile)) = message.event
                            && let Ok(number) = profile.bio.parse()
                        {
                            lock(&self.numbers).push(number);
                        }
                    }
                    Ok(None) => break "OK".to_owned(),
                    Err(status) if status.code() == Code::Unavailable => {
                        let wait = push_back(&status);
                        sleep(wait.unwrap_or_default()).await;
                        let reason = if wait.is_some() { told(&status).reason } else { "?".into() };
                        break format!("14 {reason}, push-back: {}", wait.is_some());
                    }
                    Err(status) => break format!("{:?} {}", status.code(), status.message()),
                }
            };
            lock(&self.ends).push(end);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn watched_drains(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let mut drained = Instance::start(field, 78);
    // The writes go elsewhere: what is tried is how they are told.
    let elsewhere = field.server(&[]);
    let name = field.pick("drains_short", "drains_full");
    let writer = person(&elsewhere, name);
    writer.creates_public_profile(name).await;

    let watchers: Arc<[Watcher; WATCHERS]> = Arc::default();
    let mut watching = JoinSet::new();
    for number in 0..WATCHERS {
        let (watchers, address) = (Arc::clone(&watchers), drained.address);
        watching.spawn(async move { watchers[number].watch(address, name).await });
    }
    let writing = Writing::default();
    let rounds: usize = field.pick(3, 100);
    let draining = async {
        let mut unclean = 0;
        for round in 0..rounds {
            // What is told last before a quiet drain is told again by a cursor that is too early.
            writing.is_quiet.store(round.is_multiple_of(2), Ordering::Relaxed);
            sleep(BETWEEN).await;
            // Each drain is to end a watch of everybody.
            let is_watching = |watcher: &Watcher| watcher.opened.load(Ordering::Relaxed) > round;
            let all_watch = async || watchers.iter().all(is_watching);
            until("everybody watches", REACHES_MAX, all_watch).await;
            unclean += usize::from(!drained.restart("TERM", Some(0)).await);
            sleep(BETWEEN).await;
        }
        writing.is_done.store(true, Ordering::Relaxed);
        unclean
    };
    let (unclean, written) = tokio::join!(draining, write(&writer, &watchers, &writing));
    watching.abort_all();
    seen.note(unclean == 0, format!("{rounds} drains, {unclean} of them not with 0"));
    let is_whole = written.is_ok();
    let count = written.unwrap_or_else(|reached| reached);
    seen.note(
        is_whole,
        format!("{count} changes told to {WATCHERS} watchers, lost: {}", !is_whole),
    );
    judge(&mut seen, &watchers, count, rounds);
    seen
}

/// Changes the profile until the drains are over, each time everybody has been told of the last
/// change; how many changes that were. An error when somebody is not told.
async fn write(
    writer: &Person,
    watchers: &[Watcher; WATCHERS],
    writing: &Writing,
) -> Result<u64, u64> {
    let mut number = 0;
    while !writing.is_done.load(Ordering::Relaxed) {
        number += 1;
        let profile = Profile { bio: number.to_string(), ..Default::default() };
        let message = UpdateProfileRequest { profile: Some(profile), update_mask: None };
        let request = with_key(message, &format!("update-{number}"));
        writer.user().update_profile(request).await.expect("the writer's server is left alone");
        let start = Instant::now();
        while watchers.iter().any(|watcher| watcher.last() != Some(number)) {
            if start.elapsed() > REACHES_MAX {
                return Err(number);
            }
            sleep(Duration::from_millis(1)).await;
        }
        while writing.is_quiet.load(Ordering::Relaxed) && !writing.is_done.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(1)).await;
        }
    }
    Ok(number)
}

fn judge(seen: &mut Seen, watchers: &[Watcher; WATCHERS], count: u64, rounds: usize) {
    let all: Vec<_> = (1..=count).collect();
    let wrong = watchers.iter().filter(|watcher| *lock(&watcher.numbers) != all).count();
    seen.note(wrong == 0, format!("{wrong} watchers told something twice, or not in order"));
    let mut ends = std::collections::BTreeMap::<String, usize>::new();
    for watcher in watchers {
        for end in lock(&watcher.ends).iter() {
            *ends.entry(end.clone()).or_default() += 1;
        }
    }
    let told = ends.get("14 DRAINING, push-back: true").copied().unwrap_or_default();
    let is_told = ends.len() == 1 && told >= rounds * WATCHERS;
    seen.note(is_told, format!("watches ended: {ends:?}"));
}

async fn silent_drain(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let proxy = Proxy::open();
    let drain = DRAIN_SECS.to_string();
    // Statements wait for longer than the drain, and so does whoever has no connection.
    let settings = [
        ("DATABASE_URL", &*proxy.url(&field.database)),
        ("DRAIN_SECS", &*drain),
        ("DB_POOL_MAX", "2"),
        ("DB_WAIT_MS_MAX", "5000"),
    ];
    let mut server = field.server(&settings);
    let name = field.pick("silents", "silentf");
    let made = create(&person(&server, name), name).await;
    seen.note(made.is_ok(), format!("serves: {:?}", made.err()));
    proxy.stall();
    let mut calls = JoinSet::new();
    for caller in 0..4 {
        let person = person(&server, &format!("{name}-{caller}"));
        let handle = format!("{name}_{caller}");
        calls.spawn(async move { create(&person, &handle).await.map(drop) });
    }
    sleep(BETWEEN).await;
    let start = Instant::now();
    server.signal("INT");
    let ended = server.ended(OVER_LATE_MAX).await;
    let took = start.elapsed().saturating_sub(Duration::from_secs(DRAIN_SECS));
    seen.note(
        ended.is_some_and(|(_took, code)| code == Some(130))
            && took <= field.pick(OVER_LATE_MAX, OVER_MAX),
        format!("over {:.2} s after DRAIN_SECS: {ended:?}", took.as_secs_f64()),
    );
    let codes: BTreeSet<_> = calls.join_all().await.into_iter().map(outcome_of).collect();
    seen.note(codes == BTreeSet::from(["14 DRAINING".to_owned()]), format!("{codes:?}"));
    seen
}

fn outcome_of(outcome: Result<(), Status>) -> String {
    outcome.map_or_else(
        |status| {
            let told = told(&status);
            format!("{} {}", told.code as i32, told.reason)
        },
        |()| "answered".to_owned(),
    )
}
