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
    in_transaction: bool,
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
            in_transaction: false,
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
        if let Err(error) = outcome
            && breaks_connection(error)
        {
            self.is_broken = true;
        }
    }

    pub(crate) async fn begin(&mut self) -> sqlx::Result<()> {
        self.in_transaction = true;
        self.control(include_str!("../../../queries/database/begin.sql")).await
    }

    pub(crate) async fn commit(&mut self) -> sqlx::Result<()> {
        let outcome = self.control(include_str!("../../../queries/database/commit.sql")).await;
        self.in_transaction = outcome.is_err();
        outcome
    }

    pub(crate) async fn rollback(&mut self) -> sqlx::Result<()> {
        let outcome = self.control(include_str!("../../../queries/database/rollback.sql")).await;
        self.in_transaction = outcome.is_err();
        outcome
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
        } else if self.in_transaction {
            // Postgres rolls back what its client left open.
            self.pool.after(permit, close(backend.connection));
        } else {
            self.pool.put_back(backend, self.born);
            drop(permit);
        }
    }
}
