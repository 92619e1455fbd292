//! Keeps what holds connections, until the machine has slept: then they are dead, and nobody will
//! say so.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use clock::{Clock, Moment};

/// One client, once it is made.
pub(crate) struct Kept<T> {
    clock: Clock,
    held: Mutex<Option<Held<T>>>,
}

struct Held<T> {
    client: T,
    used: Moment,
}

impl<T: Clone> Kept<T> {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, held: Mutex::default() }
    }

    /// The client, if there is one whose connections can be trusted.
    pub(crate) fn get(&self) -> Option<T> {
        let now = self.clock.now();
        let mut lock = self.lock();
        let held = lock.as_mut()?;
        if held.used.has_slept(now) {
            *lock = None;
            return None;
        }
        held.used = now;
        Some(held.client.clone())
    }

    /// Keeps `client` from here on.
    pub(crate) fn keep(&self, client: T) -> T {
        *self.lock() = Some(Held { client: client.clone(), used: self.clock.now() });
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
