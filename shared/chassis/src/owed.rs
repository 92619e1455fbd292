//! What of a connection's answers was handed on and is not written yet.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;

/// Looks within the time that a client may take nothing.
const LOOKS: u32 = 2;

/// Counts the pieces of one connection. Clones count the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owed(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    handed: AtomicUsize,
    gone: AtomicUsize,
}

/// One piece, which is owed until this is dropped: it is written, or its stream is gone.
#[derive(Debug)]
pub(crate) struct Debt(Arc<Counts>);

impl Owed {
    /// One piece more.
    pub(crate) fn add(&self) -> Debt {
        self.0.handed.fetch_add(1, Ordering::Relaxed);
        Debt(Arc::clone(&self.0))
    }

    /// How many are gone, which tells whether the client goes on.
    pub(crate) fn gone(&self) -> usize {
        self.0.gone.load(Ordering::Relaxed)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.handed.load(Ordering::Relaxed) == self.gone()
    }

    /// Waits until for `idle_max` nothing was taken of what is owed. h2 holds what found no room in
    /// a client's window, for as long as the connection lasts, and nobody waits for it any more.
    pub(crate) async fn stuck(&self, idle_max: Duration) {
        let (mut gone, mut looks) = (self.gone(), 0);
        while looks < LOOKS {
            sleep(idle_max / LOOKS).await;
            let is_stuck = !self.is_empty() && self.gone() == gone;
            looks = if is_stuck { looks + 1 } else { 0 };
            gone = self.gone();
        }
    }
}

impl Drop for Debt {
    fn drop(&mut self) {
        self.0.gone.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;

    const IDLE_MAX: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn what_nobody_takes_is_stuck() {
        let owed = Owed::default();
        let _piece = owed.add();
        let start = Instant::now();
        owed.stuck(IDLE_MAX).await;
        assert_eq!(start.elapsed().as_secs(), IDLE_MAX.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_what_is_owed_is_not_stuck_and_nor_is_who_is_owed_nothing() {
        let owed = Owed::default();
        assert!(timeout(10 * IDLE_MAX, owed.stuck(IDLE_MAX)).await.is_err());
        let taking = async {
            // As one is taken the next is handed on.
            let mut piece = owed.add();
            loop {
                sleep(IDLE_MAX / 3).await;
                piece = std::mem::replace(&mut piece, owed.add());
            }
        };
        tokio::select! {
            () = taking => {}
            end = timeout(10 * IDLE_MAX, owed.stuck(IDLE_MAX)) => assert!(end.is_err()),
        }
    }
}
