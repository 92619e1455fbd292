//! Makes one connection, under the role and the limits of its function.

use std::{str::FromStr, time::Duration};

use sqlx::{
    ConnectOptions, Connection, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
    query_file,
};

use crate::Settings;

/// How to reach the database, and what every connection runs under.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    pooled: PgConnectOptions,
    direct: PgConnectOptions,
    role: String,
    statement_max: Duration,
}

/// A connection and the backend that serves it.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) connection: PgConnection,
    pub(crate) pid: i32,
}

impl Connector {
    /// Reads the URLs, which the settings have found to be good.
    pub(crate) fn new(settings: &Settings, function: &str) -> Self {
        Self {
            pooled: options(settings.url.expose()),
            direct: options(settings.direct_url.expose()),
            role: format!("mayfly_{function}"),
            statement_max: settings.statement_max,
        }
    }

    /// A connection for queries.
    pub(crate) async fn connect(&self) -> sqlx::Result<Backend> {
        let mut connection = self.pooled.connect().await?;
        let statement_ms_max = self.statement_max.as_millis().to_string();
        let session =
            query_file!("../../queries/database/start_session.sql", self.role, statement_ms_max)
                .fetch_one(&mut connection)
                .await?;
        Ok(Backend { connection, pid: session.pid })
    }

    /// A connection past any pooler, for control.
    pub(crate) async fn connect_direct(&self) -> sqlx::Result<PgConnection> {
        PgConnection::connect_with(&self.direct).await
    }
}

/// Whether anybody is at the other end.
pub(crate) async fn ping(connection: &mut PgConnection) -> sqlx::Result<()> {
    query_file!("../../queries/database/ping.sql").fetch_one(connection).await?;
    Ok(())
}

fn options(url: &str) -> PgConnectOptions {
    let options = PgConnectOptions::from_str(url).expect("the settings have read the URL");
    // sqlx would log every statement; failures are logged once, by the `trace` layer.
    let options = options.disable_statement_logging();
    // Left to itself it falls back to plain text, which anybody on the way can force.
    if url.contains("sslmode=") || is_local(&options) {
        options
    } else {
        options.ssl_mode(PgSslMode::Require)
    }
}

/// Whether the way to the server stays on this machine or on Fly's own encrypted network.
fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    options.get_socket().is_some()
        || host.starts_with('/')
        || matches!(host, "localhost" | "127.0.0.1" | "::1" | "[::1]")
        || host.ends_with(".internal")
        || host.ends_with(".flycast")
}
