//! Whether the database is there, for all pools of a process: one of them finds out, and one looks
//! for it until it is back.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use crate::{
    connect::Shared,
    error::{Unreachable, is_shared},
};

/// What the pools of a process know of their database.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Connecting failed, and nothing but the probe tries again.
    is_down: AtomicBool,
    /// A pooler shares our connections with others, or it is known that none does.
    is_shared: AtomicBool,
    is_alone: AtomicBool,
    /// How often all connections were given up: those of an earlier count are dead.
    losses: AtomicU64,
}

impl Health {
    pub(crate) fn is_down(&self) -> bool {
        self.0.is_down.load(Ordering::Relaxed)
    }

    /// How often all connections were given up.
    pub(crate) fn losses(&self) -> u64 {
        self.0.losses.load(Ordering::Relaxed)
    }

    /// Whether it is known that nobody shares our connections.
    pub(crate) fn is_alone(&self) -> bool {
        self.0.is_alone.load(Ordering::Relaxed)
    }

    pub(crate) fn set_alone(&self) {
        self.0.is_alone.store(true, Ordering::Relaxed);
    }

    /// Connecting failed so. Whoever is told that it is the first has to look for the database.
    pub(crate) fn went_down(&self, error: Option<&sqlx::Error>) -> bool {
        // A server that speaks has no place for one more, and goes on with those there are.
        if !matches!(error, Some(sqlx::Error::Database(_))) {
            self.0.losses.fetch_add(1, Ordering::Relaxed);
        }
        self.0.is_shared.store(error.is_some_and(is_shared), Ordering::Relaxed);
        !self.0.is_down.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn came_back(&self) {
        self.0.is_down.store(false, Ordering::Relaxed);
    }

    /// What is said while nothing is tried.
    pub(crate) fn unreachable(&self) -> sqlx::Error {
        let is_shared = self.0.is_shared.load(Ordering::Relaxed);
        Unreachable(is_shared.then(|| sqlx::Error::Configuration(Box::new(Shared)))).into_sqlx()
    }
}
