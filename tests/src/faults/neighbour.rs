//! A client that behaves, on a connection of its own, while somebody else does not.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use proto::user::v1::GetProfileRequest;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use crate::Person;

/// Fifty calls in a second.
const EVERY: Duration = Duration::from_millis(20);

/// How many calls the quiet takes at least, on a machine that is busy with other tests.
const QUIET_CALLS_MIN: usize = 20;

/// A client that calls until it is asked how it went.
pub(super) struct Neighbour {
    seen: Arc<Mutex<Calls>>,
    is_done: Arc<AtomicBool>,
    calling: JoinSet<()>,
    quiet_p99: Duration,
}

/// How its calls went.
#[derive(Clone, Debug, Default)]
struct Calls {
    took: Vec<Duration>,
    errors: Vec<String>,
}

/// How a neighbour fared.
#[derive(Clone, Debug)]
pub(super) struct Fared {
    pub(super) calls: usize,
    pub(super) errors: Vec<String>,
    pub(super) quiet_p99: Duration,
    pub(super) p99: Duration,
}

impl Neighbour {
    /// Somebody who has a profile, and reads it; first for so long in quiet, or longer.
    pub(super) async fn beside(person: Person, quiet: Duration) -> Self {
        let seen = Arc::new(Mutex::new(Calls::default()));
        let is_done = Arc::new(AtomicBool::new(false));
        let mut calling = JoinSet::new();
        calling.spawn(call(person, Arc::clone(&seen), Arc::clone(&is_done)));
        let start = Instant::now();
        let calls = || lock(&seen).took.len();
        sleep(quiet).await;
        // What a process has not done yet costs memory the first time, which is no fault's.
        while calls() < QUIET_CALLS_MIN && start.elapsed() < quiet * 10 {
            sleep(EVERY).await;
        }
        let before = std::mem::take(&mut *lock(&seen));
        let quiet_p99 = p99(before.took);
        lock(&seen).errors = before.errors;
        Self { seen, is_done, calling, quiet_p99 }
    }

    /// How many calls it has made since its quiet time.
    pub(super) fn calls(&self) -> usize {
        lock(&self.seen).took.len()
    }

    /// Ends the calling, after the call under way.
    pub(super) async fn fared(mut self) -> Fared {
        self.is_done.store(true, Ordering::Relaxed);
        while self.calling.join_next().await.is_some() {}
        let calls = lock(&self.seen).clone();
        let (count, p99) = (calls.took.len(), p99(calls.took));
        Fared { calls: count, errors: calls.errors, quiet_p99: self.quiet_p99, p99 }
    }
}

async fn call(person: Person, seen: Arc<Mutex<Calls>>, is_done: Arc<AtomicBool>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !is_done.load(Ordering::Relaxed) {
        ticks.tick().await;
        let start = Instant::now();
        let outcome = person.user().get_profile(GetProfileRequest::default()).await;
        let mut seen = lock(&seen);
        seen.took.push(start.elapsed());
        if let Err(status) = outcome {
            seen.errors.push(format!("{:?} {}", status.code(), status.message()));
        }
    }
}

fn p99(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    let place = took.len().saturating_sub(1) * 99 / 100;
    took.get(place).copied().unwrap_or_default()
}

fn lock(calls: &Mutex<Calls>) -> std::sync::MutexGuard<'_, Calls> {
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}
