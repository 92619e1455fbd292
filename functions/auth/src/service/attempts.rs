//! Attempts are counted before they are made: however many come at once, none is for nothing.

use std::time::Duration;

use call::Call;
use database::Tx;
use fault::{Fault, Reason};
use uuid::Uuid;

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

    /// Who exchanges an API key: the client, and the address it is tried from.
    pub(super) async fn exchangers(&self, call: &Call, id: Uuid) -> Result<[Subject; 2], Fault> {
        let key = self.context.pool.secret("auth_subject").await?;
        let address = Subject::address(&key, Kind::Exchange, call.address);
        Ok([Subject::client(&key, id), address])
    }

    /// Who continues a sign-in: an address. Whose sign-in it is only the token's issuer knows.
    pub(super) async fn refresher(&self, call: &Call) -> Result<[Subject; 1], Fault> {
        let key = self.context.pool.secret("auth_subject").await?;
        Ok([Subject::address(&key, Kind::Refresh, call.address)])
    }

    /// Counts an attempt for each, or says when it may be made.
    pub(super) async fn attempt(&self, call: &Call, subjects: &[Subject]) -> Result<(), Fault> {
        let count = |tx: Tx| async move {
            for subject in subjects {
                self.count(&tx, call, subject).await?;
            }
            Ok(())
        };
        self.context.pool.transaction(count).await
    }

    async fn count(&self, tx: &Tx, call: &Call, subject: &Subject) -> Result<(), Fault> {
        let now = self.now();
        let Some(count) = store::count_attempt(tx, &subject.hash, now).await? else {
            let until = store::get_block(tx, &subject.hash).await?.unwrap_or(now);
            let wait = (until - now).to_std().unwrap_or_default().max(Duration::from_secs(1));
            return Err(Fault::new(Reason::RateLimited).retry_in(wait));
        };
        let delay = subject.kind.delay(count);
        if !delay.is_zero() {
            store::block_attempts(tx, &subject.hash, now + delay).await?;
            let event = Event::of_subject(What::AttemptsBlocked, &subject.hash);
            self.note(tx, call, event).await?;
        }
        Ok(())
    }

    /// An attempt went well: the failures of its account or client are forgotten, its address's are
    /// not.
    pub(super) async fn succeeded(
        &self,
        tx: &Tx,
        [account, address]: &[Subject; 2],
    ) -> Result<(), Fault> {
        store::forget_attempts(tx, &account.hash).await?;
        store::uncount_attempt(tx, &address.hash, self.now()).await?;
        Ok(())
    }

    /// An attempt was none that counts: it went well, or nobody could be asked.
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
