//! The RPCs of `mayfly.auth.v1.AuthService`, by theme below this file: read the request, ask the store
//! or Firebase, answer.

mod api_clients;
mod attempts;
mod pace;
mod roles;
mod sessions;
mod sign_in;
mod standing;
mod tokens;

use call::{Call, SignedIn};
use chassis::Context;
use chrono::{DateTime, Utc};
use database::Tx;
use fault::{Fault, Reason};
use identity::UserId;
use proto::auth::v1::{
    self,
    auth_service_server::{AuthService as Rpcs, AuthServiceServer},
};
use tonic::{Request, Response, Status, async_trait};

use self::pace::Places;
use crate::{
    Settings,
    model::event::{Event, What},
    remote::Toolkit,
    store,
};

/// Serves `mayfly.auth.v1.AuthService` from Firebase and the database. Clones are the same.
#[derive(Clone, Debug)]
pub struct AuthService {
    context: Context,
    toolkit: Toolkit,
    /// Of calls that strangers make and that take long.
    places: Places,
}

/// The function's service, for the chassis.
pub fn service(context: Context, settings: Settings) -> AuthServiceServer<AuthService> {
    let toolkit = Toolkit::new(settings, &context);
    AuthServiceServer::new(AuthService { context, toolkit, places: Places::new() })
}

impl AuthService {
    /// The time, as it is written down.
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.context.clock.unix_micros()).unwrap_or_default()
    }

    /// Refuses whoever may not call any more, by what the database says within `tx`. What has let them
    /// in may be as old as `REVOCATION_SECS_MAX`; and while Firebase was waited for, they may have been
    /// disabled, or lost the role.
    async fn may_still(&self, tx: &Tx, call: &SignedIn) -> Result<(), Fault> {
        self.may_say(tx, call, &call.user_id).await
    }

    /// The same of whoever says something of a person. Of two who say of each other that they may not
    /// call, the second is refused: so there is always one who can take it back.
    async fn may_say(&self, tx: &Tx, call: &SignedIn, of: &UserId) -> Result<(), Fault> {
        lock_both(tx, &call.user_id, of).await?;
        match self.refusal(tx, call).await? {
            Some(refusal) => Err(refusal),
            None => Ok(()),
        }
    }

    async fn refusal(&self, tx: &Tx, call: &SignedIn) -> Result<Option<Fault>, Fault> {
        let person = call.caller.person().ok_or(Reason::TokenMissing)?;
        let refusal = self.context.revocations.refusal_in(tx, person).await?;
        Ok(refusal.map(Fault::from))
    }

    /// The same before anything is asked of Firebase.
    async fn may_begin(&self, call: &SignedIn) -> Result<(), Fault> {
        let look = |tx: Tx| async move { self.may_still(&tx, call).await };
        self.context.pool.transaction(look).await
    }

    /// Writes down what happens in a transaction, and has it logged once that is committed.
    async fn note(&self, tx: &Tx, call: &Call, event: Event) -> Result<(), Fault> {
        store::append_audit(tx, call, &event, self.now()).await?;
        let (outcome, name) = (call.outcome.clone(), event.what.name());
        tx.after_commit(move || outcome.add_event(name));
        Ok(())
    }

    /// Writes down what has happened elsewhere, or has not.
    async fn note_alone(&self, call: &Call, event: &Event) -> Result<(), Fault> {
        let note = |tx: Tx| async move { self.note(&tx, call, event.clone()).await };
        self.context.pool.transaction(note).await
    }
}

/// Has whatever else is said of the two wait. In one order, or two who say something of each other
/// would wait for ever.
async fn lock_both(tx: &Tx, one: &UserId, other: &UserId) -> Result<(), Fault> {
    let mut both = vec![one, other];
    both.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
    both.dedup();
    for id in both {
        store::lock_person(tx, id).await?;
    }
    Ok(())
}

/// What a method is asked, and what it answers.
type Answer<T> = Result<Response<T>, Status>;

#[async_trait]
impl Rpcs for AuthService {
    async fn who_am_i(&self, request: Request<v1::WhoAmIRequest>) -> Answer<v1::WhoAmIResponse> {
        tokens::who_am_i(request)
    }

    async fn validate_token(
        &self,
        request: Request<v1::ValidateTokenRequest>,
    ) -> Answer<v1::ValidateTokenResponse> {
        self.validates(request).await
    }

    async fn register(
        &self,
        request: Request<v1::RegisterRequest>,
    ) -> Answer<v1::RegisterResponse> {
        self.registers(request).await
    }

    async fn sign_in(&self, request: Request<v1::SignInRequest>) -> Answer<v1::SignInResponse> {
        self.signs_in(request).await
    }

    async fn refresh_token(
        &self,
        request: Request<v1::RefreshTokenRequest>,
    ) -> Answer<v1::RefreshTokenResponse> {
        self.refreshes(request).await
    }

    async fn sign_out(&self, request: Request<v1::SignOutRequest>) -> Answer<v1::SignOutResponse> {
        self.signs_out(request).await
    }

    async fn send_password_reset(
        &self,
        request: Request<v1::SendPasswordResetRequest>,
    ) -> Answer<v1::SendPasswordResetResponse> {
        self.sends_password_reset(request).await
    }

    async fn list_sessions(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Answer<v1::ListSessionsResponse> {
        self.lists_sessions(request).await
    }

    async fn revoke_session(
        &self,
        request: Request<v1::RevokeSessionRequest>,
    ) -> Answer<v1::RevokeSessionResponse> {
        self.revokes_session(request).await
    }

    async fn revoke_all_sessions(
        &self,
        request: Request<v1::RevokeAllSessionsRequest>,
    ) -> Answer<v1::RevokeAllSessionsResponse> {
        self.revokes_all_sessions(request).await
    }

    async fn get_roles(&self, request: Request<v1::GetRolesRequest>) -> Answer<v1::Roles> {
        self.gets_roles(request).await
    }

    async fn set_roles(&self, request: Request<v1::SetRolesRequest>) -> Answer<v1::Roles> {
        self.sets_roles(request).await
    }

    async fn set_disabled(
        &self,
        request: Request<v1::SetDisabledRequest>,
    ) -> Answer<v1::SetDisabledResponse> {
        self.sets_disabled(request).await
    }

    async fn create_api_client(
        &self,
        request: Request<v1::CreateApiClientRequest>,
    ) -> Answer<v1::CreateApiClientResponse> {
        self.creates_api_client(request).await
    }

    async fn list_api_clients(
        &self,
        request: Request<v1::ListApiClientsRequest>,
    ) -> Answer<v1::ListApiClientsResponse> {
        self.lists_api_clients(request).await
    }

    async fn rotate_api_client_secret(
        &self,
        request: Request<v1::RotateApiClientSecretRequest>,
    ) -> Answer<v1::RotateApiClientSecretResponse> {
        self.rotates_api_client_secret(request).await
    }

    async fn delete_api_client(&self, request: Request<v1::DeleteApiClientRequest>) -> Answer<()> {
        self.deletes_api_client(request).await
    }

    async fn exchange_api_key(
        &self,
        request: Request<v1::ExchangeApiKeyRequest>,
    ) -> Answer<v1::ExchangeApiKeyResponse> {
        self.exchanges_api_key(request).await
    }
}
