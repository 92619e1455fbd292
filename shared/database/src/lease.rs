//! One connection while somebody uses it, and what becomes of it when they let go.

use std::time::Duration;

use sqlx::{Executor, PgConnection, raw_sql};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use crate::{
    cancel::close,
    connect::Backend,
    error::{Unreachable, breaks_connection},
    pool::Pool,
};

/// A connection on loan. Dropped, it goes back, unless it is in a state nobody should find it in.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Pool,
    backend: Option<Backend>,
    permit: Option<OwnedSemaphorePermit>,
    state: State,
    transaction: Transaction,
}

/// What the connection is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Ready,
    /// A statement is under way, or was dropped midway.
    Running,
    /// Nobody is at the other end, or nobody to be of use.
    Broken,
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
    pub(crate) fn new(pool: Pool, backend: Backend, permit: OwnedSemaphorePermit) -> Self {
        Self {
            pool,
            backend: Some(backend),
            permit: Some(permit),
            state: State::Ready,
            transaction: Transaction::None,
        }
    }

    /// The connection, from here until [`Lease::settle`] taken to be in the middle of a statement.
    pub(crate) fn start(&mut self) -> &mut PgConnection {
        if self.state == State::Ready {
            self.state = State::Running;
        }
        &mut self.backend.as_mut().expect("it is taken only by drop").connection
    }

    /// The statement is over, and this is how it ended.
    pub(crate) fn settle<T>(&mut self, outcome: &sqlx::Result<T>) {
        if self.state == State::Running {
            self.state = State::Ready;
        }
        if let Err(error) = outcome {
            if breaks_connection(error) {
                self.state = State::Broken;
            }
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
        self.transaction == Transaction::Open && self.state == State::Ready
    }

    /// How long an answer may take.
    pub(crate) fn answer_max(&self) -> Duration {
        self.pool.answer_max()
    }

    /// Whether there is nobody at the other end any more, or nobody to be of use.
    pub(crate) fn is_broken(&self) -> bool {
        self.state == State::Broken
    }

    /// Whether the other end has answered everything.
    pub(crate) fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    pub(crate) async fn commit(&mut self) -> sqlx::Result<()> {
        self.control(include_str!("../../../queries/database/commit.sql")).await?;
        self.transaction = Transaction::None;
        Ok(())
    }

    /// Rolls back, unless there is a statement to wait for or nobody to ask: then the end of the
    /// lease ends the transaction.
    pub(crate) async fn rollback(&mut self) {
        let rollback = include_str!("../../../queries/database/rollback.sql");
        if self.state == State::Ready && self.control(rollback).await.is_ok() {
            self.transaction = Transaction::None;
        }
    }

    /// These three have nothing to prepare, so they are sent as they are.
    async fn control(&mut self, statement: &'static str) -> sqlx::Result<()> {
        let answer_max = self.answer_max();
        let outcome = answered(answer_max, self.start().execute(raw_sql(statement))).await;
        self.settle(&outcome);
        outcome.map(|_done| ())
    }
}

/// Waits for an answer no longer than Postgres may take for one: whoever is silent for longer is
/// not there any more, though the network has told nobody.
pub(crate) async fn answered<T>(
    answer_max: Duration,
    answer: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    let answered = timeout(answer_max, answer).await;
    answered.unwrap_or_else(|_elapsed| Err(Unreachable(None).into_sqlx()))
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(backend), Some(permit)) = (self.backend.take(), self.permit.take()) else {
            return;
        };
        match self.state {
            State::Broken => {
                // What broke this one has likely broken the others.
                self.pool.forget_idle();
                self.pool.after(permit, close(backend.connection));
            }
            State::Running => {
                // The place in the pool stays taken until the backend is free.
                let pool = self.pool.clone();
                self.pool.spawn(async move {
                    if !pool.canceller().end(backend).await {
                        // Found out now, and not by the next who comes.
                        pool.replace(permit).await;
                    }
                });
            }
            // Postgres rolls back what its client left open.
            State::Ready if self.transaction != Transaction::None => {
                self.pool.after(permit, close(backend.connection));
            }
            State::Ready => {
                self.pool.put_back(backend);
                drop(permit);
            }
        }
    }
}
