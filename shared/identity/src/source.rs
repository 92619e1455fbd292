//! Where the keys are at hand: fetched once for everybody, refreshed behind the callers' backs.
//!
//! At most one fetch is under way. It is a task of its own, so that a caller who goes away does not
//! end it for the others.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use clock::{Clock, Moment};
use reqwest::Url;
use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};
use tokio_util::task::TaskTracker;

use crate::{
    Error, FetchError,
    fetch::{Fetched, Fetcher},
    keys::{Key, KeySet},
    pace::{Pace, Why},
};

/// How long a machine that slept waits for keys before it goes on with those it had: as long as
/// their server is away they are the best there is.
const AFTER_SLEEP_MAX: Duration = Duration::from_secs(1);

/// The most callers that wait for keys at a time. Anybody can make a token that names an unknown key,
/// and have a call wait for as long as a fetch may take.
pub(crate) const WAITING_MAX: usize = 1024;

/// How the keys stand, for health.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeysState {
    /// There never were any.
    Never,
    /// They are as new as their server wants them.
    Fresh,
    /// They should have been fetched again. Past `JWKS_STALE_SECS_MAX` they are not used.
    Stale {
        /// How long ago they were fetched.
        age: Duration,
    },
}

/// Holds the keys and fetches them.
#[derive(Debug)]
pub(crate) struct Source {
    fetcher: Fetcher,
    stale_max: Duration,
    clock: Clock,
    tasks: TaskTracker,
    keys: RwLock<Option<Arc<KeySet>>>,
    desk: Mutex<Desk>,
    places: Semaphore,
    fetches: AtomicU64,
    failures: AtomicU64,
}

/// What is known of the fetches.
#[derive(Debug, Default)]
struct Desk {
    pace: Pace,
    /// The last fetch, and when it began. It is under way for as long as its task holds the other
    /// end.
    flight: Option<(Moment, watch::Receiver<()>)>,
    /// When the last fetch failed and why, if it did.
    failed: Option<(Moment, Arc<FetchError>)>,
}

impl Desk {
    /// The fetch that is under way, unless the machine has slept since it began: its connection is
    /// dead, and what it brings may be of before.
    fn under_way(&self, now: Moment) -> Option<watch::Receiver<()>> {
        let (began, flight) = self.flight.as_ref()?;
        (flight.has_changed().is_ok() && !began.has_slept(now)).then(|| flight.clone())
    }

    /// When the last fetch failed, unless the machine has slept since: that says nothing of now.
    fn failed_awake(&self, now: Moment) -> Option<Moment> {
        let (failed, _error) = self.failed.as_ref()?;
        (!failed.has_slept(now)).then_some(*failed)
    }
}

impl Source {
    pub(crate) fn new(url: Url, stale_max: Duration, clock: Clock, tasks: TaskTracker) -> Self {
        Self {
            fetcher: Fetcher::new(url),
            stale_max,
            clock,
            tasks,
            keys: RwLock::default(),
            desk: Mutex::default(),
            places: Semaphore::new(WAITING_MAX),
            fetches: AtomicU64::default(),
            failures: AtomicU64::default(),
        }
    }

    /// The keys, if there are any that may be used. Starts to fetch new ones when they are due, for
    /// which nobody waits unless the machine has slept.
    pub(crate) fn held(self: &Arc<Self>) -> Option<Arc<KeySet>> {
        let now = self.clock.now();
        let set = self.usable(now)?;
        let flight = if set.due(now) { self.fly(Why::Due, now, Some(&set)) } else { None };
        // Once a fetch has failed since then its callers have waited once: whoever waited for each
        // further one would wait as often as the server is tried.
        let is_first = || self.desk().failed_awake(now).is_none();
        let is_waited_for = flight.is_some() && set.has_slept(now) && is_first();
        (!is_waited_for).then_some(set)
    }

    /// The keys, fetched if there are none.
    pub(crate) async fn set(self: &Arc<Self>) -> Result<Arc<KeySet>, Error> {
        if let Some(set) = self.held() {
            return Ok(set);
        }
        let fetched = self.flown(Why::None, None);
        if self.usable(self.clock.now()).is_some() {
            let _landed = timeout(AFTER_SLEEP_MAX, fetched).await;
        } else {
            fetched.await?;
        }
        self.usable(self.clock.now()).ok_or_else(|| self.unavailable())
    }

    /// The key of this name, and fetches once more if there is none.
    pub(crate) async fn key(self: &Arc<Self>, kid: &str) -> Result<Arc<Key>, Error> {
        let set = self.set().await?;
        if let Some(key) = set.find(kid) {
            return Ok(Arc::clone(key));
        }
        self.flown(Why::Unknown, Some(&set)).await?;
        let now = self.clock.now();
        let set = self.usable(now).ok_or_else(|| self.unavailable())?;
        match set.find(kid) {
            Some(key) => Ok(Arc::clone(key)),
            // It may be a newer key than ours: a good token must not be called bad.
            None if set.due(now) || self.error().is_some() => Err(self.unavailable()),
            None => Err(Error::Invalid("unknown key")),
        }
    }

