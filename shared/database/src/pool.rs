//! The pool: a bounded number of connections, a bounded wait for one, and quick refusals while the
//! database is down.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clock::{Clock, Moment};
use futures_util::future::join_all;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Result, Settings, Standing, Sweeper,
    cancel::{Canceller, close},
    connect::{Backend, Connector, ping},
    error::{Unreachable, broke_off, is_full, is_missing_schema, is_shared, was_ended},
    health::Health,
    lease::Lease,
    secret::Secrets,
    tries::Tries,
};

/// A connection that was idle for longer is asked whether it is alive before it is used.
const TRUSTED_IDLE_MAX: Duration = Duration::from_secs(30);

/// A connection is replaced at this age, so that a failover or a new limit reaches everybody.
const LIFETIME_MAX: Duration = Duration::from_mins(10);

/// How long the question whether a connection is alive may take.
const PING_MAX: Duration = Duration::from_millis(250);

/// How long making one connection may take, whoever waits for it and for how long.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// How soon a database that went down is looked for, and how far apart such looks are: a restart is
/// over in a moment, and whoever is ill is not helped by being asked.
const PROBE_FIRST: Duration = Duration::from_millis(100);
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// By how much Postgres' word that a statement took too long may come later than the limit.
const LATE_MAX: Duration = Duration::from_millis(250);

/// The connections of one function in one process. Clones share them.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connector: Connector,
    common: Arc<Common>,
    closed: CancellationToken,
    connections_max: usize,
    wait_max: Duration,
    answer_max: Duration,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
    secrets: Secrets,
    sweeper: Sweeper,
}

/// What the pools of one process have in common.
#[derive(Debug)]
struct Common {
    canceller: Canceller,
    clock: Clock,
    tasks: TaskTracker,
    health: Health,
}

#[derive(Debug)]
struct Idle {
    backend: Backend,
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
    /// How the database stands, as far as connecting to it goes.
    pub standing: Standing,
}

impl Pool {
    /// A pool for `function`; it connects when it is first used. Work that outlives a call (ending
    /// an abandoned statement, say) runs on `tasks`.
    pub fn new(settings: &Settings, function: &str, clock: Clock, tasks: TaskTracker) -> Self {
        let connector = Connector::new(settings, function);
        let canceller = Canceller::new(connector.clone(), clock.clone());
        let common = Common { canceller, clock, tasks, health: Health::default() };
        Self::of(settings, connector, common.into())
    }

    /// Another pool of the same process on the same database: what one learns of its health, the
    /// others know, and they end their statements over one connection.
    #[must_use]
    pub fn beside(&self, settings: &Settings, function: &str) -> Self {
        let connector = Connector::new(settings, function);
        Self::of(settings, connector, Arc::clone(&self.0.common))
    }

    fn of(settings: &Settings, connector: Connector, common: Arc<Common>) -> Self {
        Self(Arc::new(Inner {
            connector,
            common,
            closed: CancellationToken::new(),
            connections_max: settings.connections_max,
            wait_max: settings.wait_max,
            answer_max: settings.statement_max + LATE_MAX,
            permits: Arc::new(Semaphore::new(settings.connections_max)),
            idle: Mutex::default(),
            secrets: Secrets::default(),
            sweeper: Sweeper::default(),
        }))
    }

    /// What it looks like from outside.
    pub fn state(&self) -> State {
        State {
            connections_max: self.0.connections_max,
            in_use: self.in_use(),
            idle: self.idle().len(),
            standing: self.health().standing(),
        }
    }

    /// The kind of failure that no connection is made for, if none is.
    pub fn error(&self) -> Option<String> {
        self.health().error().clone()
    }

    fn in_use(&self) -> usize {
        self.0.connections_max.saturating_sub(self.0.permits.available_permits())
    }

    /// Whether the migrations that `function` needs are in the database, and nobody shares our
    /// connections to it.
    pub async fn has_schema_of(&self, function: &str) -> Result<bool> {
        let mut lease = self.acquire().await?;
        self.is_alone().await?;
        let outcome = schema::applied(lease.start()).await;
        lease.settle(&outcome);
        Ok(outcome?.is_superset(&schema::needed_by(function)))
    }

    /// Makes a second connection while the first does nothing, once in a process: a pooler in
    /// transaction mode gives it the first one's backend, which then is known to be shared.
    async fn is_alone(&self) -> sqlx::Result<()> {
        if self.health().is_alone() {
            return Ok(());
        }
        let losses = self.losses();
        match timeout(CONNECT_MAX, self.0.connector.connect(self.health())).await {
            Ok(Ok(backend)) => {
                self.health().set_alone();
                self.spawn(close(backend.connection));
                Ok(())
            }
            Ok(Err(error)) if is_shared(&error) => Err(self.went_down(Some(error), losses)),
            // Of that nothing is known yet.
            Ok(Err(_)) | Err(_) => Ok(()),
        }
    }

