//! Prepares a local cluster: a database, its schema, and a login that may do no more than it must.

use sqlx::{AssertSqlSafe, Connection, PgConnection, query_scalar, raw_sql};

/// The database that `cargo dev` keeps everything in.
pub const DATABASE: &str = "mayfly";

/// The login that functions use on a local cluster.
pub const RUNTIME_ROLE: &str = "mayfly_runtime";

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
