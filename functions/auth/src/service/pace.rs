//! Answers at even times, so that how long one took does not tell what was found.

use std::{sync::Arc, time::Duration};

use fault::{Fault, Reason};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until},
};

/// A step that is longer than what differs where Firebase does the same for both, on a good day.
pub(super) const SHORT: Duration = Duration::from_millis(500);

/// The same where it does more for one of them, as making an account or sending a message. Nobody waits
/// for such an answer often.
pub(super) const LONG: Duration = Duration::from_secs(2);

/// How many calls may wait for the long step at a time. A stranger makes them, and each holds one of
/// `MAX_IN_FLIGHT` for as long: without a bound of their own they would leave none to anybody else.
const WAITING_MAX: usize = 128;

/// The places of those calls. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Semaphore>);

/// When a call began that must not tell by its time, and of which times its answer is given at a
/// multiple.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    began: Instant,
    step: Duration,
}

impl Places {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(WAITING_MAX)))
    }

    /// A place, until it is dropped. It is the same for everybody whether there is one.
    pub(super) fn enter(&self) -> Result<OwnedSemaphorePermit, Fault> {
        let place = Arc::clone(&self.0).try_acquire_owned();
        place.map_err(|full| Fault::new(Reason::Shed).because(full))
    }
}

impl Pace {
    /// It begins now.
    pub(super) fn begin(step: Duration) -> Self {
        Self { began: Instant::now(), step }
    }

    /// Waits until the next even time.
    pub(super) async fn end(self) {
        let steps = self.began.elapsed().as_millis() / self.step.as_millis() + 1;
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        sleep_until(self.began + self.step.saturating_mul(steps)).await;
    }
}
