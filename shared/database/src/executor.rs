//! `&Pool` and `&Tx` as sqlx executors: one statement on one connection, which is discarded when
//! the statement is dropped midway.
//!
//! On `&Pool` a statement is a transaction of its own, and is tried again where that is safe: when
//! other writers were in its way, and when the connection broke under one that only reads.

use std::ops::DerefMut;

use async_stream::try_stream;
use futures_core::{future::BoxFuture, stream::BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use sqlx::{
    Describe, Either, Execute, Executor, Postgres, SqlStr,
    postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};
use tokio::sync::OwnedMutexGuard;

use crate::{
    Pool, Tx,
    error::{breaks_connection, is_conflict},
    lease::{Lease, answered},
    tries::Tries,
};

/// Where a statement's connection comes from.
trait Connections: Sync {
    type Guard: DerefMut<Target = Lease> + Send;

    fn connection(&self) -> impl Future<Output = sqlx::Result<Self::Guard>> + Send;

    /// Whether any statement may have to be sent again.
    const REPEATS: bool;

    /// Whether a statement that failed so may be sent again, over another connection.
    fn may_repeat(&self, statement: &Statement, error: &sqlx::Error) -> bool;
}

impl Connections for Pool {
    type Guard = Box<Lease>;

    const REPEATS: bool = true;

    async fn connection(&self) -> sqlx::Result<Box<Lease>> {
        Ok(Box::new(self.acquire().await?))
    }

    fn may_repeat(&self, statement: &Statement, error: &sqlx::Error) -> bool {
        is_conflict(error) || (breaks_connection(error) && statement.only_reads())
    }
}

impl Connections for Tx {
    type Guard = OwnedMutexGuard<Lease>;

    const REPEATS: bool = false;

    async fn connection(&self) -> sqlx::Result<OwnedMutexGuard<Lease>> {
        Ok(self.lock().await)
    }

    /// The transaction is repeated, and not a statement of it.
    fn may_repeat(&self, _statement: &Statement, _error: &sqlx::Error) -> bool {
        false
    }
}

/// A statement as it is sent, perhaps again.
struct Statement {
    sql: SqlStr,
    arguments: Option<PgArguments>,
}

impl Statement {
    fn of<'q, E: Execute<'q, Postgres>>(mut query: E) -> sqlx::Result<Self> {
        let arguments = query.take_arguments().map_err(sqlx::Error::Encode)?;
        Ok(Self { sql: query.sql(), arguments })
    }

    /// What sqlx takes for a query: a copy, where it may have to be sent again.
    fn sent<C: Connections>(&mut self) -> (SqlStr, Option<PgArguments>) {
        let arguments = if C::REPEATS { self.arguments.clone() } else { self.arguments.take() };
        (self.sql.clone(), arguments)
    }

    /// Whether it changes nothing, however often it is sent: nobody knows how far it has come on a
    /// connection that broke.
    fn only_reads(&self) -> bool {
        const WRITES: [&str; 5] = ["insert", "update", "delete", "merge", "call"];
        let lines = self.sql.as_str().lines().filter(|line| !line.starts_with("--"));
        let mut words = lines.flat_map(str::split_whitespace);
        let is_query = words.next().is_some_and(|first| matches!(first, "select" | "with"));
        is_query && !words.any(|word| WRITES.contains(&word.trim_start_matches('(')))
    }
}

fn fetch_many<'e, 'q: 'e, E, C>(
    connections: &'e C,
    query: E,
) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
where
    E: 'q + Execute<'q, Postgres>,
    C: Connections,
{
    let statement = Statement::of(query);
    try_stream! {
        let mut statement = statement?;
        let mut tries = Tries::default();
        loop {
            let mut lease = connections.connection().await?;
            let answer_max = lease.answer_max();
            let (mut outcome, mut is_begun) = (Ok(()), false);
            {
                let mut rows = lease.start().fetch_many(statement.sent::<C>());
                loop {
                    match answered(answer_max, rows.try_next()).await {
                        Ok(None) => break,
                        Ok(Some(row)) => {
                            is_begun = true;
                            yield row;
                        }
                        Err(error) => {
                            outcome = Err(error);
                            break;
                        }
                    }
                }
            }
            lease.settle(&outcome);
            drop(lease);
            let may_repeat = |error| !is_begun && connections.may_repeat(&statement, error);
            if !outcome.as_ref().is_err_and(may_repeat) || !tries.again().await {
                outcome?;
                break;
            }
        }
    }
    .boxed()
}

async fn fetch_optional<'q, E, C>(connections: &C, query: E) -> sqlx::Result<Option<PgRow>>
where
    E: 'q + Execute<'q, Postgres>,
    C: Connections,
{
    let mut statement = Statement::of(query)?;
    let mut tries = Tries::default();
    loop {
        let mut lease = connections.connection().await?;
        let answer_max = lease.answer_max();
        let row = lease.start().fetch_optional(statement.sent::<C>());
        let outcome = answered(answer_max, row).await;
        lease.settle(&outcome);
        drop(lease);
        let may_repeat = |error| connections.may_repeat(&statement, error);
        if !outcome.as_ref().is_err_and(may_repeat) || !tries.again().await {
            return outcome;
        }
    }
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

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, SqlSafeStr};

    use super::*;

    #[track_caller]
    fn only_reads(sql: &str) -> bool {
        let sql = AssertSqlSafe(sql.to_owned()).into_sql_str();
        Statement { sql, arguments: None }.only_reads()
    }

    #[test]
    fn a_statement_that_changes_nothing_is_told_from_one_that_may() {
        assert!(only_reads("-- user.get_profile: reads.\nselect\n    update_time\nfrom profile"));
        assert!(only_reads("-- read\nwith log as (\n    select 1\n)\nselect * from log"));
        for sql in [
            "-- a.b: says select.\ninsert into note (text) values ($1)",
            "-- a.b: sweeps.\nwith old as (delete from note returning text)\nselect * from old",
            "with new as materialized (\n    update note set text = ''\n    returning 1\n) select 1",
            "call sweep()",
            "",
        ] {
            assert!(!only_reads(sql), "{sql}");
        }
    }
}
