//! The revocations as the rest of a process sees them: to check a token, and to revoke.

use std::sync::Arc;

use clock::Clock;
use database::{Pool, Result, Tx};
use identity::{Person, UserId};
use tokio_util::task::TaskTracker;

use crate::{
    Error, ReadError, Settings,
    known::{Age, Known},
    reader::Reader,
    store,
};

/// Reads that one check waits for at most: one that was under way and did not tell of its person,
/// one that does, and one more should the person have been forgotten in between.
const READS_MAX: usize = 3;

/// The revocations, as one process knows them. Clones know the same.
///
/// What is written in a transaction holds here once that is committed, and in other processes
/// [`Settings::known_max`] later at the latest.
#[derive(Clone, Debug)]
pub struct Revocations(Arc<Reader>);

impl Revocations {
    /// Nothing is known yet. Reads run on `tasks`, over a pool of which nobody else takes
    /// connections: a process whose calls have used up theirs still knows who may call.
    pub fn new(settings: &Settings, pool: Pool, clock: Clock, tasks: TaskTracker) -> Self {
        let known = Known::nothing(settings.known_max);
        Self(Arc::new(Reader::new(pool, known, clock, tasks)))
    }

    /// Whether a token that was found good is taken.
    pub async fn check(&self, person: &Person) -> std::result::Result<(), Error> {
        for _read in 0..READS_MAX {
            if let Some(outcome) = self.known(person) {
                return outcome;
            }
            self.0.flown(&person.user_id).await?;
        }
        self.known(person).unwrap_or_else(|| Err(Error::Unknown(Arc::new(ReadError::Crowded))))
    }

    /// Whether it is taken, if that is known.
    fn known(&self, person: &Person) -> Option<std::result::Result<(), Error>> {
        match self.0.known.age(self.0.now()) {
            Age::Fresh => {}
            // Nobody waits for this one, nor for its error.
            Age::Due => drop(self.0.fly(None)),
            Age::Old => return None,
        }
        Some(self.0.known.standing(&person.user_id)?.judge(person))
    }

    /// Ends a person's sign-ins before `valid_from`, in seconds since 1970.
    pub async fn revoke(&self, tx: &Tx, user_id: &UserId, valid_from: i64) -> Result<()> {
        store::revoke(tx, user_id, valid_from).await?;
        self.doubt_after(tx);
        Ok(())
    }

    /// Ends the one sign-in of a person that happened at `auth_time`, in seconds since 1970.
    pub async fn revoke_session(&self, tx: &Tx, user_id: &UserId, auth_time: i64) -> Result<()> {
        store::revoke_session(tx, user_id, auth_time).await?;
        self.doubt_after(tx);
        Ok(())
    }

    /// Has a person's tokens refreshed that were made before `issued_from`, in seconds since 1970:
    /// what they say of the person, such as a role, holds no longer.
    pub async fn require_refresh(&self, tx: &Tx, user_id: &UserId, issued_from: i64) -> Result<()> {
        store::require_refresh(tx, user_id, issued_from).await?;
        self.doubt_after(tx);
        Ok(())
    }

    /// Refuses every token of a person, until they are enabled again.
    pub async fn disable(&self, tx: &Tx, user_id: &UserId) -> Result<()> {
        store::disable(tx, user_id).await?;
        self.doubt_after(tx);
        Ok(())
    }

    /// Takes a person's tokens again, those excepted that were revoked.
    pub async fn enable(&self, tx: &Tx, user_id: &UserId) -> Result<()> {
        store::enable(tx, user_id).await?;
        self.doubt_after(tx);
        Ok(())
    }

    /// Lets its connection go.
    pub async fn close(&self) {
        self.0.pool().close().await;
    }

    /// How many persons are known, for health.
    pub fn persons(&self) -> usize {
        self.0.known.len()
    }

    /// How many reads were begun.
    pub fn reads_total(&self) -> u64 {
        self.0.reads()
    }

    /// How many reads have failed.
    pub fn read_failures_total(&self) -> u64 {
        self.0.failures()
    }

    /// Why the last read failed, if it did.
    pub fn error(&self) -> Option<Arc<ReadError>> {
        self.0.error()
    }

    /// Whoever was revoked here is refused here at once.
    fn doubt_after(&self, tx: &Tx) {
        let reader = Arc::clone(&self.0);
        tx.after_commit(move || reader.known.doubt(reader.now()));
    }
}
