//! Prepares a cluster: a database, its schema, and a login that may do no more than it must.

use postgres::Postgres;
use sqlx::{AssertSqlSafe, Connection, PgConnection, query_scalar, raw_sql};

use crate::Error;

/// The database that `cargo dev` keeps everything in.
pub const DATABASE: &str = "mayfly";

/// The login that functions use on a local cluster.
pub const RUNTIME_ROLE: &str = "mayfly_runtime";

/// A database that is up to date.
#[derive(Clone)]
pub(crate) struct Database {
    /// Whoever owns the schema.
    pub(crate) owner_url: String,
    /// Whoever runs the functions.
    pub(crate) runtime_url: String,
    /// Whose logins are made.
    whose: Whose,
}

#[derive(Clone, Copy)]
enum Whose {
    /// The local cluster's, which is ours.
    Ours,
    /// Those that `DATABASE_URL` names, which somebody else looks after.
    Given,
}

impl Database {
    /// Brings the database up to date: the one of the URL of `given` and of the second that leads
    /// past its pooler, if there is one, or else [`DATABASE`] in the local cluster.
    pub(crate) async fn prepare(
        postgres: &Postgres,
        given: Option<(&str, Option<&str>)>,
    ) -> Result<Self, Error> {
        let database = if let Some((url, direct)) = given {
            let (owner_url, runtime_url) = (direct.unwrap_or(url).to_owned(), url.to_owned());
            Self { owner_url, runtime_url, whose: Whose::Given }
        } else {
            ensure_database(&postgres.url(None, "postgres")).await?;
            let owner_url = postgres.url(None, DATABASE);
            let runtime_url = postgres.url(Some(RUNTIME_ROLE), DATABASE);
            Self { owner_url, runtime_url, whose: Whose::Ours }
        };
        schema::migrate(&database.owner_url).await?;
        database.create_role().await?;
        Ok(database)
    }

    /// Lets the functions' login become every function's role.
    pub(crate) async fn create_role(&self) -> sqlx::Result<()> {
        match self.whose {
            Whose::Ours => create_runtime_role(&self.owner_url).await,
            Whose::Given => Ok(()),
        }
    }
}

/// Makes [`DATABASE`], over a connection to the cluster's maintenance database.
pub async fn ensure_database(maintenance_url: &str) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(maintenance_url).await?;
    if !has_database(&mut connection, DATABASE).await? {
        create_database(&mut connection).await?;
    }
    connection.close().await
}

/// Makes [`RUNTIME_ROLE`], once the migrations have made the functions' roles.
pub async fn create_runtime_role(owner_url: &str) -> sqlx::Result<()> {
    let statement = include_str!("../../../../queries/platform/create_runtime_role.sql");
    let mut connection = PgConnection::connect(owner_url).await?;
    raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await
}

async fn has_database(connection: &mut PgConnection, name: &str) -> sqlx::Result<bool> {
    let statement = include_str!("../../../../queries/platform/has_database.sql");
    #[expect(clippy::disallowed_methods, reason = "it asks the cluster, not a schema of ours")]
    query_scalar(AssertSqlSafe(statement)).bind(name).fetch_one(connection).await
}

async fn create_database(connection: &mut PgConnection) -> sqlx::Result<()> {
    let statement = include_str!("../../../../queries/platform/create_database.sql");
    raw_sql(AssertSqlSafe(statement)).execute(connection).await.map(|_done| ())
}
