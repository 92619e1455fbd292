//! Roles, which are custom claims of Firebase's accounts.

use call::signed_in;
use database::Tx;
use fault::{Fault, Reason};
use identity::UserId;
use proto::auth::v1::{GetRolesRequest, Roles, SetRolesRequest};
use tonic::{Request, Response};

use super::{Answer, AuthService, Event, What};
use crate::{model, remote::Claims};

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
        let (call, of) = (&call, &UserId::parse(&user_id).ok_or(Reason::NotFound)?);
        model::keeps_admin(&call.user_id, of, &roles)?;

        self.may_begin(call).await?;
        let Claims { claims, said_time } =
            self.toolkit.claims(call, of).await.map_err(Fault::from)?;
        // First, so that a role that is taken opens nothing, and one that is given is in the audit,
        // should nobody come to the end of this.
        let outdate = |tx: Tx| async move {
            self.may_still(&tx, call).await?;
            self.outdate(&tx, of, said_time).await?;
            self.note(&tx, call, Event::of_person(What::RolesBegun, of)).await
        };
        self.context.pool.transaction(outdate).await?;
        let claims = model::with_roles(claims, &roles);
        let set_time = self.toolkit.set_claims(call, of, claims).await.map_err(Fault::from)?;
        // And again, for a token that was made meanwhile. Should this fail, whoever asks again
        // finishes it.
        let outdate = |tx: Tx| async move {
            self.outdate(&tx, of, set_time).await?;
            self.note(&tx, call, Event::of_person(What::RolesSet, of)).await
        };
        self.context.pool.transaction(outdate).await?;

        Ok(Response::new(Roles { user_id, roles }))
    }

    /// Has tokens refreshed that were made until now. They go by Firebase's clock, and ours is taken
    /// where Firebase does not tell: one that is ahead would have new tokens refreshed again and again.
    /// One of this second may say either, and is refreshed once more at the worst.
    async fn outdate(&self, tx: &Tx, of: &UserId, said_time: Option<i64>) -> Result<(), Fault> {
        let issued_from = said_time.unwrap_or_else(|| self.context.clock.unix_secs()) + 1;
        self.context.revocations.require_refresh(tx, of, issued_from).await?;
        Ok(())
    }
}
