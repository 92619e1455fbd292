//! The breaker where calls meet it: under a lock, told of every attempt exactly once, and seen by
//! the operators.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::{
    breaker::{Breaker, Rejected, Standing, Ticket, Verdict},
    series::Series,
};

/// The gate of one dependency.
#[derive(Debug)]
pub(crate) struct Gate {
    dependency: &'static str,
    breaker: Mutex<Breaker>,
    series: Arc<Series>,
}

/// One attempt under way. Dropped unsettled, it was given up.
#[derive(Debug)]
pub(crate) struct Permit<'g> {
    gate: &'g Gate,
    ticket: Option<Ticket>,
}

impl Gate {
    pub(crate) fn new(dependency: &'static str, series: Arc<Series>) -> Self {
        Self { dependency, breaker: Mutex::new(Breaker::new(Instant::now())), series }
    }

    /// Lets one attempt pass, if it may.
    pub(crate) fn admit(&self) -> Result<Permit<'_>, Rejected> {
        let ticket = self.change(|breaker| breaker.admit(Instant::now()))?;
        Ok(Permit { gate: self, ticket: Some(ticket) })
    }

    /// Changes the breaker, and tells the operators if it now stands otherwise.
    fn change<T>(&self, change: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut breaker = self.lock();
        let before = breaker.standing();
        let outcome = change(&mut breaker);
        let after = breaker.standing();
        if before != after {
            self.series.stands(after);
        }
        drop(breaker);
        match (before, after) {
            (Standing::Closed, Standing::Open) => {
                tracing::warn!(dependency = self.dependency, "dependency fails, left alone");
            }
            (Standing::HalfOpen, Standing::Closed) => {
                tracing::info!(dependency = self.dependency, "dependency is well again");
            }
            _ => {}
        }
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// Tells what came of the attempt.
    pub(crate) fn settle(mut self, verdict: Verdict) {
        self.tell(verdict);
    }

    fn tell(&mut self, verdict: Verdict) {
        if let Some(ticket) = self.ticket.take() {
            self.gate.series.attempted(verdict);
            self.gate.change(|breaker| breaker.settle(ticket, verdict, Instant::now()));
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.tell(Verdict::Unknown);
    }
}
