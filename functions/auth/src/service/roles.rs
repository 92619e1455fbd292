//! Roles, which are custom claims of Firebase's accounts.

use std::time::Duration;

use call::{SignedIn, signed_in};
use database::Tx;
use fault::{Fault, Reason};
use identity::UserId;
use proto::auth::v1::{GetRolesRequest, Roles, SetRolesRequest};
use tokio::time::Instant;
use tonic::{Request, Response};

use super::{Answer, AuthService, Event, What, lock_both, standing::contradicted};
use crate::{model, remote::Claims};

/// How long setting roles may take, whoever still waits for it, and how long of that Firebase has for
/// each thing that it is told.
const SET_MAX: Duration = Duration::from_secs(20);
const GIVE_MAX: Duration = Duration::from_secs(10);

/// For how long what was begun may come to pass, in seconds: longer than all of it, and what is noted
/// in the end.
const UNDER_WAY_SECS: i64 = 30;

/// Roles that somebody is about to have.
struct Change {
    call: SignedIn,
    of: UserId,
    roles: Vec<String>,
    /// What their claims are as yet, and when Firebase said so.
    before: Claims,
    /// Until when no other is begun, and tokens made before it are refused.
    until: i64,
}

/// How a change stands once Firebase has made it.
enum Settled {
    Set,
    /// It took so long that another was begun.
    Overtaken,
    /// Whoever began it may not any more, and it is taken back by then.
    Refused(Fault, i64),
}

impl AuthService {
    pub(super) async fn gets_roles(&self, request: Request<GetRolesRequest>) -> Answer<Roles> {
        let (call, GetRolesRequest { user_id }) = signed_in(request)?;
        let of = UserId::parse(&user_id).ok_or(Reason::NotFound)?;

        let Claims { claims, .. } = self.toolkit.claims(&call, &of).await.map_err(Fault::from)?;

        Ok(Response::new(Roles { user_id, roles: model::roles_in(&claims) }))
    }

    pub(super) async fn sets_roles(&self, request: Request<SetRolesRequest>) -> Answer<Roles> {
        let (call, SetRolesRequest { user_id, roles }) = signed_in(request)?;
        model::roles(&roles)?;
        let of = UserId::parse(&user_id).ok_or(Reason::NotFound)?;
        model::keeps_admin(&call.user_id, &of, &roles)?;

        // Firebase does what it was asked though nobody waits for it any more: neither does this end
        // with a call that is cut.
        let call = call.until(Instant::now() + SET_MAX);
        let (service, own, given) = (self.clone(), call.clone(), roles.clone());
        let set = async move {
            let change = service.begin_roles(&own, &of, &given).await?;
            service.make(&change).await
        };
        self.context.tasks.finish(&call, set).await?;

        Ok(Response::new(Roles { user_id, roles }))
    }

    /// Notes what is to be done before Firebase is asked for it, and has no token of the person taken
    /// that is made before it is over: it may say what holds no longer. Should nobody come to the end of
    /// this, that stays so for as long as Firebase may come to it, and no other change is begun.
    async fn begin_roles(
        &self,
        call: &SignedIn,
        of: &UserId,
        roles: &[String],
    ) -> Result<Change, Fault> {
        let revocations = &self.context.revocations;
        let look = |tx: Tx| async move {
            self.may_say(&tx, call, of).await?;
            Ok(revocations.last_mark(&tx, of).await?)
        };
        let mark = self.context.pool.transaction(look).await?;
        let before = self.toolkit.claims(call, of).await?;
        let now = self.second_after(before.said_time);
        let until = now + UNDER_WAY_SECS;
        let begin = |tx: Tx| async move {
            self.may_say(&tx, call, of).await?;
            // What was read is what is put back, so it must be so still.
            let is_begun = revocations.has_mark(&tx, of, mark).await?
                && revocations.begin_change(&tx, of, (now, until)).await?;
            if is_begun {
                self.note(&tx, call, Event::of_roles(What::RolesBegun, of, roles)).await?;
            }
            Ok(is_begun)
        };
        if !self.context.pool.transaction(begin).await? {
            return Err(contradicted());
        }
        let (call, of, roles) = (call.clone(), of.clone(), roles.to_vec());
        Ok(Change { call, of, roles, before, until })
    }

