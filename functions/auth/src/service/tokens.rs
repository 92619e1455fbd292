//! What tokens say.

use std::sync::Arc;

use call::{anyone, signed_in};
use fault::{Fault, Reason};
use identity::Person;
use proto::auth::v1::{ValidateTokenRequest, ValidateTokenResponse, WhoAmIRequest, WhoAmIResponse};
use tonic::{Request, Response};

use super::{Answer, AuthService};
use crate::{
    model::{self, api_client},
    store,
};

pub(super) fn who_am_i(request: Request<WhoAmIRequest>) -> Answer<WhoAmIResponse> {
    let (call, WhoAmIRequest {}) = signed_in(request)?;
    let person = call.caller.person().ok_or(Reason::TokenMissing)?;
    Ok(Response::new(model::who(person)))
}

impl AuthService {
    pub(super) async fn validates(
        &self,
        request: Request<ValidateTokenRequest>,
    ) -> Answer<ValidateTokenResponse> {
        let (_call, ValidateTokenRequest { token }) = anyone(request)?;

        let found = if api_client::is_access_token(&token) {
            self.of_api_client(&token).await?
        } else {
            self.of_person(&token).await?.map(|person| model::active(&person))
        };

        Ok(Response::new(found.unwrap_or_default()))
    }

    /// Whose an ID token is, if it is good and still counts.
    async fn of_person(&self, token: &str) -> Result<Option<Arc<Person>>, Fault> {
        let person = match self.context.verifier.verify(token).await {
            Ok(person) => person,
            Err(
                identity::Error::Missing | identity::Error::Expired | identity::Error::Invalid(_),
            ) => return Ok(None),
            Err(error) => return Err(unknown(error)),
        };
        match self.context.revocations.check(&person).await {
            Ok(()) => Ok(Some(person)),
            Err(
                revocation::Error::Revoked
                | revocation::Error::Disabled
                | revocation::Error::Outdated,
            ) => Ok(None),
            Err(error @ revocation::Error::Unknown(_)) => {
                Err(Fault::new(Reason::DbUnavailable).because(error))
            }
        }
    }

    /// Whose an access token is, if it is good, its client is still there, and the secret that it was
    /// had by is good.
    async fn of_api_client(&self, token: &str) -> Result<Option<ValidateTokenResponse>, Fault> {
        let signer = api_client::signer(&self.context.pool.secret("auth_access").await?);
        let now_secs = self.context.clock.unix_secs();
        let Some(access) = api_client::of_access_token(&signer, token, now_secs) else {
            return Ok(None);
        };
        let client = store::get_api_client(&self.context.pool, access.client).await?;
        let client = client.filter(|client| client.takes(&access, self.now()));
        Ok(client.map(|client| ValidateTokenResponse {
            active: true,
            api_client_id: client.id,
            scopes: client.scopes,
            expire_time: Some(model::second(access.expires)),
            ..Default::default()
        }))
    }

    /// Whose an ID token is that Firebase has just given us.
    pub(super) async fn holder(&self, id_token: &str) -> Result<Arc<Person>, Fault> {
        let verified = self.context.verifier.verify(id_token).await;
        verified.map_err(unknown)
    }
}

/// What is said of a token of which it cannot be said whether it is good.
fn unknown(error: identity::Error) -> Fault {
    let reason = match &error {
        identity::Error::KeysUnavailable(_) => Reason::KeysUnavailable,
        identity::Error::Busy => Reason::Shed,
        // Firebase has just given it to us: two settings speak of two projects.
        identity::Error::Missing | identity::Error::Expired | identity::Error::Invalid(_) => {
            Reason::DependencyUnavailable
        }
    };
    Fault::new(reason).because(error)
}
