//! Whether the database is there, for all pools of a process: one of them finds out, and one looks
//! for it until it is back.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
};

use tokio::sync::{Notify, futures::Notified};

use crate::{
    connect::Shared,
    error::{Unreachable, class, is_full, is_shared, tells_of_loss},
};

/// How the database stands, as far as connecting to it goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It takes connections.
    Up,
    /// It takes no more, and goes on with those there are.
    Full,
    /// It is not there. Nothing but the probe tries again.
    Down,
}

/// What the pools of a process know of their database.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// A [`Standing`], by its number.
    standing: AtomicU8,
    /// Told when it stands otherwise, and when a connection comes back while there are no more.
    changed: Notify,
    /// A pooler shares our connections with others, or it is known that none does.
    is_shared: AtomicBool,
    is_alone: AtomicBool,
    /// How often all connections were given up: those of an earlier count are dead.
    losses: AtomicU64,
    /// The kind of failure that it stands so for; none while it is up.
    error: Mutex<Option<String>>,
}

impl Health {
    pub(crate) fn standing(&self) -> Standing {
        Standing::of(self.standing.load(Ordering::SeqCst))
    }

    /// How often all connections were given up.
    pub(crate) fn losses(&self) -> u64 {
        self.losses.load(Ordering::Relaxed)
    }

    /// The kind of failure that no connection is made for, if none is.
    pub(crate) fn error(&self) -> MutexGuard<'_, Option<String>> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is known that nobody shares our connections.
    pub(crate) fn is_alone(&self) -> bool {
        self.is_alone.load(Ordering::Relaxed)
    }

    pub(crate) fn set_alone(&self) {
        self.is_alone.store(true, Ordering::Relaxed);
    }

    /// Connecting failed so, begun after this many losses. Whoever is told that it is the first has
    /// to look for the database.
    pub(crate) fn failed(&self, error: Option<&sqlx::Error>, losses: u64) -> bool {
        // Meanwhile somebody has found it gone, and perhaps back: this one is of the time before.
        if losses != self.losses() {
            return false;
        }
        if error.is_none_or(tells_of_loss) {
            self.losses.fetch_add(1, Ordering::Relaxed);
        }
        self.is_shared.store(error.is_some_and(is_shared), Ordering::Relaxed);
        *self.error() = Some(error.map_or_else(|| "timeout".to_owned(), class));
        let standing = if error.is_some_and(is_full) { Standing::Full } else { Standing::Down };
        self.stands(standing) == Standing::Up
    }

    pub(crate) fn came_back(&self) {
        *self.error() = None;
        self.stands(Standing::Up);
    }

    /// A connection is there for the next one, who may be waiting for it.
    pub(crate) fn gave_back(&self) {
        if self.standing() == Standing::Full {
            self.changed.notify_waiters();
        }
    }

    /// Waits, from its making on, until a connection was given back or the database stands
    /// otherwise.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// What is said while nothing is tried.
    pub(crate) fn unreachable(&self) -> sqlx::Error {
        let is_shared = self.is_shared.load(Ordering::Relaxed);
        Unreachable(is_shared.then(|| sqlx::Error::Configuration(Box::new(Shared)))).into_sqlx()
    }

    /// From now on it stands so; how it stood before.
    fn stands(&self, now: Standing) -> Standing {
        let before = Standing::of(self.standing.swap(now as u8, Ordering::SeqCst));
        if before != now {
            self.changed.notify_waiters();
        }
        before
    }
}

impl Standing {
    fn of(number: u8) -> Self {
        match number {
            0 => Self::Up,
            1 => Self::Full,
            _ => Self::Down,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn refused() -> sqlx::Error {
        sqlx::Error::Io(io::ErrorKind::ConnectionRefused.into())
    }

    #[test]
    fn a_connect_from_before_a_recovery_says_nothing_of_now() {
        let health = Health::default();
        let begun = health.losses();
        assert!(health.failed(Some(&refused()), begun));
        assert_eq!((health.standing(), health.losses()), (Standing::Down, 1));
        assert_eq!(health.error().as_deref(), Some("connection refused"));
        // It is one loss, however many were connecting.
        assert!(!health.failed(Some(&refused()), begun));
        assert_eq!(health.losses(), 1);

        health.came_back();
        assert!(!health.failed(None, begun), "it has timed out");
        assert_eq!(*health.error(), None);
        assert_eq!((health.standing(), health.losses()), (Standing::Up, 1));
        assert!(health.failed(None, health.losses()));
        assert_eq!(health.error().as_deref(), Some("timeout"));
        assert_eq!((health.standing(), health.losses()), (Standing::Down, 2));
    }
}
