//! Several statements that happen together or not at all.

use std::{
    fmt,
    sync::{Arc, PoisonError},
};

use backoff::BackoffBuilder;
use fault::{Fault, Reason};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::sleep,
};

use crate::{Error, Pool, error::breaks_connection, lease::Lease};

/// How often a transaction is tried that other writers are in the way of.
const TRIES_MAX: usize = 5;

/// An open transaction, for the store functions it is handed to.
///
/// It is a handle, so that the work on it is a plain future without a borrow: a call can be dropped
/// at any point, and what it had begun is rolled back.
#[derive(Clone, Debug)]
pub struct Tx {
    lease: Arc<Mutex<Lease>>,
    after_commit: Arc<AfterCommit>,
}

/// What is to be done once the transaction is committed.
#[derive(Default)]
struct AfterCommit(std::sync::Mutex<Vec<Hook>>);

type Hook = Box<dyn FnOnce() + Send>;

impl Tx {
    fn new(lease: Lease) -> Self {
        Self { lease: Arc::new(Mutex::new(lease)), after_commit: Arc::default() }
    }

    pub(crate) async fn lock(&self) -> OwnedMutexGuard<Lease> {
        Arc::clone(&self.lease).lock_owned().await
    }

    /// Has `hook` run once this is committed, and only then. It must not wait, and may be missed:
    /// nobody hears of a commit whose answer is lost.
    pub fn after_commit(&self, hook: impl FnOnce() + Send + 'static) {
        self.after_commit.hooks().push(Box::new(hook));
    }
}

impl AfterCommit {
    fn hooks(&self) -> std::sync::MutexGuard<'_, Vec<Hook>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let hooks = std::mem::take(&mut *self.hooks());
        for hook in hooks {
            hook();
        }
    }
}

impl fmt::Debug for AfterCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AfterCommit").field(&self.hooks().len()).finish()
    }
}

impl Pool {
    /// Does `work` in a transaction: committed when it succeeds, rolled back when it fails, tried
    /// again when other writers were in the way.
    pub async fn transaction<T, W, F>(&self, work: W) -> Result<T, Fault>
    where
        T: Send,
        W: Fn(Tx) -> F + Send + Sync,
        F: Future<Output = Result<T, Fault>> + Send,
    {
        let delays = backoff::ExponentialBuilder::new()
            .with_min_delay(std::time::Duration::from_millis(5))
            .with_max_delay(std::time::Duration::from_millis(100))
            .with_jitter()
            .with_max_times(TRIES_MAX - 1);
        let mut delays = delays.build();
        loop {
            match self.try_transaction(&work).await {
                Err(fault) if fault.reason() == Reason::Conflict => match delays.next() {
                    Some(delay) => sleep(delay).await,
                    None => return Err(fault),
                },
                outcome => return outcome,
            }
        }
    }

    async fn try_transaction<T, W, F>(&self, work: &W) -> Result<T, Fault>
    where
        T: Send,
        W: Fn(Tx) -> F + Sync,
        F: Future<Output = Result<T, Fault>> + Send,
    {
        let lease = self.begin().await.map_err(Error::from)?;
        let tx = Tx::new(lease);

        let outcome = call::hold_calls(work(tx.clone())).await;

        let mut lease = tx.lock().await;
        match outcome {
            Ok(value) if lease.can_commit() => {
                lease.commit().await.map_err(Error::from)?;
                tx.after_commit.run();
                Ok(value)
            }
            outcome => {
                lease.rollback().await;
                outcome.and(Err(Fault::internal("a transaction went on after a failed statement")))
            }
        }
    }

    /// A connection with a transaction open. One that died while nobody looked is found out here,
    /// where nothing has been asked of it yet, so another is taken.
    async fn begin(&self) -> sqlx::Result<Lease> {
        let mut lease = self.acquire().await?;
        match lease.begin().await {
            Ok(()) => return Ok(lease),
            Err(error) if !breaks_connection(&error) => return Err(error),
            Err(_broken) => drop(lease),
        }
        let mut lease = self.acquire().await?;
        lease.begin().await?;
        Ok(lease)
    }
}
