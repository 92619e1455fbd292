//! People who may not call: here at once, and at Firebase, which signs nobody in as them.

use call::{SignedIn, signed_in};
use database::Tx;
use fault::{Fault, Reason};
use identity::UserId;
use proto::auth::v1::{SetDisabledRequest, SetDisabledResponse};
use tonic::{Request, Response};

use super::{Answer, AuthService, Event, What};
use crate::model;

impl AuthService {
    pub(super) async fn sets_disabled(
        &self,
        request: Request<SetDisabledRequest>,
    ) -> Answer<SetDisabledResponse> {
        let (call, SetDisabledRequest { user_id, disabled }) = signed_in(request)?;
        let of = UserId::parse(&user_id).ok_or(Reason::NotFound)?;
        model::is_another(&call.user_id, &of)?;

        self.may_begin(&call).await?;
        let set =
            if disabled { self.disable(&call, &of).await } else { self.enable(&call, &of).await };
        set?;

        Ok(Response::new(SetDisabledResponse {}))
    }

    /// Here first, so that they are out should nobody come to the end of this. Whoever asks again
    /// finishes it.
    async fn disable(&self, call: &SignedIn, of: &UserId) -> Result<(), Fault> {
        // Nothing is written of who is nobody.
        self.toolkit.claims(call, of).await?;
        let disable = |tx: Tx| async move {
            self.may_still(&tx, call).await?;
            let mark = self.context.revocations.disable(&tx, of).await?;
            self.note(&tx, call, Event::of_person(What::UserDisabled, of)).await?;
            Ok(mark)
        };
        let mark = self.context.pool.transaction(disable).await?;
        self.toolkit.disable(call, of).await?;
        let look = |tx: Tx| async move {
            Ok(self.context.revocations.has_mark(&tx, of, mark).await?)
        };
        if self.context.pool.transaction(look).await? { Ok(()) } else { Err(contradicted()) }
    }

    /// Here last, for the same reason. That it is begun is written down first: Firebase may let them in
    /// although nobody comes to the end of this.
    async fn enable(&self, call: &SignedIn, of: &UserId) -> Result<(), Fault> {
        let begin = |tx: Tx| async move {
            let mark = self.context.revocations.mark(&tx, of).await?;
            self.note(&tx, call, Event::of_person(What::UserEnableBegun, of)).await?;
            Ok(mark)
        };
        let mark = self.context.pool.transaction(begin).await?;
        self.toolkit.enable(call, of).await?;
        let enable = |tx: Tx| async move {
            self.may_still(&tx, call).await?;
            if !self.context.revocations.enable(&tx, of, mark).await? {
                return Ok(false);
            }
            self.note(&tx, call, Event::of_person(What::UserEnabled, of)).await?;
            Ok(true)
        };
        if self.context.pool.transaction(enable).await? { Ok(()) } else { Err(contradicted()) }
    }
}

/// Somebody else has begun to say of the person how they stand, and Firebase may have heard them
/// before us or after us. Whoever asks again settles it.
fn contradicted() -> Fault {
    Reason::Conflict.into()
}
