//! Waiting for what happens by itself, and no longer than it may take.

use std::time::Duration;

use tokio::time::{Instant, sleep};

const POLL: Duration = Duration::from_millis(5);

/// Asks until the answer is yes, and tells how long that took; panics when it takes longer than
/// `limit`.
pub async fn until<F>(what: &str, limit: Duration, mut is_so: impl FnMut() -> F) -> Duration
where
    F: Future<Output = bool>,
{
    let start = Instant::now();
    while !is_so().await {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        sleep(POLL).await;
    }
    start.elapsed()
}
