//! Keeps what holds connections, until the machine has slept: then they are dead, and nobody will
//! say so.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use clock::Clock;
use tokio::time::Instant;

/// The wall clock moving this much further than the monotonic one, which stands still in a
/// suspended machine, means that it slept.
const CLOCKS_APART_MICROS_MAX: u64 = 5_000_000;

/// One client, once it is made.
pub(crate) struct Kept<T> {
    clock: Clock,
    held: Mutex<Option<Held<T>>>,
}

struct Held<T> {
    client: T,
    used: Instant,
    used_micros: i64,
}

impl<T: Clone> Kept<T> {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, held: Mutex::default() }
    }

    /// The client, if there is one whose connections can be trusted.
    pub(crate) fn get(&self) -> Option<T> {
        let (now, now_micros) = (Instant::now(), self.clock.unix_micros());
        let mut lock = self.lock();
        let held = lock.as_mut()?;
        let passed = now.saturating_duration_since(held.used).as_micros();
        let passed = i64::try_from(passed).unwrap_or(i64::MAX);
        let apart = now_micros.saturating_sub(held.used_micros).abs_diff(passed);
        if apart > CLOCKS_APART_MICROS_MAX {
            *lock = None;
            return None;
        }
        (held.used, held.used_micros) = (now, now_micros);
        Some(held.client.clone())
    }

    /// Keeps `client` from here on.
    pub(crate) fn keep(&self, client: T) -> T {
        let (used, used_micros) = (Instant::now(), self.clock.unix_micros());
        *self.lock() = Some(Held { client: client.clone(), used, used_micros });
        client
    }

    fn lock(&self) -> MutexGuard<'_, Option<Held<T>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_is_kept_until_the_machine_has_slept() {
        let clock = Clock::at(1_000_000);
        let kept = Kept::new(clock.clone());
        assert_eq!(kept.get(), None);
        kept.keep(1);
        // An hour in which nobody called is not an hour of sleep.
        clock.advance(Duration::from_hours(1));
        time::advance(Duration::from_hours(1)).await;
        assert_eq!(kept.get(), Some(1));
        clock.advance(Duration::from_secs(5));
        assert_eq!(kept.get(), Some(1));
        clock.advance(Duration::from_secs(6));
        assert_eq!(kept.get(), None);
        kept.keep(2);
        // A clock that was set back says as much as one that was set forward.
        time::advance(Duration::from_secs(6)).await;
        assert_eq!(kept.get(), None);
    }
}