    /// Lets idle connections go and stops looking for the database. Calls under way may finish.
    pub async fn close(&self) {
        self.0.closed.cancel();
        let idle = std::mem::take(&mut *self.idle());
        join_all(idle.into_iter().map(|idle| close(idle.backend.connection))).await;
        self.0.common.canceller.close().await;
    }

    /// A connection, within the wait that is allowed.
    pub(crate) async fn acquire(&self) -> sqlx::Result<Lease> {
        let give_up = Instant::now() + self.0.wait_max;
        let mut last = None;
        loop {
            if self.is_down() && self.idle().is_empty() {
                return Err(self.health().unreachable());
            }
            let permits = Arc::clone(&self.0.permits);
            let permit = match timeout_at(give_up, permits.acquire_owned()).await {
                Ok(Ok(permit)) => permit,
                Ok(Err(_closed)) => return Err(Unreachable(None).into_sqlx()),
                Err(_elapsed) => return Err(sqlx::Error::PoolTimedOut),
            };
            let had = give_up.saturating_duration_since(Instant::now());
            match timeout_at(give_up, self.lease(permit)).await {
                Ok(Ok(Some(lease))) => return Ok(lease),
                Ok(Ok(None)) => self.given_back(give_up).await?,
                // Nothing was sent yet, so whatever comes next may wait for another.
                Ok(Err(error)) if was_ended(&error) => last = Some(error),
                Ok(Err(error)) => return Err(error),
                Err(_elapsed) => return Err(last.unwrap_or_else(|| self.too_late(had))),
            }
        }
    }

    /// Why there was no connection after all. Whoever had `had` for making one, because others had
    /// theirs for most of the wait, has not found out that nobody is there.
    fn too_late(&self, had: Duration) -> sqlx::Error {
        if had < self.0.wait_max / 2 && !self.is_down() {
            return sqlx::Error::PoolTimedOut;
        }
        Unreachable(None).into_sqlx()
    }

    /// Waits for one of the connections there are, where the server takes no more.
    async fn given_back(&self, give_up: Instant) -> sqlx::Result<()> {
        let changed = self.health().changed();
        if self.health().standing() != Standing::Full || !self.idle().is_empty() {
            return Ok(());
        }
        if self.in_use() == 0 {
            // There is none to wait for.
            return Err(self.health().unreachable());
        }
        timeout_at(give_up, changed).await.map_err(|_elapsed| sqlx::Error::PoolTimedOut)
    }

    /// How long Postgres may take to answer one statement.
    pub(crate) fn answer_max(&self) -> Duration {
        self.0.answer_max
    }

    pub(crate) fn canceller(&self) -> &Canceller {
        &self.0.common.canceller
    }

    pub(crate) fn secrets(&self) -> &Secrets {
        &self.0.secrets
    }

