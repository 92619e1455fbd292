//! Several statements that happen together or not at all.

use std::{
    fmt,
    sync::{Arc, PoisonError},
};

use fault::{Fault, Reason};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::{Error, Pool, lease::Lease, tries::Tries};

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

/// What is done when nobody knows whether a transaction was committed: its connection broke, or fell
/// silent, after it was asked to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum InDoubt {
    /// The caller is told that it failed, and decides.
    Fail,
    /// It is tried again: a key tells whether it has happened.
    Repeat,
}

/// A try that brought nothing.
struct Failed {
    fault: Fault,
    left: Left,
}

/// What a try that failed has left in the database.
enum Left {
    /// Nothing, and the next may fare better.
    Nothing,
    /// Nobody knows.
    Unknown,
    /// Nothing, and the next would come to the same.
    Refused,
}

impl Pool {
    /// Does `work` in a transaction: committed when it succeeds, rolled back when it fails, tried
    /// again when other writers were in the way or the connection broke before the commit.
    pub async fn transaction<T, W, F>(&self, work: W) -> Result<T, Fault>
    where
        T: Send,
        W: Fn(Tx) -> F + Send + Sync,
        F: Future<Output = Result<T, Fault>> + Send,
    {
        self.transact(InDoubt::Fail, work).await
    }

    pub(crate) async fn transact<T, W, F>(&self, in_doubt: InDoubt, work: W) -> Result<T, Fault>
    where
        T: Send,
        W: Fn(Tx) -> F + Send + Sync,
        F: Future<Output = Result<T, Fault>> + Send,
    {
        let mut tries = Tries::default();
        loop {
            let Failed { fault, left } = match self.try_transaction(&work).await {
                Ok(value) => return Ok(value),
                Err(failed) => failed,
            };
            let may_repeat = match left {
                Left::Nothing => true,
                Left::Unknown => in_doubt == InDoubt::Repeat,
                Left::Refused => false,
            };
            if !may_repeat || !tries.again().await {
                return Err(fault);
            }
        }
    }

    async fn try_transaction<T, W, F>(&self, work: &W) -> Result<T, Failed>
    where
        T: Send,
        W: Fn(Tx) -> F + Sync,
        F: Future<Output = Result<T, Fault>> + Send,
    {
        // Without a connection there is no second try: that would only be told later.
        let mut lease = self.acquire().await.map_err(|error| Failed::refused(error.into()))?;
        if let Err(error) = lease.begin().await {
            return Err(Failed::in_transaction(Error::from(error).into(), &lease));
        }
        let tx = Tx::new(lease);

        let outcome = call::hold_calls(work(tx.clone())).await;

        let mut lease = tx.lock().await;
        match outcome {
            Ok(value) if lease.can_commit() => {
                lease.commit().await.map_err(|error| Failed::in_commit(error.into(), &lease))?;
                tx.after_commit.run();
                Ok(value)
            }
            outcome => {
                lease.rollback().await;
                let fault = outcome.err().unwrap_or_else(|| {
                    Fault::internal("a transaction went on after a failed statement")
                });
                Err(Failed::in_transaction(fault, &lease))
            }
        }
    }
}

impl Failed {
    fn refused(error: Error) -> Self {
        Self { fault: error.into(), left: Left::Refused }
    }

    /// Before the commit: whatever there was is rolled back, by us or with the connection.
    fn in_transaction(fault: Fault, lease: &Lease) -> Self {
        let may_pass = lease.is_broken() || fault.reason() == Reason::Conflict;
        let left = if may_pass { Left::Nothing } else { Left::Refused };
        Self { fault, left }
    }

    /// The commit was sent. Unless Postgres itself refuses it, it may have happened.
    fn in_commit(error: Error, lease: &Lease) -> Self {
        if lease.is_ready() {
            return Self::in_transaction(error.into(), lease);
        }
        Self { fault: error.into(), left: Left::Unknown }
    }
}
