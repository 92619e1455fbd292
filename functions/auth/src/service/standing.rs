//! People who may not call: here at once, and at Firebase, which signs nobody in as them.

use call::signed_in;
use database::Tx;
use fault::{Fault, Reason};
use identity::UserId;
use proto::auth::v1::{
    DisableUserRequest, DisableUserResponse, EnableUserRequest, EnableUserResponse,
};
use tonic::{Request, Response};

use super::{Answer, AuthService, Event, What};
use crate::model;

impl AuthService {
    pub(super) async fn disables_user(
        &self,
        request: Request<DisableUserRequest>,
    ) -> Answer<DisableUserResponse> {
        let (call, DisableUserRequest { user_id }) = signed_in(request)?;
        let (call, of) = (&call, &UserId::parse(&user_id).ok_or(Reason::NotFound)?);
        model::is_another(&call.user_id, of)?;
        // Nothing is written of who is nobody.
        self.toolkit.claims(call, of).await.map_err(Fault::from)?;

        // Here first, so that they are out should nobody come to the end of this. Whoever asks again
        // finishes it.
        let disable = |tx: Tx| async move {
            self.context.revocations.disable(&tx, of).await?;
            self.note(&tx, call, Event::of_person(What::UserDisabled, of)).await
        };
        self.context.pool.transaction(disable).await?;
        self.toolkit.disable(call, of).await.map_err(Fault::from)?;

        Ok(Response::new(DisableUserResponse {}))
    }

    pub(super) async fn enables_user(
        &self,
        request: Request<EnableUserRequest>,
    ) -> Answer<EnableUserResponse> {
        let (call, EnableUserRequest { user_id }) = signed_in(request)?;
        let (call, of) = (&call, &UserId::parse(&user_id).ok_or(Reason::NotFound)?);

        // Here last, for the same reason.
        self.toolkit.enable(call, of).await.map_err(Fault::from)?;
        let enable = |tx: Tx| async move {
            self.context.revocations.enable(&tx, of).await?;
            self.note(&tx, call, Event::of_person(What::UserEnabled, of)).await
        };
        self.context.pool.transaction(enable).await?;

        Ok(Response::new(EnableUserResponse {}))
    }
}
