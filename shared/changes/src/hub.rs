//! What all who watch in one process share: one look at the end of the log for all of them.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clock::Clock;
use database::{Pool, Result, Settings, Sweeper};
use sqlx::postgres::PgConnectOptions;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, error::Elapsed, sleep, sleep_until, timeout},
};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::{
    cursor::Place,
    listen::listen,
    store::{self, READ_MAX},
};

/// How often the log is looked at for those who watch, told to or not.
const POLL: Duration = Duration::from_secs(1);

/// How far apart two looks are at least, and two notifications.
const LOOK_EVERY_MIN: Duration = Duration::from_millis(20);
const NOTIFY_EVERY_MIN: Duration = Duration::from_millis(20);

/// Entries that one query looks through.
const TAIL_MAX: usize = 1000;

/// Reads of the log at a time in one process; the calls need connections as well.
const READS_MAX: usize = 4;

/// What all functions of one process share of the change log.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    /// Past any pooler, for LISTEN.
    direct: PgConnectOptions,
    /// Tells this process' notifications from those of others.
    id: String,
    clock: Clock,
    tasks: TaskTracker,
    watchers: Mutex<Watchers>,
    look: Notify,
    left: Notify,
    reads: Arc<Semaphore>,
    is_notifying: AtomicBool,
    notify_from: Mutex<Instant>,
    sweeper: Sweeper,
}

#[derive(Default)]
struct Watchers {
    next: u64,
    count: usize,
    is_looking: bool,
    by_topic: HashMap<String, HashMap<u64, Arc<Notify>>>,
}

/// Somebody who watches, until dropped.
#[derive(Debug)]
pub(crate) struct Watcher {
    hub: Hub,
    number: u64,
    topics: Arc<[String]>,
    changed: Arc<Notify>,
}

impl Hub {
    /// The hub of a process; it does nothing until somebody watches.
    pub fn new(settings: &Settings, clock: Clock, tasks: TaskTracker) -> Self {
        let direct = schema::options(settings.direct_url.expose());
        let direct = direct.expect("the settings have read the URL");
        Self(Arc::new(Inner {
            direct: direct.application_name("mayfly_listen"),
            id: Uuid::new_v4().simple().to_string(),
            clock,
            tasks,
            watchers: Mutex::default(),
            look: Notify::new(),
            left: Notify::new(),
            reads: Arc::new(Semaphore::new(READS_MAX)),
            is_notifying: AtomicBool::new(false),
            notify_from: Mutex::new(Instant::now()),
            sweeper: Sweeper::default(),
        }))
    }

