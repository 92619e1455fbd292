//! Answers at even times, so that how long one took does not tell what was found.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Answers are given at multiples of this: longer than what differs between them, on a good day.
const STEP: Duration = Duration::from_millis(500);

/// When a call began that must not tell by its time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace(Instant);

impl Pace {
    /// It begins now.
    pub(super) fn begin() -> Self {
        Self(Instant::now())
    }

    /// Waits until the next even time.
    pub(super) async fn end(self) {
        let steps = self.0.elapsed().as_millis() / STEP.as_millis() + 1;
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        sleep_until(self.0 + STEP.saturating_mul(steps)).await;
    }
}