    /// How the keys stand.
    pub(crate) fn state(&self) -> KeysState {
        let now = self.clock.now();
        match self.any() {
            None => KeysState::Never,
            Some(set) if set.due(now) => KeysState::Stale { age: set.age(now) },
            Some(_) => KeysState::Fresh,
        }
    }

    /// What the last fetch failed of, if it failed.
    pub(crate) fn error(&self) -> Option<Arc<FetchError>> {
        self.desk().failed.as_ref().map(|(_at, error)| Arc::clone(error))
    }

    pub(crate) fn fetches(&self) -> u64 {
        self.fetches.load(Ordering::Relaxed)
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    fn unavailable(&self) -> Error {
        Error::KeysUnavailable(self.error().unwrap_or_else(|| Arc::new(FetchError::GivenUp)))
    }

    fn usable(&self, now: Moment) -> Option<Arc<KeySet>> {
        self.any().filter(|set| set.age(now) <= self.stale_max)
    }

    fn any(&self) -> Option<Arc<KeySet>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a fetch, if one is under way or may start.
    async fn flown(self: &Arc<Self>, why: Why, seen: Option<&Arc<KeySet>>) -> Result<(), Error> {
        if let Some(mut flight) = self.fly(why, self.clock.now(), seen) {
            let place = self.places.try_acquire();
            let _place =
                place.map_err(|_full| Error::KeysUnavailable(Arc::new(FetchError::Crowded)))?;
            // Nothing is ever sent: it ends when the task drops its end, however the task ends.
            let _landed = flight.changed().await;
        }
        Ok(())
    }

    /// Joins the fetch that is under way, or starts one if it may.
    ///
    /// `seen` is what the caller found wanting: if other keys have come in the meantime there is
    /// nothing to fetch.
    fn fly(
        self: &Arc<Self>,
        why: Why,
        now: Moment,
        seen: Option<&Arc<KeySet>>,
    ) -> Option<watch::Receiver<()>> {
        let mut desk = self.desk();
        if let Some(flight) = desk.under_way(now) {
            return Some(flight);
        }
        let same = match (self.usable(now), seen) {
            (Some(have), Some(seen)) => Arc::ptr_eq(&have, seen),
            (have, seen) => have.is_none() && seen.is_none(),
        };
        let failed = desk.failed_awake(now);
        if !same || !desk.pace.start(why, failed, now) {
            return None;
        }
        let (landing, flight) = watch::channel(());
        desk.flight = Some((now, flight.clone()));
        drop(desk);
        self.fetches.fetch_add(1, Ordering::Relaxed);
        let source = Arc::clone(self);
        self.tasks.spawn(async move {
            let outcome = source.fetcher.fetch().await;
            source.land(outcome, now);
            drop(landing);
        });
        Some(flight)
    }

    /// Takes in what a fetch has brought that began then. The old keys stay unless there are new ones.
    fn land(&self, outcome: Result<Fetched, FetchError>, began: Moment) {
        let now = self.clock.now();
        if began.has_slept(now) {
            tracing::debug!("token keys were fetched across a sleep, which says nothing of now");
            return;
        }
        let mut desk = self.desk();
        match outcome {
            Ok(Fetched { keys, max_age }) => {
                // Whatever their server says, there are new ones before these are too old to be used.
                let max_age = max_age.min(self.stale_max / 2);
                let set = KeySet::new(keys, self.any().as_deref(), now, max_age);
                tracing::debug!(
                    keys = set.len(),
                    max_age = max_age.as_secs(),
                    "token keys fetched"
                );
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(set));
                desk.failed = None;
            }
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    class = error.class(),
                    error = fault::chain(&error),
                    "token keys not fetched"
                );
                desk.failed = Some((now, Arc::new(error)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keys_that_came_in_the_meantime_are_not_fetched_again() {
        let url = Url::parse("http://[::1]:1/").unwrap();
        let source = Source::new(url, Duration::from_hours(6), Clock::at(0), TaskTracker::new());
        let source = Arc::new(source);
        let now = source.clock.now();
        let set = || Arc::new(KeySet::new(Vec::new(), None, now, Duration::from_hours(1)));
        let (seen, newer) = (set(), set());
        *source.keys.write().unwrap() = Some(Arc::clone(&newer));
        assert!(source.fly(Why::None, now, None).is_none());
        assert!(source.fly(Why::Due, now, Some(&seen)).is_none());
        assert!(source.fly(Why::Unknown, now, Some(&seen)).is_none());
        assert_eq!(source.fetches(), 0);
        assert!(source.fly(Why::Unknown, now, Some(&newer)).is_some());
        assert!(source.fly(Why::Due, now, Some(&newer)).is_some());
        assert_eq!(source.fetches(), 1);
    }
}
