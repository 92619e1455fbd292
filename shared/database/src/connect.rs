//! Makes one connection, under the role and the limits of its function.

use std::{fmt, time::Duration};

use sqlx::{
    ConnectOptions, Executor, PgConnection, postgres::PgConnectOptions, query_file, raw_sql,
};
use tokio::time::Instant;

use crate::{Settings, error::Ended, health::Health};

/// How to reach the database, and what every connection runs under.
#[derive(Clone)]
pub(crate) struct Connector {
    pooled: PgConnectOptions,
    direct: PgConnectOptions,
    role: String,
    statement_max: Duration,
}

/// A backend that serves others between our statements: what is set for a session then holds for
/// theirs, or not for ours.
#[derive(Debug, thiserror::Error)]
#[error(
    "DATABASE_URL leads to a pooler in transaction mode; it has to be one in session mode, or none"
)]
pub(crate) struct Shared;

/// A connection and the backend that serves it.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) connection: PgConnection,
    pub(crate) pid: i32,
    pub(crate) born: Instant,
    /// How often all connections had been given up when it was made.
    pub(crate) losses: u64,
}

impl Connector {
    /// Reads the URLs, which the settings have found to be good.
    pub(crate) fn new(settings: &Settings, function: &str) -> Self {
        Self {
            pooled: options(settings.url.expose()),
            direct: options(settings.direct_url.expose())
                .application_name(&format!("mayfly_{function}_control")),
            role: format!("mayfly_{function}"),
            statement_max: settings.statement_max,
        }
    }

    /// A connection for queries, to the database whose `health` this is.
    pub(crate) async fn connect(&self, health: &Health) -> sqlx::Result<Backend> {
        let mut connection = self.pooled.connect().await?;
        let pid = self.start_session(&mut connection).await.map_err(Ended::after_greeting)?;
        Ok(Backend { connection, pid, born: Instant::now(), losses: health.losses() })
    }

    async fn start_session(&self, connection: &mut PgConnection) -> sqlx::Result<i32> {
        let statement_ms_max = self.statement_max.as_millis().to_string();
        let session =
            query_file!("../../queries/database/start_session.sql", self.role, statement_ms_max)
                .fetch_one(connection)
                .await?;
        if session.is_shared {
            return Err(sqlx::Error::Configuration(Box::new(Shared)));
        }
        Ok(session.pid)
    }

    /// A connection past any pooler, for control.
    pub(crate) async fn connect_direct(&self) -> sqlx::Result<PgConnection> {
        let mut connection = self.direct.connect().await?;
        start_control(&mut connection).await?;
        Ok(connection)
    }
}

/// Whether anybody is at the other end.
pub(crate) async fn ping(connection: &mut PgConnection) -> sqlx::Result<()> {
    query_file!("../../queries/database/ping.sql").fetch_one(connection).await?;
    Ok(())
}

/// Said once it is there, and not as options of the connect, which a pooler may refuse.
async fn start_control(connection: &mut PgConnection) -> sqlx::Result<()> {
    let limits = raw_sql(include_str!("../../../queries/database/start_control.sql"));
    connection.execute(limits).await?;
    Ok(())
}

fn options(url: &str) -> PgConnectOptions {
    schema::options(url).expect("the settings have read the URL")
}

// Written by hand: the options hold a password.
impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("role", &self.role).finish_non_exhaustive()
    }
}
