//! `&Pool` and `&Tx` as sqlx executors: one statement on one connection, which is discarded when
//! the statement is dropped midway.

use std::ops::DerefMut;

use async_stream::try_stream;
use futures_core::{future::BoxFuture, stream::BoxStream};
use futures_util::StreamExt;
use sqlx::{
    Describe, Either, Execute, Executor, Postgres, SqlStr,
    postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};
use tokio::sync::OwnedMutexGuard;

use crate::{Pool, Tx, lease::Lease};

/// Where a statement's connection comes from.
trait Connections: Sync {
    type Guard: DerefMut<Target = Lease> + Send;

    fn connection(&self) -> impl Future<Output = sqlx::Result<Self::Guard>> + Send;
}

impl Connections for Pool {
    type Guard = Box<Lease>;

    async fn connection(&self) -> sqlx::Result<Box<Lease>> {
        Ok(Box::new(self.acquire().await?))
    }
}

impl Connections for Tx {
    type Guard = OwnedMutexGuard<Lease>;

    async fn connection(&self) -> sqlx::Result<OwnedMutexGuard<Lease>> {
        Ok(self.lock().await)
    }
}

fn fetch_many<'e, 'q: 'e, E>(
    connections: &'e impl Connections,
    query: E,
) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
where
    E: 'q + Execute<'q, Postgres>,
{
    try_stream! {
        let mut lease = connections.connection().await?;
        let mut outcome = Ok(());
        {
            let mut rows = lease.start().fetch_many(query);
            while let Some(row) = rows.next().await {
                match row {
                    Ok(row) => yield row,
                    Err(error) => {
                        outcome = Err(error);
                        break;
                    }
                }
            }
        }
        lease.settle(&outcome);
        outcome?;
    }
    .boxed()
}

async fn fetch_optional<'q, E>(
    connections: &impl Connections,
    query: E,
) -> sqlx::Result<Option<PgRow>>
where
    E: 'q + Execute<'q, Postgres>,
{
    let mut lease = connections.connection().await?;
    let outcome = lease.start().fetch_optional(query).await;
    lease.settle(&outcome);
    outcome
}

async fn prepare_with(
    connections: &impl Connections,
    sql: SqlStr,
    parameters: &[PgTypeInfo],
) -> sqlx::Result<PgStatement> {
    let mut lease = connections.connection().await?;
    let outcome = lease.start().prepare_with(sql, parameters).await;
    lease.settle(&outcome);
    outcome
}

async fn describe(connections: &impl Connections, sql: SqlStr) -> sqlx::Result<Describe<Postgres>> {
    let mut lease = connections.connection().await?;
    let outcome = lease.start().describe(sql).await;
    lease.settle(&outcome);
    outcome
}

/// Both executors are the same four calls; sqlx's trait leaves no room for a blanket one.
macro_rules! executor {
    ($connections:ty) => {
        impl<'c> Executor<'c> for &'c $connections {
            type Database = Postgres;

            fn fetch_many<'e, 'q: 'e, E>(
                self,
                query: E,
            ) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
            where
                'c: 'e,
                E: 'q + Execute<'q, Postgres>,
            {
                fetch_many(self, query)
            }

            fn fetch_optional<'e, 'q: 'e, E>(
                self,
                query: E,
            ) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
            where
                'c: 'e,
                E: 'q + Execute<'q, Postgres>,
            {
                Box::pin(fetch_optional(self, query))
            }

            fn prepare_with<'e>(
                self,
                sql: SqlStr,
                parameters: &'e [PgTypeInfo],
            ) -> BoxFuture<'e, sqlx::Result<PgStatement>>
            where
                'c: 'e,
            {
                Box::pin(prepare_with(self, sql, parameters))
            }

            fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
            where
                'c: 'e,
            {
                Box::pin(describe(self, sql))
            }
        }
    };
}

executor!(Pool);
executor!(Tx);
