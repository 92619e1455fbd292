//! What of a connection's answers is here and not written yet.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use layers::{Held, Total};
use tokio::{sync::Notify, time::sleep};

use crate::guard::Blocked;

/// What of answers may wait for clients, of all connections; beyond it who has some that wait must
/// take of them within the [`HURRY`].
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
const HURRY: Duration = Duration::from_secs(1);

/// What a stream counts for beside its bytes until its first piece is written, which is more than
/// its task and its state in h2 cost: about 4,000 answers may wait, however short they are.
pub(crate) const STREAM_BYTES: usize = 16 * 1024;

static ALL: All = All::new();

/// Looks within the time that a client may take nothing.
const LOOKS: u32 = 2;

/// Debts are told apart by how many looks ago they began. Beyond so many they are old.
const AGES: usize = 6;

/// What waits for clients, of all connections.
#[derive(Debug)]
struct All {
    /// Of long answers, what is not handed on.
    held: Total,
    /// What is handed on and not written.
    queued: AtomicUsize,
    /// Tells connections to look at what they owe.
    look: Notify,
}

impl All {
    const fn new() -> Self {
        Self { held: Total::new(), queued: AtomicUsize::new(0), look: Notify::const_new() }
    }

    fn is_too_much(&self) -> bool {
        self.held.bytes() + self.queued.load(Ordering::Relaxed) > WAITING_BYTES_MAX
    }

    /// Has connections look more often for as long as it is too much.
    async fn hurry(&self) {
        loop {
            sleep(HURRY / LOOKS).await;
            if self.is_too_much() {
                self.look.notify_waiters();
            }
        }
    }
}

/// Hurries those who leave what they are owed, for as long as that is too much in all.
pub(crate) async fn hurry() {
    ALL.hurry().await;
}

/// Counts the pieces of one connection. Clones count the same.
#[derive(Clone, Debug)]
pub(crate) struct Owed(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    all: &'static All,
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
    bytes: usize,
}

impl Default for Owed {
    fn default() -> Self {
        Self::among(&ALL)
    }
}

impl Owed {
    fn among(all: &'static All) -> Self {
        Self(Arc::new(Counts {
            all,
            owed: Default::default(),
            look: AtomicUsize::default(),
            gone: AtomicUsize::default(),
            long: AtomicUsize::default(),
        }))
    }

    /// One piece more, which costs so much.
    pub(crate) fn add(&self, bytes: usize) -> Debt {
        let age = self.0.look.load(Ordering::Relaxed);
        self.0.owed[age].fetch_add(1, Ordering::Relaxed);
        self.0.all.queued.fetch_add(bytes, Ordering::Relaxed);
        Debt { counts: Arc::clone(&self.0), age, bytes }
    }

    /// For an answer, which has nothing that waits so far.
    pub(crate) fn none_held(&self) -> Held {
        Held::of(&self.0.all.held)
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
        let has_some = || self.0.long.load(Ordering::Relaxed) > 0 || !self.is_empty();
        let is_hurried = self.0.all.is_too_much() && has_some();
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
    /// more. Where all connections are owed too much, it is a matter of the [`HURRY`].
    pub(crate) async fn stuck(&self, idle_max: Duration, blocked: &Blocked) {
        let (mut gone, mut looks) = (self.gone(), 0);
        while looks < LOOKS {
            tokio::select! {
                () = sleep(idle_max / LOOKS) => {}
                () = self.0.all.look.notified() => {}
            }
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
        self.counts.all.queued.fetch_sub(self.bytes, Ordering::Relaxed);
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
            let mut piece = owed.add(1);
            loop {
                sleep(IDLE_MAX / 3).await;
                drop(std::mem::replace(&mut piece, owed.add(1)));
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
        let _piece = owed.add(1);
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
        let left = owed.add(1);
        assert_eq!(given_up_after(&owed, &blocked).await, Some(90));
        drop(left);
        // Over a slow connection everything waits, and is taken in its turn.
        let _left = owed.add(1);
        blocked.note(&std::task::Poll::<()>::Pending);
        assert_eq!(given_up_after(&owed, &blocked).await, None);
    }

    #[test]
    fn who_leaves_something_is_hurried_once_it_is_too_much_in_all() {
        static MINE: All = All::new();
        let (idle, slow, long) = (Owed::among(&MINE), Owed::among(&MINE), Owed::among(&MINE));
        let _piece = slow.add(1);
        let mut held = long.none_held();
        long.hold(&mut held, WAITING_BYTES_MAX - 1);
        let patience = || [&idle, &slow, &long].map(|owed| owed.patience(IDLE_MAX));
        assert_eq!(patience(), [IDLE_MAX; 3]);
        let short = slow.add(STREAM_BYTES);
        assert_eq!(patience(), [IDLE_MAX, HURRY, HURRY]);
        assert_eq!(slow.patience(HURRY / 2), HURRY / 2);
        drop(short);
        assert_eq!(patience(), [IDLE_MAX; 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn short_answers_by_the_thousand_are_stuck_within_the_hurry() {
        static MINE: All = All::new();
        let (slow, blocked) = (Owed::among(&MINE), Blocked::default());
        let _pieces: Vec<_> =
            (0..=WAITING_BYTES_MAX / STREAM_BYTES).map(|_piece| slow.add(STREAM_BYTES)).collect();
        let start = Instant::now();
        tokio::select! {
            () = MINE.hurry() => {}
            () = slow.stuck(IDLE_MAX, &blocked) => {}
        }
        assert!(start.elapsed() <= 2 * HURRY, "{:?}", start.elapsed());
    }
}
