//! The one connection of a process that is told of changes by others, while somebody watches.
//!
//! What it is told is only that there is something to look at. It may fail or be missing: then the
//! look comes with the next poll.

use std::time::Duration;

use backoff::BackoffBuilder;
use clock::Clock;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::time::{sleep, timeout};

use crate::hub::Hub;

const CHANNEL: &str = "mayfly_change";

/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// A connection of this age is replaced: one whose network has gone silent looks like any other.
const AGE_MAX: Duration = Duration::from_mins(10);

/// How often it is asked whether the machine has slept, while somebody watches.
const SLEPT_EVERY: Duration = Duration::from_secs(1);

/// How far apart tries to connect are.
const DELAY_MIN: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(5);

/// Listens until it is dropped.
pub(crate) async fn listen(hub: &Hub) {
    loop {
        let delays = backoff::ExponentialBuilder::new()
            .with_min_delay(DELAY_MIN)
            .with_max_delay(DELAY_MAX)
            .with_jitter()
            .without_max_times();
        for (tries, delay) in delays.build().enumerate() {
            match connect(hub).await {
                Ok(mut listener) => {
                    // Whatever was told meanwhile was told to nobody.
                    hub.look_soon();
                    tokio::select! {
                        _ended_or_aged = timeout(AGE_MAX, hear(&mut listener, hub)) => {}
                        () = slept(hub.clock()) => {}
                    }
                    break;
                }
                Err(error) if tries == 0 => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(
                        error,
                        "changes are found by polling: nobody can be listened to"
                    );
                }
                Err(_again) => {}
            }
            sleep(delay).await;
        }
        sleep(DELAY_MIN).await;
    }
}

async fn connect(hub: &Hub) -> sqlx::Result<PgListener> {
    // sqlx listens on a connection of a pool only; this one has no other.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECT_MAX)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(hub.direct());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

/// Hears until the connection ends.
async fn hear(listener: &mut PgListener, hub: &Hub) {
    while let Ok(Some(notification)) = listener.try_recv().await {
        // Its own writers have told this process already.
        if notification.payload() != hub.id() {
            hub.look_soon();
        }
    }
}

/// Waits until the machine has slept: the connection is dead then, and would be silent.
async fn slept(clock: &Clock) {
    let mut last = clock.now();
    loop {
        sleep(SLEPT_EVERY).await;
        let now = clock.now();
        if last.has_slept(now) {
            return;
        }
        last = now;
    }
}
