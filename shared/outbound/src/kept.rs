//! Keeps what holds connections, until the machine has slept: then they are dead, and nobody will
//! say so.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use clock::{Clock, Moment};
use fault::Cause;
use tokio::task::spawn_blocking;

/// One client, once it is made.
pub(crate) struct Kept<T> {
    clock: Clock,
    held: Mutex<Option<Held<T>>>,
    /// Held by whoever makes one, for all who would.
    making: Arc<tokio::sync::Mutex<()>>,
}

struct Held<T> {
    client: T,
    used: Moment,
}

impl<T: Clone> Kept<T> {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, held: Mutex::default(), making: Arc::default() }
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

    /// The client, which `make` makes if there is none. That may block: it has a thread of its own,
    /// one for all who come meanwhile, and goes on if they have left.
    pub(crate) async fn get_or_make<E>(
        self: &Arc<Self>,
        make: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, Cause>
    where
        T: Send + 'static,
        E: Into<Cause> + Send + 'static,
    {
        if let Some(client) = self.get() {
            return Ok(client);
        }
        let making = Arc::clone(&self.making).lock_owned().await;
        if let Some(client) = self.get() {
            return Ok(client);
        }
        let kept = Arc::clone(self);
        let work = spawn_blocking(move || {
            let outcome = make().map(|client| kept.keep(client));
            drop(making);
            outcome
        });
        work.await?.map_err(Into::into)
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
    use std::{
        io,
        sync::atomic::{AtomicUsize, Ordering},
        thread,
        time::Duration,
    };

    use tokio::{join, time};

    use super::*;

    #[tokio::test]
    async fn one_makes_the_client_for_all_and_a_failure_is_not_kept() {
        let kept = Arc::new(Kept::new(Clock::at(1_000_000)));
        let failed = kept.get_or_make(|| Err(io::Error::other("no certificates"))).await;
        assert_eq!(failed.unwrap_err().to_string(), "no certificates");
        let count = Arc::new(AtomicUsize::new(0));
        let get = async || {
            let count = Arc::clone(&count);
            let slow = move || {
                thread::sleep(Duration::from_millis(20));
                Ok::<_, io::Error>(count.fetch_add(1, Ordering::Relaxed))
            };
            kept.get_or_make(slow).await.unwrap()
        };
        assert_eq!(join!(get(), get(), get()), (0, 0, 0));
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }

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
