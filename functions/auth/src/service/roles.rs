//! Roles, which are custom claims of Firebase's accounts.

use call::signed_in;
use database::Tx;
use fault::{Fault, Reason};
use identity::UserId;
use proto::auth::v1::{GetRolesRequest, Roles, SetRolesRequest};
use tonic::{Request, Response};

use super::{Answer, AuthService, Event, What};
use crate::model;

impl AuthService {
    pub(super) async fn gets_roles(&self, request: Request<GetRolesRequest>) -> Answer<Roles> {
        let (call, GetRolesRequest { user_id }) = signed_in(request)?;
        let of = UserId::parse(&user_id).ok_or(Reason::NotFound)?;

        let claims = self.toolkit.claims(&call, &of).await.map_err(Fault::from)?;

        Ok(Response::new(Roles { user_id, roles: model::roles_in(&claims) }))
    }

    pub(super) async fn sets_roles(&self, request: Request<SetRolesRequest>) -> Answer<Roles> {
        let (call, SetRolesRequest { user_id, roles }) = signed_in(request)?;
        model::roles(&roles)?;
        let (call, of) = (&call, &UserId::parse(&user_id).ok_or(Reason::NotFound)?);
        model::keeps_admin(&call.user_id, of, &roles)?;

        let claims = self.toolkit.claims(call, of).await.map_err(Fault::from)?;
        let claims = model::with_roles(claims, &roles);
        self.toolkit.set_claims(call, of, claims).await.map_err(Fault::from)?;
        // Should this fail, whoever asks again finishes it.
        let outdate = |tx: Tx| async move {
            // A token of this second may say either; it is refreshed once more at the worst.
            let issued_from = self.context.clock.unix_secs() + 1;
            self.context.revocations.require_refresh(&tx, of, issued_from).await?;
            self.note(&tx, call, Event::of_person(What::RolesSet, of)).await
        };
        self.context.pool.transaction(outdate).await?;

        Ok(Response::new(Roles { user_id, roles }))
    }
}
