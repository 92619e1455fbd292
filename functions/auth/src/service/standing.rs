//! People who may not call: here at once, and at Firebase, which signs nobody in as them.

use std::time::Duration;

use call::{SignedIn, signed_in};
use database::Tx;
use fault::{Fault, Reason};
use identity::UserId;
use proto::auth::v1::{SetDisabledRequest, SetDisabledResponse};
use tokio::time::timeout;
use tonic::{Request, Response};

use super::{Answer, AuthService, Event, What};
use crate::{
    model,
    remote::{Error, Refusal},
    store,
};

/// How long Firebase has for saying that there is nobody: what is left of the call is for the rest.
const LOOK_MAX: Duration = Duration::from_secs(2);

impl AuthService {
    pub(super) async fn sets_disabled(
        &self,
        request: Request<SetDisabledRequest>,
    ) -> Answer<SetDisabledResponse> {
        let (call, SetDisabledRequest { user_id, disabled }) = signed_in(request)?;
        let of = UserId::parse(&user_id).ok_or(Reason::NotFound)?;
        model::is_another(&call.user_id, &of)?;

        let set =
            if disabled { self.disable(&call, &of).await } else { self.enable(&call, &of).await };
        set?;

        Ok(Response::new(SetDisabledResponse {}))
    }

    /// Here first, so that they are out should nobody come to the end of this, or Firebase not answer.
    /// Whoever asks again finishes it.
    async fn disable(&self, call: &SignedIn, of: &UserId) -> Result<(), Fault> {
        self.may_begin(call).await?;
        self.is_somebody(call, of).await?;
        let disable = |tx: Tx| async move {
            self.may_say(&tx, call, of).await?;
            let mark = self.context.revocations.disable(&tx, of).await?;
            self.note(&tx, call, Event::of_person(What::UserDisabled, of)).await?;
            Ok(mark)
        };
        let mark = self.context.pool.transaction(disable).await?;
        match self.toolkit.disable(call, of).await {
            // As whom there is no account Firebase signs nobody in.
            Ok(()) | Err(Error::Refused(Refusal::NoAccount)) => {}
            Err(error) => return Err(error.into()),
        }
        let look =
            |tx: Tx| async move { Ok(self.context.revocations.has_mark(&tx, of, mark).await?) };
        if self.context.pool.transaction(look).await? { Ok(()) } else { Err(contradicted()) }
    }

    /// Nothing is written of who is nobody: of whom nothing here knows, and of whom Firebase says so. A
    /// Firebase that does not say so in time is no reason to leave somebody in.
    async fn is_somebody(&self, call: &SignedIn, of: &UserId) -> Result<(), Fault> {
        if store::knows_person(&self.context.pool, of).await? {
            return Ok(());
        }
        match timeout(LOOK_MAX, self.toolkit.claims(call, of)).await {
            Ok(Err(Error::Refused(Refusal::NoAccount))) => Err(Reason::NotFound.into()),
            Ok(Ok(_) | Err(_)) | Err(_) => Ok(()),
        }
    }

    /// Here last, for the same reason. That it is begun is written down first: Firebase may let them in
    /// although nobody comes to the end of this. Without a service account Firebase was never told
    /// otherwise, and nobody would come to the end of it.
    async fn enable(&self, call: &SignedIn, of: &UserId) -> Result<(), Fault> {
        let begin = |tx: Tx| async move {
            self.may_say(&tx, call, of).await?;
            let mark = self.context.revocations.mark(&tx, of).await?;
            self.note(&tx, call, Event::of_person(What::UserEnableBegun, of)).await?;
            Ok(mark)
        };
        let mark = self.context.pool.transaction(begin).await?;
        let told = self.toolkit.enable(call, of).await;
        if !matches!(told, Ok(()) | Err(Error::NoAdmin)) {
            return Ok(told?);
        }
        let enable = |tx: Tx| async move {
            self.may_say(&tx, call, of).await?;
            if !self.context.revocations.enable(&tx, of, mark).await? {
                return Ok(false);
            }
            self.note(&tx, call, Event::of_person(What::UserEnabled, of)).await?;
            Ok(true)
        };
        if !self.context.pool.transaction(enable).await? {
            return Err(contradicted());
        }
        Ok(told?)
    }
}

/// Somebody else has begun to say of the person how they stand, and Firebase may have heard them
/// before us or after us. Whoever asks again settles it.
pub(super) fn contradicted() -> Fault {
    Reason::Conflict.into()
}
