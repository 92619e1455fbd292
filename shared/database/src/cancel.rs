//! Ends the statements of callers that have gone.
//!
//! sqlx drops a query without telling Postgres, which works on to the end. So the backend is
//! cancelled over a connection of its own, and the one that ran the query is dropped, never reused:
//! a cancel that comes late can only meet a backend that serves nobody.

use std::time::Duration;

use clock::{Clock, Moment};
use sqlx::{Connection, PgConnection, query_file_scalar};
use tokio::{sync::Mutex, time::timeout};

use crate::connect::{Backend, Connector};

/// How long cancelling one statement may take. Then its connection is dropped, and the backend ends
/// it by itself: it looks whether its client is there every 250 ms. Both fit in the half second by
/// which a statement may outlive its caller.
const CANCEL_MAX: Duration = Duration::from_millis(200);

/// A control connection that does not answer for so long is dead. What is left is for a new one.
const ANSWER_MAX: Duration = Duration::from_millis(100);

/// A control connection of this age is replaced: its server may no longer be the one to ask.
const CONTROL_AGE_MAX: Duration = Duration::from_secs(30);

/// How long closing a connection may take.
const CLOSE_MAX: Duration = Duration::from_millis(500);

/// The control connection, made when it is first needed.
#[derive(Debug)]
pub(crate) struct Canceller {
    connector: Connector,
    clock: Clock,
    control: Mutex<Option<Control>>,
}

#[derive(Debug)]
struct Control {
    connection: PgConnection,
    born: Moment,
}

impl Canceller {
    pub(crate) fn new(connector: Connector, clock: Clock) -> Self {
        Self { connector, clock, control: Mutex::new(None) }
    }

    /// Cancels what `backend` is doing and lets go of it; whether there was anybody to be told.
    pub(crate) async fn end(&self, backend: Backend) -> bool {
        let cancelled = timeout(CANCEL_MAX, self.cancel(backend.pid)).await;
        // Postgres says no where it has no such backend: it is another server's, or gone.
        let is_told = matches!(cancelled, Ok(Ok(true)));
        if !is_told {
            let outcome = format!("{cancelled:?}");
            tracing::warn!(pid = backend.pid, outcome, "a statement was left to end by itself");
        }
        // Not closed with a farewell: that would first send what is left of the statement.
        drop(backend);
        is_told
    }

    /// Closes the control connection.
    pub(crate) async fn close(&self) {
        if let Some(control) = self.control.lock().await.take() {
            close(control.connection).await;
        }
    }

    async fn cancel(&self, pid: i32) -> sqlx::Result<bool> {
        // Taken out while it is used: whoever is dropped midway leaves none behind.
        let mut place = self.control.lock().await;
        if let Some(mut control) = place.take()
            && control.born.age(self.clock.now()) < CONTROL_AGE_MAX
            // It may have died unnoticed; a new one has not.
            && let Ok(Ok(is_told)) = timeout(ANSWER_MAX, control.cancel_statement(pid)).await
        {
            *place = Some(control);
            return Ok(is_told);
        }
        let connection = self.connector.connect_direct().await?;
        let mut control = Control { connection, born: self.clock.now() };
        let is_told = control.cancel_statement(pid).await?;
        *place = Some(control);
        Ok(is_told)
    }
}

impl Control {
    async fn cancel_statement(&mut self, pid: i32) -> sqlx::Result<bool> {
        query_file_scalar!("../../queries/database/cancel_statement.sql", pid)
            .fetch_one(&mut self.connection)
            .await
    }
}

/// Closes a connection, without waiting long for the other end.
pub(crate) async fn close(connection: PgConnection) {
    // Whether the farewell arrives makes no difference: the socket is closed either way.
    let _outcome = timeout(CLOSE_MAX, connection.close()).await;
}
