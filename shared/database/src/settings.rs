//! Where the database is, and how long anybody waits for it.

use std::time::Duration;

use settings::{Need, Reader, Secret, Setting};

/// The settings of a pool.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `DATABASE_URL`: where queries go; may be a session-mode pooler.
    pub url: Secret,
    /// `DATABASE_DIRECT_URL`: where migrations and cancellation go; never a pooler.
    pub direct_url: Secret,
    /// `DB_POOL_MAX`: connections of one function in one process.
    pub connections_max: usize,
    /// `DB_WAIT_MS_MAX`: how long a call waits for a connection.
    pub wait_max: Duration,
    /// `DB_STATEMENT_MS_MAX`: how long Postgres works on one statement, whoever asked.
    pub statement_max: Duration,
}

impl Settings {
    /// Reads the settings; the URLs stay secret, since they hold a password.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let expects = "a URL of the form postgres://user:password@host:port/database, special \
                       characters percent-encoded, with a known sslmode if any";
        let url = Setting {
            name: "DATABASE_URL",
            need: Need::Required,
            expects,
            about: "where queries go; may be a session-mode pooler",
        };
        let url = reader.read(url, postgres_url);
        let direct_url = Setting {
            name: "DATABASE_DIRECT_URL",
            need: Need::Optional,
            expects,
            about: "where migrations, LISTEN and cancellation go, past any pooler; DATABASE_URL if unset",
        };
        let direct_url = reader.maybe(direct_url, postgres_url);
        let connections_max =
            reader.number("DB_POOL_MAX", "10", 1..=1000, "connections of one function");
        let wait_max = reader.millis(
            "DB_WAIT_MS_MAX",
            "500",
            1..=60_000,
            "how long a call waits for one, in ms",
        );
        let statement_max = reader.millis(
            "DB_STATEMENT_MS_MAX",
            "30000",
            1..=600_000,
            "how long Postgres works on one statement, in ms",
        );
        let url = url?;
        Some(Self {
            direct_url: direct_url?.unwrap_or_else(|| url.clone()),
            url,
            connections_max: usize::try_from(connections_max?).ok()?,
            wait_max: wait_max?,
            statement_max: statement_max?,
        })
    }
}

fn postgres_url(text: &str) -> Option<Secret> {
    let known = text.starts_with("postgres://") || text.starts_with("postgresql://");
    let readable = known && schema::options(text).is_ok();
    readable.then(|| Secret::new(text))
}
