//! Drops what has been kept long enough: now and then, out of anybody's way.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Pool, Result};

/// One row in so many has the old ones dropped; the first of a process does.
const EVERY: u64 = 64;

/// Batches of one sweep.
const BATCHES_MAX: usize = 20;

/// Sweeps a table as often as something is added to it.
#[derive(Debug, Default)]
pub struct Sweeper(AtomicU64);

impl Sweeper {
    /// Counts something that was added. If it is time, `batch` drops what is old in the background,
    /// again and again until nothing is left; it tells how much it has dropped.
    pub fn added<F>(&self, pool: &Pool, batch: impl Fn(Pool) -> F + Send + 'static)
    where
        F: Future<Output = Result<u64>> + Send + 'static,
    {
        if self.0.fetch_add(1, Ordering::Relaxed).is_multiple_of(EVERY) {
            let pool_of = pool.clone();
            pool.spawn(async move { sweep(&pool_of, batch).await });
        }
    }
}

async fn sweep<F>(pool: &Pool, batch: impl Fn(Pool) -> F)
where
    F: Future<Output = Result<u64>>,
{
    for _batch in 0..BATCHES_MAX {
        match batch(pool.clone()).await {
            Ok(0) => return,
            Ok(_dropped) => {}
            Err(error) => {
                tracing::warn!(error = fault::chain(&error), "sweeping failed");
                return;
            }
        }
    }
}
