//! Ends the statements of callers that have gone.
//!
//! sqlx drops a query without telling Postgres, which works on to the end. So the backend is
//! cancelled over a connection of its own, and the one that ran the query is closed, never reused:
//! a cancel that comes late can only meet a backend that serves nobody.

use std::time::Duration;

use sqlx::{Connection, PgConnection, query_file_scalar};
use tokio::{sync::Mutex, time::timeout};

use crate::connect::{Backend, Connector};

/// How long cancelling one statement may take. The backend ends it by itself soon after: it looks
/// whether its client is there every 250 ms.
const CANCEL_MAX: Duration = Duration::from_secs(2);

/// How long closing a connection may take.
const CLOSE_MAX: Duration = Duration::from_millis(500);

/// The control connection, made when it is first needed.
#[derive(Debug)]
pub(crate) struct Canceller {
    connector: Connector,
    control: Mutex<Option<PgConnection>>,
}

impl Canceller {
    pub(crate) fn new(connector: Connector) -> Self {
        Self { connector, control: Mutex::new(None) }
    }

    /// Cancels what `backend` is doing and closes it.
    pub(crate) async fn end(&self, backend: Backend) {
        let cancelled = timeout(CANCEL_MAX, self.cancel(backend.pid)).await;
        if !matches!(cancelled, Ok(Ok(()))) {
            let outcome = format!("{cancelled:?}");
            tracing::warn!(pid = backend.pid, outcome, "a statement was left to end by itself");
        }
        close(backend.connection).await;
    }

    async fn cancel(&self, pid: i32) -> sqlx::Result<()> {
        let mut control = self.control.lock().await;
        let reused = control.take();
        let first = match reused {
            Some(connection) => cancel_statement(connection, pid).await,
            None => cancel_statement(self.connector.connect_direct().await?, pid).await,
        };
        // An idle control connection may have died unnoticed; a new one has not.
        *control = Some(match first {
            Ok(connection) => connection,
            Err(_stale) => cancel_statement(self.connector.connect_direct().await?, pid).await?,
        });
        Ok(())
    }
}

/// Hands the connection back only when the statement went through.
async fn cancel_statement(mut connection: PgConnection, pid: i32) -> sqlx::Result<PgConnection> {
    query_file_scalar!("../../queries/database/cancel_statement.sql", pid)
        .fetch_one(&mut connection)
        .await?;
    Ok(connection)
}

/// Closes a connection, without waiting long for the other end.
pub(crate) async fn close(connection: PgConnection) {
    // Whether the farewell arrives makes no difference: the socket is closed either way.
    let _outcome = timeout(CLOSE_MAX, connection.close()).await;
}
