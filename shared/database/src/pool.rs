//! The pool: a bounded number of connections, a bounded wait for one, and quick refusals while the
//! database is down.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use backoff::BackoffBuilder;
use clock::{Clock, Moment};
use futures_util::future::join_all;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Result, Settings,
    cancel::{Canceller, close},
    connect::{Backend, Connector, ping},
    error::{Unreachable, is_missing_schema},
    lease::Lease,
    secret::Secrets,
};

/// A connection that was idle for longer is asked whether it is alive before it is used.
const TRUSTED_IDLE_MAX: Duration = Duration::from_secs(30);

/// A connection is replaced at this age, so that a failover or a new limit reaches everybody.
const LIFETIME_MAX: Duration = Duration::from_mins(10);

/// How long the question whether a connection is alive may take.
const PING_MAX: Duration = Duration::from_millis(250);

/// How long making one connection may take, whoever waits for it and for how long.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// How far apart tries to reach a database that is down are.
const PROBE_DELAY_MIN: Duration = Duration::from_millis(100);
const PROBE_DELAY_MAX: Duration = Duration::from_millis(500);

/// The connections of one function in one process. Clones share them.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connector: Connector,
    canceller: Canceller,
    clock: Clock,
    tasks: TaskTracker,
    closed: CancellationToken,
    connections_max: usize,
    wait_max: Duration,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
    /// Connecting failed, and nothing but the probe tries again.
    is_down: AtomicBool,
    secrets: Secrets,
    answers_stored: AtomicU64,
}

#[derive(Debug)]
struct Idle {
    backend: Backend,
    born: Instant,
    since: Moment,
}

/// What a pool looks like from outside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct State {
    /// Connections it may have.
    pub connections_max: usize,
    /// Connections in somebody's hands.
    pub in_use: usize,
    /// Connections that wait for somebody.
    pub idle: usize,
    /// Connecting failed the last time it was tried.
    pub is_down: bool,
}

impl Pool {
    /// A pool for `function`; it connects when it is first used. Work that outlives a call (ending
    /// an abandoned statement, say) runs on `tasks`.
    pub fn new(settings: &Settings, function: &str, clock: Clock, tasks: TaskTracker) -> Self {
        let connector = Connector::new(settings, function);
        Self(Arc::new(Inner {
            canceller: Canceller::new(connector.clone(), clock.clone()),
            connector,
            clock,
            tasks,
            closed: CancellationToken::new(),
            connections_max: settings.connections_max,
            wait_max: settings.wait_max,
            permits: Arc::new(Semaphore::new(settings.connections_max)),
            idle: Mutex::default(),
            is_down: AtomicBool::new(false),
            secrets: Secrets::default(),
            answers_stored: AtomicU64::new(0),
        }))
    }

    /// What it looks like from outside.
    pub fn state(&self) -> State {
        let connections_max = self.0.connections_max;
        State {
            connections_max,
            in_use: connections_max.saturating_sub(self.0.permits.available_permits()),
            idle: self.idle().len(),
            is_down: self.is_down(),
        }
    }

    /// Whether the migrations that `function` needs are in the database.
    pub async fn has_schema_of(&self, function: &str) -> Result<bool> {
        let mut lease = self.acquire().await?;
        let outcome = schema::applied(lease.start()).await;
        lease.settle(&outcome);
        Ok(outcome?.is_superset(&schema::needed_by(function)))
    }

    /// Lets idle connections go and stops looking for the database. Calls under way may finish.
    pub async fn close(&self) {
        self.0.closed.cancel();
        let idle = std::mem::take(&mut *self.idle());
        join_all(idle.into_iter().map(|idle| close(idle.backend.connection))).await;
        self.0.canceller.close().await;
    }

