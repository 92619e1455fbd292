//! Several statements that happen together or not at all.

use std::sync::Arc;

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
pub struct Tx(Arc<Mutex<Lease>>);

impl Tx {
    pub(crate) async fn lock(&self) -> OwnedMutexGuard<Lease> {
        Arc::clone(&self.0).lock_owned().await
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
        let tx = Tx(Arc::new(Mutex::new(lease)));

        let outcome = work(tx.clone()).await;

        let mut lease = tx.lock().await;
        match outcome {
            Ok(value) if lease.can_commit() => {
                lease.commit().await.map_err(Error::from)?;
                Ok(value)
            }
            outcome => {
                // If even this fails the lease closes the connection, which rolls back as well.
                let _outcome = lease.rollback().await;
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