    /// Has Firebase give the roles, and then looks whether they may stay.
    async fn make(&self, change: &Change) -> Result<(), Fault> {
        let Change { call, of, roles, before, .. } = change;
        let claims = model::with_roles(before.claims.clone(), roles);
        let asked = call.until(Instant::now() + GIVE_MAX);
        let set_time = match self.toolkit.set_claims(&asked, of, claims).await {
            Ok(set_time) => set_time,
            Err(error) => {
                if error.is_refusal() {
                    // What was said before is so still. Failing this, it is so a little later.
                    let _outcome = self.end_alone(change, change.until, before.said_time).await;
                }
                return Err(error.into());
            }
        };
        match self.settle(change, set_time).await? {
            Settled::Set => Ok(()),
            Settled::Overtaken => Err(contradicted()),
            Settled::Refused(refusal, until) => {
                self.restore(change, until).await?;
                Err(refusal)
            }
        }
    }

    /// Looks whether whoever began it may still, and notes what holds.
    async fn settle(&self, change: &Change, set_time: Option<i64>) -> Result<Settled, Fault> {
        let Change { call, of, roles, until, .. } = change;
        let issued_from = self.second_after(set_time);
        let settle = |tx: Tx| async move {
            lock_both(&tx, &call.user_id, of).await?;
            let refusal = self.refusal(&tx, call).await?;
            // Whoever sets their own roles has outdated what they show themselves: nobody else can
            // while this is under way.
            let is_own =
                |fault: &Fault| call.user_id == *of && fault.reason() == Reason::TokenExpired;
            let refusal = refusal.filter(|fault| !is_own(fault));
            let end = issued_from + refusal.as_ref().map_or(0, |_fault| UNDER_WAY_SECS);
            let is_ours = self.context.revocations.end_change(&tx, of, *until, end).await?;
            let stays = is_ours && refusal.is_none();
            let what = if stays { What::RolesSet } else { What::RolesWithdrawn };
            self.note(&tx, call, Event::of_roles(what, of, roles)).await?;
            Ok(match refusal {
                _ if !is_ours => Settled::Overtaken,
                Some(refusal) => Settled::Refused(refusal, end),
                None => Settled::Set,
            })
        };
        self.context.pool.transaction(settle).await
    }

    /// Has Firebase give the claims of before. Failing this, the audit tells that it is still to be
    /// done.
    async fn restore(&self, change: &Change, until: i64) -> Result<(), Fault> {
        let Change { call, of, before, .. } = change;
        let claims = before.claims.clone();
        let asked = call.until(Instant::now() + GIVE_MAX);
        let set_time = self.toolkit.set_claims(&asked, of, claims).await?;
        let event = Event::of_roles(What::RolesRestored, of, &model::roles_in(&before.claims));
        self.note_alone(call, &event).await?;
        self.end_alone(change, until, set_time).await
    }

    /// Ends a change of which nothing else is to be said.
    async fn end_alone(
        &self,
        Change { of, .. }: &Change,
        until: i64,
        said_time: Option<i64>,
    ) -> Result<(), Fault> {
        let issued_from = self.second_after(said_time);
        let end = |tx: Tx| async move {
            self.context.revocations.end_change(&tx, of, until, issued_from).await?;
            Ok(())
        };
        self.context.pool.transaction(end).await
    }

    /// From when on tokens are made that say what Firebase has just said. They go by its clock, and
    /// ours is taken where it does not tell: one that is ahead would have new tokens refreshed again
    /// and again. One of this second may say either, and is refreshed once more at the worst.
    fn second_after(&self, said_time: Option<i64>) -> i64 {
        said_time.unwrap_or_else(|| self.context.clock.unix_secs()) + 1
    }
}
