//! The revocations as the rest of a process sees them: to check a token, and to revoke.

use std::{sync::Arc, time::Duration};

use clock::Clock;
use database::{Pool, Result, Tx};
use identity::{Person, UserId};
use tokio_util::task::TaskTracker;

use crate::{
    Error, ReadError, Settings,
    known::{Age, Known},
    reader::{READ_MAX, Reader},
    standing::Standing,
    store,
};

/// Reads that one check waits for at most: one that was under way and did not tell of its person,
/// one that does, and one more should the person have been forgotten in between.
const READS_MAX: u32 = 3;

/// The revocations, as one process knows them. Clones know the same.
///
/// What is written in a transaction holds here once that is committed, and in other processes
/// [`Settings::known_max`] later at the latest.
#[derive(Clone, Debug)]
pub struct Revocations {
    reader: Arc<Reader>,
    known_max: Duration,
}

/// What was last written of a person, if anything was: for whoever does something elsewhere between
/// two transactions, and must know whether somebody else has begun to do the contrary.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Mark(Option<i64>);

impl Revocations {
    /// How long a check may take.
    pub const CHECK_MAX: Duration = READ_MAX.saturating_mul(READS_MAX);

    /// Nothing is known yet. Reads run on `tasks`, over a pool of which nobody else takes
    /// connections: a process whose calls have used up theirs still knows who may call.
    pub fn new(settings: &Settings, pool: Pool, clock: Clock, tasks: TaskTracker) -> Self {
        let known = Known::nothing(settings.known_max);
        Self {
            reader: Arc::new(Reader::new(pool, known, clock, tasks)),
            known_max: settings.known_max,
        }
    }

    /// Whether a token that was found good is taken.
    pub async fn check(&self, person: &Person) -> std::result::Result<(), Error> {
        for _read in 0..READS_MAX {
            if let Some(outcome) = self.known(person) {
                return outcome;
            }
            Box::pin(self.reader.flown(&person.user_id)).await?;
        }
        self.known(person).unwrap_or_else(|| Err(Error::Unknown(Arc::new(ReadError::Crowded))))
    }

    /// Why a token is not taken, if it is not, by what the database says within `tx`, however fresh:
    /// for whoever is about to write what must not outlive it.
    pub async fn refusal_in(&self, tx: &Tx, person: &Person) -> Result<Option<Error>> {
        let found = store::read(tx, None, std::slice::from_ref(&person.user_id)).await?;
        let refusal = |(_id, standing): (UserId, Standing)| standing.judge(person).err();
        Ok(found.asked.into_iter().find_map(refusal))
    }

    /// How old what a check says may be.
    pub fn known_max(&self) -> Duration {
        self.known_max
    }

    /// Whether it is taken, if that is known.
    fn known(&self, person: &Person) -> Option<std::result::Result<(), Error>> {
        match self.reader.known.age(self.reader.now()) {
            Age::Fresh => {}
            // Nobody waits for this one, nor for its error.
            Age::Due => drop(self.reader.fly(None)),
            Age::Old => return None,
        }
        Some(self.reader.known.standing(&person.user_id)?.judge(person))
    }

    /// Ends a person's sign-ins before `valid_from`, in seconds since 1970.
    pub async fn revoke(&self, tx: &Tx, user_id: &UserId, valid_from: i64) -> Result<()> {
        store::revoke(tx, user_id, valid_from).await?;
        self.doubt_after(tx, user_id);
        Ok(())
    }

    /// Ends the one sign-in of a person that happened at `auth_time`, in seconds since 1970.
    pub async fn revoke_session(&self, tx: &Tx, user_id: &UserId, auth_time: i64) -> Result<()> {
        store::revoke_session(tx, user_id, auth_time).await?;
        self.doubt_after(tx, user_id);
        Ok(())
    }

    /// Has a person's tokens refreshed that are made before `until`, in seconds since 1970: what they
    /// say of the person, such as a role, is about to change, and by then it has. Nothing of it where
    /// another change is under way at `now`, which is answered with false.
    pub async fn begin_change(
        &self,
        tx: &Tx,
        user_id: &UserId,
        (now, until): (i64, i64),
    ) -> Result<bool> {
        let is_begun = store::begin_change(tx, user_id, (now, until)).await?;
        self.doubt_after(tx, user_id);
        Ok(is_begun)
    }

    /// Once it has, has those refreshed that were made before `issued_from`, and takes the others;
    /// whether it does, which is not so where the change that was to last `until` then is no longer
    /// the one that is under way.
    pub async fn end_change(
        &self,
        tx: &Tx,
        user_id: &UserId,
        until: i64,
        issued_from: i64,
    ) -> Result<bool> {
        let is_ended = store::end_change(tx, user_id, until, issued_from).await?;
        self.doubt_after(tx, user_id);
        Ok(is_ended)
    }

    /// Refuses every token of a person, until they are enabled again.
    pub async fn disable(&self, tx: &Tx, user_id: &UserId) -> Result<Mark> {
        let mark = store::disable(tx, user_id).await?;
        self.doubt_after(tx, user_id);
        Ok(Mark(Some(mark)))
    }

    /// Takes a person's tokens again, those excepted that were revoked; whether it does, which is not
    /// so where something was written since `mark`.
    pub async fn enable(&self, tx: &Tx, user_id: &UserId, mark: Mark) -> Result<bool> {
        let Mark(Some(written)) = mark else {
            // Of whom nothing was written every token is taken.
            return self.has_mark(tx, user_id, mark).await;
        };
        let is_enabled = store::enable(tx, user_id, written).await?;
        self.doubt_after(tx, user_id);
        Ok(is_enabled)
    }

    /// Marks how a person stands, so that whoever has marked it before finds out.
    pub async fn mark(&self, tx: &Tx, user_id: &UserId) -> Result<Mark> {
        Ok(Mark(store::mark(tx, user_id).await?))
    }

    /// What was last written of a person, and marks nothing.
    pub async fn last_mark(&self, tx: &Tx, user_id: &UserId) -> Result<Mark> {
        Ok(Mark(store::read_mark(tx, user_id).await?))
    }

    /// Whether nothing was written of a person since `mark`.
    pub async fn has_mark(&self, tx: &Tx, user_id: &UserId, mark: Mark) -> Result<bool> {
        Ok(self.last_mark(tx, user_id).await? == mark)
    }

    /// Lets its connection go.
    pub async fn close(&self) {
        self.reader.pool().close().await;
    }

    /// How many persons are known, for health.
    pub fn persons(&self) -> usize {
        self.reader.known.len()
    }

    /// How many reads were begun.
    pub fn reads_total(&self) -> u64 {
        self.reader.reads()
    }

    /// How many reads have failed.
    pub fn read_failures_total(&self) -> u64 {
        self.reader.failures()
    }

    /// Why the last read failed, if it did.
    pub fn error(&self) -> Option<Arc<ReadError>> {
        self.reader.error()
    }

    /// Whoever was revoked here is refused here at once.
    fn doubt_after(&self, tx: &Tx, user_id: &UserId) {
        let (reader, id) = (Arc::clone(&self.reader), user_id.clone());
        tx.after_commit(move || reader.known.doubt(&id, reader.now()));
    }
}