    /// Sweeps the answers of exactly-once calls.
    pub(crate) fn sweeper(&self) -> &Sweeper {
        &self.0.sweeper
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
            self.0.common.tasks.spawn_on(work, &runtime);
        }
    }

    /// How often all connections were given up.
    pub(crate) fn losses(&self) -> u64 {
        self.health().losses()
    }

    /// Keeps a connection for the next one.
    pub(crate) fn put_back(&self, backend: Backend) {
        let since = self.0.common.clock.now();
        let mut idle = self.idle();
        // Asked under the lock, so that `close` misses none.
        let is_closed = self.0.closed.is_cancelled();
        let is_old = since.instant - backend.born > LIFETIME_MAX;
        if is_closed || is_old || backend.losses != self.losses() {
            self.spawn(close(backend.connection));
        } else {
            idle.push(Idle { backend, since });
            self.health().gave_back();
        }
    }

    /// Drops the idle connections, after one turned out to be dead.
    pub(crate) fn forget_idle(&self) {
        self.idle().clear();
    }

    /// A connection for whoever holds `permit`; none if the server takes no more.
    async fn lease(&self, permit: OwnedSemaphorePermit) -> sqlx::Result<Option<Lease>> {
        if let Some(backend) = self.idle_connection().await {
            return Ok(Some(Lease::new(self.clone(), backend, permit)));
        }
        match self.health().standing() {
            Standing::Up => {}
            Standing::Full => return Ok(None),
            Standing::Down => return Err(self.health().unreachable()),
        }
        // It goes on when the caller is gone, and is then there for the next one: many callers
        // with little time would otherwise connect without end, and never be served.
        let connecting = self.0.common.tasks.spawn(self.clone().connect(permit));
        connecting.await.unwrap_or_else(|_ended| Err(Unreachable(None).into_sqlx()))
    }

    /// Puts a new connection where one was given up on, and so finds out whether anybody is there.
    pub(crate) async fn replace(self, permit: OwnedSemaphorePermit) {
        if !self.is_down() {
            // Dropped, it is there for the next one.
            let _is_there = self.connect(permit).await;
        }
    }

    async fn connect(self, permit: OwnedSemaphorePermit) -> sqlx::Result<Option<Lease>> {
        let losses = self.losses();
        match timeout(CONNECT_MAX, self.backend()).await {
            Ok(Ok(backend)) => Ok(Some(Lease::new(self, backend, permit))),
            // It is up, and waits for its migrations, or has somebody who ends what we begin.
            Ok(Err(error)) if is_missing_schema(&error) || was_ended(&error) => {
                Err(Unreachable(Some(error)).into_sqlx())
            }
            Ok(Err(error)) if is_full(&error) => {
                self.went_down(Some(error), losses);
                Ok(None)
            }
            Ok(Err(error)) => Err(self.went_down(Some(error), losses)),
            Err(_elapsed) => Err(self.went_down(None, losses)),
        }
    }

    /// A connection. A server process that is ended while it greets us is followed by another; one
    /// that breaks off before it says a word may have been ended, or nobody is there: once more tells.
    async fn backend(&self) -> sqlx::Result<Backend> {
        let (mut tries, mut is_again) = (Tries::default(), false);
        loop {
            let error = match self.0.connector.connect(self.health()).await {
                Ok(backend) => return Ok(backend),
                Err(error) => error,
            };
            let may_repeat = was_ended(&error) || (broke_off(&error) && !is_again);
            if !may_repeat || !tries.again().await {
                return Err(error);
            }
            // Whoever was ended between the two was there.
            is_again = broke_off(&error);
        }
    }

    /// The connection that was used last, if it can be trusted or answers.
    async fn idle_connection(&self) -> Option<Backend> {
        let now = self.0.common.clock.now();
        let Idle { mut backend, since } = {
            let mut idle = self.idle();
            // Those that slept are not asked whether they live: who waits for the answers of dead
            // ones, here and for the revocations, has waited too long for a new one.
            idle.retain(|idle| !idle.since.has_slept(now));
            idle.pop()?
        };
        if since.age(now) <= TRUSTED_IDLE_MAX {
            return Some(backend);
        }
        if let Ok(Ok(())) = timeout(PING_MAX, ping(&mut backend.connection)).await {
            return Some(backend);
        }
        // The others have been idle for longer.
        self.forget_idle();
        None
    }

    /// Remembers how connecting failed, begun after this many losses, and looks for the database
    /// until it takes connections again.
    fn went_down(&self, error: Option<sqlx::Error>, losses: u64) -> sqlx::Error {
        if self.health().failed(error.as_ref(), losses) {
            let pool = self.clone();
            self.spawn(async move { pool.probe().await });
        }
        Unreachable(error).into_sqlx()
    }

    async fn probe(&self) {
        let mut next = Instant::now() + PROBE_FIRST;
        while self.0.closed.run_until_cancelled(sleep_until(next)).await.is_some() {
            // From its beginning: one that hangs has taken the time until the next.
            next = Instant::now() + PROBE_EVERY;
            let losses = self.losses();
            let error = match timeout(CONNECT_MAX, self.0.connector.connect(self.health())).await {
                Ok(Ok(backend)) => {
                    self.put_back(backend);
                    None
                }
                Ok(Err(error)) if is_missing_schema(&error) || was_ended(&error) => None,
                Ok(Err(error)) => Some(Some(error)),
                Err(_elapsed) => Some(None),
            };
            if let Some(error) = error {
                // Of what is down may be left what takes no more, and the other way round.
                self.health().failed(error.as_ref(), losses);
                continue;
            }
            self.health().came_back();
            return;
        }
    }

    fn health(&self) -> &Health {
        &self.0.common.health
    }

    fn is_down(&self) -> bool {
        self.health().standing() == Standing::Down
    }

    /// The idle connections, without those that are known to be lost.
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let losses = self.losses();
        idle.retain(|idle| idle.backend.losses == losses);
        idle
    }
}