    /// A connection, within the wait that is allowed.
    pub(crate) async fn acquire(&self) -> sqlx::Result<Lease> {
        let give_up = Instant::now() + self.0.wait_max;
        if self.is_down() && self.idle().is_empty() {
            return Err(Unreachable(None).into_sqlx());
        }
        let permits = Arc::clone(&self.0.permits);
        let permit = match timeout_at(give_up, permits.acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_closed)) => return Err(Unreachable(None).into_sqlx()),
            Err(_elapsed) => return Err(sqlx::Error::PoolTimedOut),
        };
        match timeout_at(give_up, self.lease(permit)).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(Unreachable(None).into_sqlx()),
        }
    }

    pub(crate) fn canceller(&self) -> &Canceller {
        &self.0.canceller
    }

    pub(crate) fn secrets(&self) -> &Secrets {
        &self.0.secrets
    }

    /// Counts the answers stored by exactly-once calls, for the sweep.
    pub(crate) fn count_stored_answer(&self) -> u64 {
        self.0.answers_stored.fetch_add(1, Ordering::Relaxed)
    }

    /// Does `work` in the background, and then frees the place in the pool.
    pub(crate) fn after(
        &self,
        permit: OwnedSemaphorePermit,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        self.spawn(async move {
            work.await;
            drop(permit);
        });
    }

    /// Does `work` in the background; the drain waits for it.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        // Without a runtime the process is ending, and the sockets close by themselves.
        if let Ok(runtime) = Handle::try_current() {
            self.0.tasks.spawn_on(work, &runtime);
        }
    }

    pub(crate) fn put_back(&self, backend: Backend, born: Instant) {
        let since = self.0.clock.now();
        let mut idle = self.idle();
        // Asked under the lock, so that `close` misses none.
        if self.0.closed.is_cancelled() || since.instant - born > LIFETIME_MAX {
            self.spawn(close(backend.connection));
        } else {
            idle.push(Idle { backend, born, since });
        }
    }

    /// Drops the idle connections, after one turned out to be dead.
    pub(crate) fn forget_idle(&self) {
        self.idle().clear();
    }

    /// A connection for whoever holds `permit`.
    async fn lease(&self, permit: OwnedSemaphorePermit) -> sqlx::Result<Lease> {
        if let Some((backend, born)) = self.idle_connection().await {
            return Ok(Lease::new(self.clone(), backend, born, permit));
        }
        if self.is_down() {
            return Err(Unreachable(None).into_sqlx());
        }
        // It goes on when the caller is gone, and is then there for the next one: many callers
        // with little time would otherwise connect without end, and never be served.
        let connecting = self.0.tasks.spawn(self.clone().connect(permit));
        connecting.await.unwrap_or_else(|_ended| Err(Unreachable(None).into_sqlx()))
    }

    async fn connect(self, permit: OwnedSemaphorePermit) -> sqlx::Result<Lease> {
        match timeout(CONNECT_MAX, self.0.connector.connect()).await {
            Ok(Ok(backend)) => Ok(Lease::new(self, backend, Instant::now(), permit)),
            // It is up, and waits for its migrations.
            Ok(Err(error)) if is_missing_schema(&error) => {
                Err(Unreachable(Some(error)).into_sqlx())
            }
            Ok(Err(error)) => Err(self.went_down(Some(error))),
            Err(_elapsed) => Err(self.went_down(None)),
        }
    }

    /// The connection that was used last, if it can be trusted or answers.
    async fn idle_connection(&self) -> Option<(Backend, Instant)> {
        let now = self.0.clock.now();
        let Idle { mut backend, born, since } = {
            let mut idle = self.idle();
            // Those that slept are not asked whether they live: who waits for the answers of dead
            // ones, here and for the revocations, has waited too long for a new one.
            idle.retain(|idle| !idle.since.has_slept(now));
            idle.pop()?
        };
        if since.age(now) <= TRUSTED_IDLE_MAX {
            return Some((backend, born));
        }
        if let Ok(Ok(())) = timeout(PING_MAX, ping(&mut backend.connection)).await {
            return Some((backend, born));
        }
        // The others have been idle for longer.
        self.forget_idle();
        None
    }

    /// Remembers that the database is down, and looks for it until it is back.
    fn went_down(&self, error: Option<sqlx::Error>) -> sqlx::Error {
        if !self.0.is_down.swap(true, Ordering::Relaxed) {
            let pool = self.clone();
            self.spawn(async move { pool.probe().await });
        }
        Unreachable(error).into_sqlx()
    }

    async fn probe(&self) {
        let delays = backoff::ExponentialBuilder::new()
            .with_min_delay(PROBE_DELAY_MIN)
            .with_max_delay(PROBE_DELAY_MAX)
            .with_jitter()
            .without_max_times();
        for delay in delays.build() {
            // Jitter adds up to the delay itself: the longest wait is capped here.
            let delay = delay.min(PROBE_DELAY_MAX);
            if self.0.closed.run_until_cancelled(sleep(delay)).await.is_none() {
                return;
            }
            match timeout(CONNECT_MAX, self.0.connector.connect()).await {
                Ok(Ok(backend)) => self.put_back(backend, Instant::now()),
                Ok(Err(error)) if is_missing_schema(&error) => {}
                Ok(Err(_)) | Err(_) => continue,
            }
            self.0.is_down.store(false, Ordering::Relaxed);
            return;
        }
    }

    fn is_down(&self) -> bool {
        self.0.is_down.load(Ordering::Relaxed)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
