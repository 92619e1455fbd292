//! The migrations of `queries/migrations`: one folder, one ledger, one at a time.
//!
//! A file is `NNNN_<owner>_<what>.sql`, where the owner is `mayfly` or a function. An older binary
//! runs on a newer ledger, so a change expands first and contracts a release later.

mod options;

use std::{borrow::Cow, collections::BTreeSet, time::Duration};

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection,
    migrate::{MigrateError, Migrator},
    postgres::PgConnectOptions,
    query_scalar, raw_sql,
};
use tokio::time::{Instant, sleep, timeout};

pub use options::options;

/// The owner of what all functions share.
const SHARED: &str = "mayfly";

/// How long a migration waits for another to finish before it gives up.
pub const LOCK_WAIT_MAX: Duration = Duration::from_mins(1);

/// How long the database may take to answer the first time.
const CONNECT_MAX: Duration = Duration::from_secs(5);

const LOCK_POLL: Duration = Duration::from_millis(100);

/// A migration that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be reached.
    #[error("the database cannot be reached")]
    Connect(#[source] sqlx::Error),
    /// Whatever is there does not answer in time.
    #[error("the database has not answered for {} s", CONNECT_MAX.as_secs())]
    Silent,
    /// The session is not ours alone, and a lock that it holds is anybody's.
    #[error(
        "DATABASE_DIRECT_URL, or DATABASE_URL without one, leads to a pooler in transaction mode; \
         migrations have to go past it"
    )]
    Shared,
    /// Another migration was running all the time.
    #[error("another migration has been running for {} s", LOCK_WAIT_MAX.as_secs())]
    Locked,
    /// A statement of ours failed.
    #[error("the ledger cannot be used")]
    Ledger(#[source] sqlx::Error),
    /// A migration failed, or one that was applied has since been edited.
    #[error("a migration failed")]
    Migrate(#[source] MigrateError),
}

impl Error {
    /// Whether the database was migrated by something else than what this binary knows, or is not
    /// the way there that migrations need: no repeat cures that.
    pub fn is_mismatch(&self) -> bool {
        match self {
            Self::Shared => true,
            Self::Migrate(error) => {
                matches!(error, MigrateError::VersionMismatch(_) | MigrateError::Dirty(_))
            }
            Self::Connect(_) | Self::Silent | Self::Locked | Self::Ledger(_) => false,
        }
    }
}

fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("../../queries/migrations");
    migrator.dangerous_set_table_name("mayfly.migrations");
    migrator.create_schema(Cow::Borrowed(SHARED));
    // An older binary runs on a newer ledger.
    migrator.set_ignore_missing(true);
    // sqlx's lock waits without end; ours is taken below.
    migrator.set_locking(false);
    migrator
}

/// Applies what is missing, one process at a time, and tells how many files that were.
pub async fn migrate(url: &str) -> Result<usize, Error> {
    let options = options(url).map_err(Error::Connect)?;
    let mut connection = start_session(&options).await?;
    if let Err(shared) = is_alone(&options).await {
        // Whoever it serves is left as they were found. What keeps that from being done changes nothing.
        let _marked = unmark(&mut connection).await;
        return Err(shared);
    }
    set_limits(&mut connection).await.map_err(Error::Ledger)?;
    wait_for_lock(&mut connection).await?;

    let before = applied(&mut connection).await.unwrap_or_default().len();
    migrator().run_direct(None, &mut connection, false).await.map_err(Error::Migrate)?;
    let after = applied(&mut connection).await.map_err(Error::Ledger)?.len();

    // The lock goes with the session.
    connection.close().await.map_err(Error::Ledger)?;
    Ok(after - before)
}

/// The migrations that `function` cannot run without: its own and the shared ones.
pub fn needed_by(function: &str) -> BTreeSet<i64> {
    let migrator = migrator();
    let of_owner = |description: &str, owner: &str| {
        description.split(' ').next().is_some_and(|first| first == owner)
    };
    let needed = migrator.iter().filter(|migration| {
        of_owner(&migration.description, SHARED) || of_owner(&migration.description, function)
    });
    needed.map(|migration| migration.version).collect()
}

/// The migrations that are in the database behind `connection`.
pub async fn applied(connection: &mut PgConnection) -> Result<BTreeSet<i64>, sqlx::Error> {
    let statement = include_str!("../../../queries/schema/applied.sql");
    #[expect(clippy::disallowed_methods, reason = "there may be no ledger to check it against")]
    let versions = query_scalar(AssertSqlSafe(statement)).fetch_all(connection).await?;
    Ok(versions.into_iter().collect())
}

async fn start_session(options: &PgConnectOptions) -> Result<PgConnection, Error> {
    let connected = timeout(CONNECT_MAX, options.connect()).await;
    let mut connection = connected.map_err(|_elapsed| Error::Silent)?.map_err(Error::Connect)?;
    let is_shared = mark(&mut connection).await.map_err(Error::Ledger)?;
    if is_shared { Err(Error::Shared) } else { Ok(connection) }
}

/// Begins a second session while the first does nothing: a pooler in transaction mode gives it the
/// first one's backend, which then is known to be shared.
async fn is_alone(options: &PgConnectOptions) -> Result<(), Error> {
    match start_session(options).await {
        Err(Error::Shared) => Err(Error::Shared),
        // Where no second one is to be had, nothing is known.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Whether the session is somebody else's too.
async fn mark(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let statement = include_str!("../../../queries/schema/mark.sql");
    #[expect(clippy::disallowed_methods, reason = "there may be no schema to check it against")]
    let marked = query_scalar(AssertSqlSafe(statement));
    // Named, it would meet its like where the backend is shared.
    marked.persistent(false).fetch_one(connection).await
}

async fn unmark(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let statement = include_str!("../../../queries/schema/unmark.sql");
    raw_sql(AssertSqlSafe(statement)).execute(connection).await.map(drop)
}

async fn set_limits(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let statement = include_str!("../../../queries/schema/set_limits.sql");
    raw_sql(AssertSqlSafe(statement)).execute(connection).await.map(drop)
}

async fn wait_for_lock(connection: &mut PgConnection) -> Result<(), Error> {
    let give_up = Instant::now() + LOCK_WAIT_MAX;
    while !try_lock(connection).await? {
        if Instant::now() >= give_up {
            return Err(Error::Locked);
        }
        sleep(LOCK_POLL).await;
    }
    Ok(())
}

async fn try_lock(connection: &mut PgConnection) -> Result<bool, Error> {
    let statement = include_str!("../../../queries/schema/try_lock.sql");
    #[expect(clippy::disallowed_methods, reason = "there may be no schema to check it against")]
    let locked = query_scalar(AssertSqlSafe(statement)).fetch_one(connection).await;
    locked.map_err(Error::Ledger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_needs_its_own_migrations_and_the_shared_ones() {
        assert!(needed_by("user").is_superset(&BTreeSet::from([1, 2, 3, 4, 5])));
        assert_eq!(needed_by("nobody"), BTreeSet::from([1, 3, 5, 11]));
    }
}