    pub(crate) fn id(&self) -> &str {
        &self.0.id
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(crate) fn direct(&self) -> PgConnectOptions {
        self.0.direct.clone()
    }

    /// Somebody who is told when one of `topics` changes, from now on.
    pub(crate) fn watcher(&self, pool: &Pool, topics: Arc<[String]>) -> Watcher {
        let changed = Arc::new(Notify::new());
        let mut watchers = self.watchers();
        let number = watchers.next;
        watchers.next += 1;
        watchers.count += 1;
        for topic in &*topics {
            let of_topic = watchers.by_topic.entry(topic.clone()).or_default();
            of_topic.insert(number, Arc::clone(&changed));
        }
        if !watchers.is_looking {
            watchers.is_looking = true;
            self.0.tasks.spawn(self.clone().look_while_watched(pool.clone()));
        }
        Watcher { hub: self.clone(), number, topics, changed }
    }

    /// Has the log looked at as soon as may be.
    pub(crate) fn look_soon(&self) {
        self.0.look.notify_one();
    }

    /// Leave to read from the log, for which the others wait.
    pub(crate) async fn read(&self) -> OwnedSemaphorePermit {
        let reads = Arc::clone(&self.0.reads);
        reads.acquire_owned().await.expect("it is never closed")
    }

    /// Something was appended and is committed: looks, and has the other processes look.
    pub(crate) fn appended(&self, pool: &Pool) {
        self.look_soon();
        self.0.sweeper.added(pool, |pool| async move { store::sweep(&pool).await });
        if !self.0.is_notifying.swap(true, Ordering::SeqCst) {
            self.0.tasks.spawn(self.clone().notify(pool.clone()));
        }
    }

    async fn notify(self, pool: Pool) {
        let from = *lock(&self.0.notify_from);
        sleep_until(from).await;
        *lock(&self.0.notify_from) = Instant::now() + NOTIFY_EVERY_MIN;
        // What is committed from here on asks for another.
        self.0.is_notifying.store(false, Ordering::SeqCst);
        if let Err(error) = store::notify(&pool, self.id()).await {
            let error = fault::chain(&error);
            tracing::warn!(error, "others were not told of a change, and will find it by polling");
        }
    }

    async fn look_while_watched(self, pool: Pool) {
        tokio::select! {
            () = self.look_until_unwatched(&pool) => {}
            () = listen(&self) => {}
        }
    }

    async fn look_until_unwatched(&self, pool: &Pool) {
        let mut tail = None;
        let mut wait = Duration::ZERO;
        let mut held_up = Duration::ZERO;
        let mut is_failing = false;
        loop {
            tokio::select! {
                () = self.0.look.notified() => {}
                () = self.0.left.notified() => {}
                () = sleep(wait) => {}
            }
            if self.watchers().stop_if_unwatched() {
                return;
            }
            let seen = timeout(READ_MAX, self.look(pool, &mut tail)).await;
            {
                let failure = failure(&seen);
                if let (Some(error), false) = (failure, is_failing) {
                    let error = fault::chain(error);
                    tracing::warn!(error, "the change log cannot be looked at");
                }
                is_failing = failure.is_some();
            }
            held_up = match seen {
                Ok(Ok(Seen::All) | Err(_)) | Err(_) => Duration::ZERO,
                Ok(Ok(Seen::Some)) => LOOK_EVERY_MIN,
                // What is held up appears when an older transaction ends, which nobody tells.
                Ok(Ok(Seen::NothingNew)) => (held_up * 2).clamp(LOOK_EVERY_MIN, POLL),
            };
            wait = if held_up.is_zero() { POLL } else { held_up };
            sleep(LOOK_EVERY_MIN).await;
        }
    }

    /// Tells the watchers of what has changed since the last look.
    async fn look(&self, pool: &Pool, tail: &mut Option<(Uuid, Place)>) -> Result<Seen> {
        let Some((epoch, mut place)) = tail.take() else {
            // The first look only finds the end. Whoever read before may have missed something.
            let end = store::tail(pool, Place::START, 0).await?;
            *tail = Some((end.epoch, Place { xid: end.settled, sequence: 0 }));
            self.watchers().tell_all();
            return Ok(Seen::Some);
        };
        let rows_max = i64::try_from(TAIL_MAX).unwrap_or(i64::MAX);
        let mut has_seen_some = false;
        loop {
            let seen = store::tail(pool, place, rows_max).await;
            let seen = seen.inspect_err(|_error| *tail = Some((epoch, place)))?;
            if seen.epoch != epoch || seen.settled < place.xid {
                // It is not the log it was: the next look is a first one.
                return Ok(Seen::Some);
            }
            has_seen_some |= !seen.topics.is_empty();
            let last = seen.topics.last().map(|(place, _topic)| *place);
            let is_all = seen.topics.len() < TAIL_MAX;
            place = match last {
                Some(last) if !is_all => last,
                _ => Place { xid: seen.settled, sequence: 0 },
            };
            let topics: HashSet<_> = seen.topics.into_iter().map(|(_place, topic)| topic).collect();
            self.watchers().tell(&topics);
            if is_all {
                *tail = Some((epoch, place));
                return Ok(match (seen.is_unsettled, has_seen_some) {
                    (false, _) => Seen::All,
                    (true, true) => Seen::Some,
                    (true, false) => Seen::NothingNew,
                });
            }
        }
    }

    fn watchers(&self) -> MutexGuard<'_, Watchers> {
        lock(&self.0.watchers)
    }
}

/// What a look has found.
enum Seen {
    /// Everything there is.
    All,
    /// Something; more waits for older transactions.
    Some,
    /// Nothing, and all there is waits for older transactions.
    NothingNew,
}

/// Why a look has failed, if it has.
fn failure(
    seen: &std::result::Result<Result<Seen>, Elapsed>,
) -> Option<&(dyn std::error::Error + 'static)> {
    match seen {
        Ok(Ok(_seen)) => None,
        Ok(Err(error)) => Some(error),
        Err(elapsed) => Some(elapsed),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watchers {
    /// Ends the looking when nobody is left, so that the next one begins it anew.
    fn stop_if_unwatched(&mut self) -> bool {
        self.is_looking = self.count > 0;
        !self.is_looking
    }

    fn tell(&self, topics: &HashSet<String>) {
        let told = topics.iter().filter_map(|topic| self.by_topic.get(topic));
        told.flat_map(HashMap::values).for_each(|changed| changed.notify_one());
    }

    fn tell_all(&self) {
        let all = self.by_topic.values().flat_map(HashMap::values);
        all.for_each(|changed| changed.notify_one());
    }
}

impl Watcher {
    /// Waits until something has changed since it was last asked.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(crate) fn topics(&self) -> &[String] {
        &self.topics
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut watchers = self.hub.watchers();
        for topic in &*self.topics {
            if let Some(of_topic) = watchers.by_topic.get_mut(topic) {
                of_topic.remove(&self.number);
                if of_topic.is_empty() {
                    watchers.by_topic.remove(topic);
                }
            }
        }
        watchers.count -= 1;
        if watchers.count == 0 {
            self.hub.0.left.notify_one();
        }
    }
}

// Written by hand: the options hold a password.
impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("watchers", &self.watchers().count).finish_non_exhaustive()
    }
}
