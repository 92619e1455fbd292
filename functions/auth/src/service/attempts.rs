//! Attempts at what can be guessed are counted before they are made: however many come at once, none is
//! for nothing. Where it is 256 bits of chance that are shown, it is enough to count what was refused.

use std::time::Duration;

use call::Call;
use chrono::{DateTime, Utc};
use database::Tx;
use fault::{Fault, Reason};

use super::{AuthService, Event, What};
use crate::{
    model::attempt::{Kind, Subject},
    store,
};

impl AuthService {
    /// Who tries to sign in: the account, and the address it is tried from.
    pub(super) async fn subjects(
        &self,
        call: &Call,
        (kind, email): (Kind, &str),
    ) -> Result<[Subject; 2], Fault> {
        let key = self.context.pool.secret("auth_subject").await?;
        let account = Subject::account(&key, kind, email);
        Ok([account, Subject::address(&key, Kind::Address, call.address)])
    }

    /// Who shows a refresh token or an API client's secret: an address. Whose they say they are is not
    /// counted, or a stranger could have them wait.
    pub(super) async fn address(&self, call: &Call, kind: Kind) -> Result<[Subject; 1], Fault> {
        let key = self.context.pool.secret("auth_subject").await?;
        Ok([Subject::address(&key, kind, call.address)])
    }

    /// Says when the next attempt may be made, if not now. It counts none.
    pub(super) async fn may_try(&self, subjects: &[Subject]) -> Result<(), Fault> {
        let now = self.now();
        for subject in subjects {
            if let Some(until) = store::get_block(&self.context.pool, &subject.hash, now).await? {
                return Err(too_early(until, now));
            }
        }
        Ok(())
    }

    /// Counts an attempt before Firebase is asked for something, or says when it may be made. That it is
    /// begun is written down with the count: whoever leaves before the end, or has left no time for it,
    /// is in the audit all the same.
    pub(super) async fn begin(
        &self,
        call: &Call,
        subjects: &[Subject; 2],
        what: What,
    ) -> Result<(), Fault> {
        let event = Event::of_subject(what, &subjects[0].hash);
        self.attempt_noted(call, subjects, &event).await
    }

    /// Counts an attempt for each and writes it down, or says when it may be made. One that comes too
    /// early is not written down: a stranger would fill the audit, and that they have to wait is in it.
    pub(super) async fn attempt_noted(
        &self,
        call: &Call,
        subjects: &[Subject],
        event: &Event,
    ) -> Result<(), Fault> {
        let count = |tx: Tx| async move {
            for subject in subjects {
                self.count(&tx, call, subject).await?;
            }
            self.note(&tx, call, event.clone()).await
        };
        self.context.pool.transaction(count).await
    }

    async fn count(&self, tx: &Tx, call: &Call, subject: &Subject) -> Result<(), Fault> {
        let now = self.now();
        let Some(count) = store::count_attempt(tx, subject, now).await? else {
            let until = store::get_block(tx, &subject.hash, now).await?.unwrap_or(now);
            return Err(too_early(until, now));
        };
        let delay = subject.kind.delay(count);
        if !delay.is_zero() {
            store::block_attempts(tx, &subject.hash, now + delay).await?;
            let event = Event::of_subject(What::AttemptsBlocked, &subject.hash);
            self.note(tx, call, event).await?;
        }
        Ok(())
    }

    /// A sign-in went well: the failures of its account are forgotten, its address's are not.
    pub(super) async fn succeeded(
        &self,
        tx: &Tx,
        [account, address]: &[Subject; 2],
    ) -> Result<(), Fault> {
        store::forget_attempts(tx, &account.hash).await?;
        store::uncount_attempt(tx, &address.hash, self.now()).await?;
        Ok(())
    }

    /// An attempt was none that counts, since nobody was asked.
    pub(super) async fn not_tried(&self, subjects: &[Subject]) -> Result<(), Fault> {
        let uncount = |tx: Tx| async move {
            for subject in subjects {
                store::uncount_attempt(&tx, &subject.hash, self.now()).await?;
            }
            Ok(())
        };
        self.context.pool.transaction(uncount).await
    }
}

fn too_early(until: DateTime<Utc>, now: DateTime<Utc>) -> Fault {
    let wait = (until - now).to_std().unwrap_or_default().max(Duration::from_secs(1));
    Fault::new(Reason::RateLimited).retry_in(wait)
}
