//! One connection while somebody uses it, and what becomes of it when they let go.

use sqlx::{Executor, PgConnection, raw_sql};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use crate::{cancel::close, connect::Backend, error::breaks_connection, pool::Pool};

/// A connection on loan. Dropped, it goes back, unless it is in a state nobody should find it in.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Pool,
    backend: Option<Backend>,
    born: Instant,
    permit: Option<OwnedSemaphorePermit>,
    is_running: bool,
    is_broken: bool,
    transaction: Transaction,
}

/// How far the lease's transaction has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Transaction {
    None,
    Open,
    /// A statement has failed, and Postgres takes no more until the rollback.
    Failed,
}

impl Lease {
    pub(crate) fn new(
        pool: Pool,
        backend: Backend,
        born: Instant,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            pool,
            backend: Some(backend),
            born,
            permit: Some(permit),
            is_running: false,
            is_broken: false,
            transaction: Transaction::None,
        }
    }

    /// The connection, from here until [`Lease::settle`] taken to be in the middle of a statement.
    pub(crate) fn start(&mut self) -> &mut PgConnection {
        self.is_running = true;
        &mut self.backend.as_mut().expect("it is taken only by drop").connection
    }

    /// The statement is over, and this is how it ended.
    pub(crate) fn settle<T>(&mut self, outcome: &sqlx::Result<T>) {
        self.is_running = false;
        if let Err(error) = outcome {
            self.is_broken |= breaks_connection(error);
            if self.transaction == Transaction::Open && matches!(error, sqlx::Error::Database(_)) {
                self.transaction = Transaction::Failed;
            }
        }
    }

    pub(crate) async fn begin(&mut self) -> sqlx::Result<()> {
        self.transaction = Transaction::Open;
        self.control(include_str!("../../../queries/database/begin.sql")).await
    }

    /// Whether a commit would commit. Postgres answers a commit of a failed transaction with a
    /// rollback, and calls that a success.
    pub(crate) fn can_commit(&self) -> bool {
        self.transaction == Transaction::Open && !self.is_running
    }

    pub(crate) async fn commit(&mut self) -> sqlx::Result<()> {
        self.control(include_str!("../../../queries/database/commit.sql")).await?;
        self.transaction = Transaction::None;
        Ok(())
    }

    pub(crate) async fn rollback(&mut self) -> sqlx::Result<()> {
        self.control(include_str!("../../../queries/database/rollback.sql")).await?;
        self.transaction = Transaction::None;
        Ok(())
    }

    /// These three have nothing to prepare, so they are sent as they are.
    async fn control(&mut self, statement: &'static str) -> sqlx::Result<()> {
        let outcome = self.start().execute(raw_sql(statement)).await;
        self.settle(&outcome);
        outcome.map(|_done| ())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(backend), Some(permit)) = (self.backend.take(), self.permit.take()) else {
            return;
        };
        if self.is_broken {
            // What broke this one has likely broken the others.
            self.pool.forget_idle();
            self.pool.after(permit, close(backend.connection));
        } else if self.is_running {
            // The place in the pool stays taken until the backend is free.
            let pool = self.pool.clone();
            self.pool.after(permit, async move { pool.canceller().end(backend).await });
        } else if self.transaction != Transaction::None {
            // Postgres rolls back what its client left open.
            self.pool.after(permit, close(backend.connection));
        } else {
            self.pool.put_back(backend, self.born);
            drop(permit);
        }
    }
}
