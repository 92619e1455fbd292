//! The one connection of a process that is told of changes by others, while somebody watches.
//!
//! What it is told is only that there is something to look at. It may fail or be missing: then the
//! look comes with the next poll.

use std::{io, time::Duration};

use backoff::BackoffBuilder;
use clock::Clock;
use sqlx::{
    Executor,
    postgres::{PgListener, PgPoolOptions},
    raw_sql,
};
use tokio::time::{sleep, timeout};

use crate::hub::Hub;

const CHANNEL: &str = "mayfly_change";

/// How long connecting and beginning to listen may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How long a connection may tell nothing before it is asked whether anybody is there, and how long
/// that answer may take: one whose network has gone silent looks like any other.
const QUIET_MAX: Duration = Duration::from_secs(15);
const ANSWER_MAX: Duration = Duration::from_secs(5);

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
            match connect_in_time(hub).await {
                Ok(mut listener) => {
                    // Whatever was told meanwhile was told to nobody.
                    hub.look_soon();
                    tokio::select! {
                        () = hear(&mut listener, hub) => {}
                        () = slept(hub.clock()) => {}
                    }
                    break;
                }
                Err(error) if tries == 0 => {
                    let error = fault::chain(&error);
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

/// One that has died midway would answer none of the statements, for ever.
async fn connect_in_time(hub: &Hub) -> sqlx::Result<PgListener> {
    let silent = |_elapsed| io::Error::new(io::ErrorKind::TimedOut, "nobody has answered");
    timeout(CONNECT_MAX, connect(hub)).await.map_err(silent)?
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
    start_listening(&mut listener).await?;
    Ok(listener)
}

/// Said once it listens, and not as options of the connect, which a pooler may refuse.
async fn start_listening(listener: &mut PgListener) -> sqlx::Result<()> {
    let limits = raw_sql(include_str!("../../../queries/changes/start_listening.sql"));
    (&mut *listener).execute(limits).await?;
    Ok(())
}

/// Hears until the connection ends, or nobody is at the other end of it.
async fn hear(listener: &mut PgListener, hub: &Hub) {
    loop {
        match timeout(QUIET_MAX, listener.try_recv()).await {
            // Its own writers have told this process already.
            Ok(Ok(Some(notification))) if notification.payload() == hub.id() => {}
            Ok(Ok(Some(_told))) => hub.look_soon(),
            Ok(Ok(None) | Err(_)) => return,
            Err(_quiet) if is_there(listener).await => {}
            Err(_quiet) => return,
        }
    }
}

async fn is_there(listener: &mut PgListener) -> bool {
    let statement = raw_sql(include_str!("../../../queries/changes/is_there.sql"));
    let answered = timeout(ANSWER_MAX, (&mut *listener).execute(statement)).await;
    matches!(answered, Ok(Ok(_)))
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
