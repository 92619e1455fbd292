//! How often the same thing is tried, and with which waits between.

use std::time::Duration;

use backoff::BackoffBuilder;
use tokio::time::sleep;

/// How often anything is tried at the most.
const TRIES_MAX: usize = 5;

const DELAY_MIN: Duration = Duration::from_millis(5);
const DELAY_MAX: Duration = Duration::from_millis(100);

/// The tries of one thing. The caller's deadline ends the waits as it ends everything else.
#[derive(Debug, Default)]
pub(crate) struct Tries(Option<backoff::ExponentialBackoff>);

impl Tries {
    /// Waits until the next; false if there were enough.
    pub(crate) async fn again(&mut self) -> bool {
        match self.0.get_or_insert_with(delays).next() {
            Some(delay) => {
                sleep(delay).await;
                true
            }
            None => false,
        }
    }
}

/// With jitter: those who were in each other's way are not to meet again.
fn delays() -> backoff::ExponentialBackoff {
    let delays = backoff::ExponentialBuilder::new()
        .with_min_delay(DELAY_MIN)
        .with_max_delay(DELAY_MAX)
        .with_jitter()
        .with_max_times(TRIES_MAX - 1);
    delays.build()
}
