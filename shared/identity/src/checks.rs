//! How many signatures are checked at a time, so that a flood of forged tokens leaves the rest of
//! the machine to the good ones.
//!
//! A token that was verified before costs no check and waits for none. Of the others, which may all
//! be forged, at most half of the cores check at a time, in the order they came, and so many wait.

use std::{num::NonZero, sync::Arc, thread::available_parallelism};

use tokio::sync::Semaphore;

use crate::Error;

/// The most tokens that wait for their check: a few hundredths of a second of one core.
const WAITING_MAX: usize = 1024;

/// Checks signatures, a few at a time. Clones share the places.
#[derive(Clone, Debug)]
pub(crate) struct Checks {
    running: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Checks {
    pub(crate) fn new() -> Self {
        let cores = available_parallelism().map_or(1, NonZero::get);
        Self::of((cores / 2).max(1), WAITING_MAX)
    }

    fn of(running: usize, waiting: usize) -> Self {
        Self {
            running: Arc::new(Semaphore::new(running)),
            places: Arc::new(Semaphore::new(running + waiting)),
        }
    }

    /// Runs a check when it is its turn, or says that too many wait already.
    pub(crate) async fn run(&self, check: impl FnOnce() -> bool + Send) -> Result<bool, Error> {
        let place = self.places.try_acquire().map_err(|_full| Error::Busy)?;
        // Neither is ever closed.
        let turn = self.running.acquire().await.map_err(|_closed| Error::Busy)?;
        let is_good = check();
        drop((turn, place));
        Ok(is_good)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_check_waits_for_its_turn_and_is_refused_when_too_many_wait() {
        let checks = Checks::of(1, 1);
        let running = checks.running.acquire().await.unwrap();
        let _place = checks.places.acquire().await.unwrap();
        let waiting = checks.run(|| true);
        tokio::pin!(waiting);
        let is_waiting = is_pending(&mut waiting).await;
        assert!(is_waiting, "it waits for the one that runs");
        assert!(matches!(checks.run(|| true).await, Err(Error::Busy)));
        drop(running);
        assert!(matches!(waiting.await, Ok(true)));
        assert!(matches!(checks.run(|| false).await, Ok(false)));
    }

    /// Whether a future has nothing to say yet.
    async fn is_pending(future: &mut (impl Future<Output = Result<bool, Error>> + Unpin)) -> bool {
        std::future::poll_fn(|cx| {
            std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())
        })
        .await
    }
}
