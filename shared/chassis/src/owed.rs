//! What of a connection's answers is here and not written yet.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use layers::{Held, Total};
use tokio::time::sleep;

use crate::guard::Blocked;

/// What of long answers may wait for clients, of all connections; beyond it who has some that
/// wait must take of them within the [`HURRY`].
const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;
const HURRY: Duration = Duration::from_secs(1);

static HELD: Total = Total::new();

/// Looks within the time that a client may take nothing.
const LOOKS: u32 = 2;

/// Debts are told apart by how many looks ago they began. Beyond so many they are old.
const AGES: usize = 6;

/// Counts the pieces of one connection. Clones count the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owed(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Those that are owed, by the look they began in.
    owed: [AtomicUsize; AGES],
    /// The present look, as `owed` counts them.
    look: AtomicUsize,
    gone: AtomicUsize,
    /// Long answers that wait.
    long: AtomicUsize,
}

/// One piece, which is owed until this is dropped: it is written, or its stream is gone.
#[derive(Debug)]
pub(crate) struct Debt {
    counts: Arc<Counts>,
    age: usize,
}

impl Owed {
    /// One piece more.
    pub(crate) fn add(&self) -> Debt {
        let age = self.0.look.load(Ordering::Relaxed);
        self.0.owed[age].fetch_add(1, Ordering::Relaxed);
        Debt { counts: Arc::clone(&self.0), age }
    }

    /// For an answer, which has nothing that waits so far.
    pub(crate) fn none_held() -> Held {
        Held::of(&HELD)
    }

    /// So many bytes of an answer wait from now on.
    pub(crate) fn hold(&self, held: &mut Held, bytes: usize) {
        let was_long = !held.is_empty();
        held.set(bytes);
        match (was_long, !held.is_empty()) {
            (false, true) => self.0.long.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.0.long.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
    }

    /// How long the client may take nothing: less where it is among those who have too much here.
    pub(crate) fn patience(&self, idle_max: Duration) -> Duration {
        let is_hurried = HELD.bytes() > HELD_BYTES_MAX && self.0.long.load(Ordering::Relaxed) > 0;
        if is_hurried { idle_max.min(HURRY) } else { idle_max }
    }

    /// How many are gone, which tells whether the client goes on.
    pub(crate) fn gone(&self) -> usize {
        self.0.gone.load(Ordering::Relaxed)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.owed.iter().all(|owed| owed.load(Ordering::Relaxed) == 0)
    }

    /// Waits until for `idle_max` nothing was taken of what is owed, or some of it was left for more
    /// than twice as long though the connection itself takes what is written. h2 holds what found no
    /// room in a client's window, for as long as the connection lasts, and nobody waits for it any
    /// more.
    pub(crate) async fn stuck(&self, idle_max: Duration, blocked: &Blocked) {
        let (mut gone, mut looks) = (self.gone(), 0);
        while looks < LOOKS {
            sleep(idle_max / LOOKS).await;
            if self.is_any_old() && !blocked.get() {
                return;
            }
            let is_stuck = !self.is_empty() && self.gone() == gone;
            looks = if is_stuck { looks + 1 } else { 0 };
            gone = self.gone();
        }
    }

    /// Looks whether some are old. The next ones take their place.
    fn is_any_old(&self) -> bool {
        let next = (self.0.look.load(Ordering::Relaxed) + 1) % AGES;
        let is_any = self.0.owed[next].load(Ordering::Relaxed) > 0;
        self.0.look.store(next, Ordering::Relaxed);
        is_any
    }
}

impl Drop for Debt {
    fn drop(&mut self) {
        self.counts.owed[self.age].fetch_sub(1, Ordering::Relaxed);
        self.counts.gone.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;

    const IDLE_MAX: Duration = Duration::from_secs(30);

    /// When a connection is given up on that takes one piece after the other meanwhile.
    async fn given_up_after(owed: &Owed, blocked: &Blocked) -> Option<u64> {
        let start = Instant::now();
        let taking = async {
            // As one is taken the next is handed on.
            let mut piece = owed.add();
            loop {
                sleep(IDLE_MAX / 3).await;
                drop(std::mem::replace(&mut piece, owed.add()));
            }
        };
        tokio::select! {
            () = taking => None,
            end = timeout(10 * IDLE_MAX, owed.stuck(IDLE_MAX, blocked)) => {
                end.is_ok().then(|| start.elapsed().as_secs())
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_takes_is_stuck() {
        let owed = Owed::default();
        let _piece = owed.add();
        let start = Instant::now();
        owed.stuck(IDLE_MAX, &Blocked::default()).await;
        assert_eq!(start.elapsed().as_secs(), IDLE_MAX.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_what_is_owed_is_not_stuck_and_nor_is_who_is_owed_nothing() {
        let (owed, blocked) = (Owed::default(), Blocked::default());
        assert!(timeout(10 * IDLE_MAX, owed.stuck(IDLE_MAX, &blocked)).await.is_err());
        assert_eq!(given_up_after(&owed, &blocked).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_is_stuck_whatever_else_is_taken() {
        let (owed, blocked) = (Owed::default(), Blocked::default());
        let left = owed.add();
        assert_eq!(given_up_after(&owed, &blocked).await, Some(90));
        drop(left);
        // Over a slow connection everything waits, and is taken in its turn.
        let _left = owed.add();
        blocked.note(&std::task::Poll::<()>::Pending);
        assert_eq!(given_up_after(&owed, &blocked).await, None);
    }
}
