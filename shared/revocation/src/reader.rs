//! Reads the revocations: one read at a time, for everybody who waits, and a task of its own, so
//! that a caller who goes away does not end it for the others.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use clock::{Clock, Moment};
use database::Pool;
use identity::UserId;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::task::TaskTracker;

use crate::{
    Error,
    known::{Found, Known, PERSONS_MAX},
    store,
};

/// How often a read is tried, and how long each may take, the wait for its connection included:
/// one that a network has forgotten is given up in time for the next to tell those who wait.
const TRIES_MAX: u32 = 2;
const TRY_MAX: Duration = Duration::from_millis(800);

/// How long a read may take with all its tries.
pub(crate) const READ_MAX: Duration = TRY_MAX.saturating_mul(TRIES_MAX);

/// How soon after a read that failed another may begin. In between its error is everybody's.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// A read that brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database did not answer, or not with this.
    #[error("the database has not told")]
    Failed(#[source] database::Error),
    /// The database took too long.
    #[error("the database has not told in {} ms", TRY_MAX.as_millis())]
    TimedOut,
    /// The read found others in its place, again and again.
    #[error("too many are asked for at once")]
    Crowded,
}

/// Reads the revocations.
#[derive(Debug)]
pub(crate) struct Reader {
    pool: Pool,
    pub(crate) known: Known,
    clock: Clock,
    tasks: TaskTracker,
    desk: Mutex<Desk>,
    reads: AtomicU64,
    failures: AtomicU64,
}

/// What is known of the reads.
#[derive(Debug, Default)]
struct Desk {
    /// Of whom the next read is to tell.
    asked: HashSet<UserId>,
    /// The last read. It is under way for as long as its task holds the other end.
    flight: Option<watch::Receiver<()>>,
    /// When the last read failed and why, if it did.
    failed: Option<(Instant, Arc<ReadError>)>,
}

impl Reader {
    pub(crate) fn new(pool: Pool, known: Known, clock: Clock, tasks: TaskTracker) -> Self {
        let (desk, reads, failures) = Default::default();
        Self { pool, known, clock, tasks, desk, reads, failures }
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(crate) fn error(&self) -> Option<Arc<ReadError>> {
        self.desk().failed.as_ref().map(|(_at, error)| Arc::clone(error))
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Waits for a read, which tells of `id` unless another was under way.
    pub(crate) async fn flown(self: &Arc<Self>, id: &UserId) -> Result<(), Error> {
        let mut flight = self.fly(Some(id))?;
        // Nothing is ever sent: it ends when the task drops its end, however the task ends.
        let _landed = flight.changed().await;
        Ok(())
    }

    /// Joins the read that is under way, or begins one.
    pub(crate) fn fly(self: &Arc<Self>, id: Option<&UserId>) -> Result<watch::Receiver<()>, Error> {
        let began = self.now();
        let mut desk = self.desk();
        if let Some((at, error)) = &desk.failed
            && began.instant.saturating_duration_since(*at) < AGAIN_AFTER
        {
            return Err(Error::Unknown(Arc::clone(error)));
        }
        if let Some(id) = id
            && desk.asked.len() < PERSONS_MAX
        {
            desk.asked.insert(id.clone());
        }
        if let Some(flight) = &desk.flight
            && flight.has_changed().is_ok()
        {
            return Ok(flight.clone());
        }
        let (landing, flight) = watch::channel(());
        desk.flight = Some(flight.clone());
        let ids: Vec<_> = desk.asked.drain().collect();
        drop(desk);
        self.reads.fetch_add(1, Ordering::Relaxed);
        let reader = Arc::clone(self);
        self.tasks.spawn(async move {
            let outcome = reader.read(&ids).await;
            reader.land(began, &ids, outcome);
            drop(landing);
        });
        Ok(flight)
    }

    async fn read(&self, ids: &[UserId]) -> Result<Found, ReadError> {
        let from = self.known.horizon();
        let mut outcome = Err(ReadError::TimedOut);
        for _try in 0..TRIES_MAX {
            outcome = match timeout(TRY_MAX, store::read(&self.pool, from, ids)).await {
                Ok(Ok(found)) => return Ok(found),
                // The connection may have died while nobody looked; the next one is another.
                Ok(Err(error)) => Err(ReadError::Failed(error)),
                Err(_elapsed) => Err(ReadError::TimedOut),
            };
        }
        outcome
    }

    fn land(&self, began: Moment, ids: &[UserId], outcome: Result<Found, ReadError>) {
        let failed = match outcome {
            Ok(found) => {
                self.known.take(began, ids, found);
                None
            }
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                Some((Instant::now(), Arc::new(error)))
            }
        };
        let mut desk = self.desk();
        if let (Some((_at, error)), None) = (&failed, &desk.failed) {
            tracing::warn!(error = fault::chain(&**error), "the revocations cannot be read");
        }
        desk.failed = failed;
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
