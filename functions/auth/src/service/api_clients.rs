//! Machines that come with an id and a secret.

use std::time::Duration;

use aws_lc_rs::rand;
use call::{anyone, signed_in};
use database::Tx;
use fault::{Fault, Reason};
use page::Asked;
use proto::auth::v1::{
    CreateApiClientRequest, CreateApiClientResponse, DeleteApiClientRequest, ExchangeApiKeyRequest,
    ExchangeApiKeyResponse, ListApiClientsRequest, ListApiClientsResponse,
    RotateApiClientSecretRequest, RotateApiClientSecretResponse,
};
use tonic::{Request, Response};
use uuid::Uuid;

use super::{Answer, AuthService, Event, What};
use crate::{
    model::{
        self,
        api_client::{self, ACCESS_SECS, Access, ApiClient, SECRET_BYTES, Secret},
        attempt::Kind,
    },
    store,
};

impl AuthService {
    pub(super) async fn creates_api_client(
        &self,
        request: Request<CreateApiClientRequest>,
    ) -> Answer<CreateApiClientResponse> {
        let (call, message) = signed_in(request)?;
        let CreateApiClientRequest { display_name, scopes } = &message;
        api_client::check(display_name, scopes)?;
        let call = &call;

        let create = |tx: Tx| async move {
            self.may_still(&tx, call).await?;
            let secret = secret()?;
            let client = ApiClient::new(display_name, scopes, &secret, self.now());
            store::create_api_client(&tx, &client, &call.caller.key()).await?;
            let id = id(&client.id);
            self.note(&tx, call, Event::of_api_client(What::ApiClientCreated, id)).await?;
            let (api_client, client_secret) = (Some(client.into()), secret.show());
            Ok(CreateApiClientResponse { api_client, client_secret })
        };

        self.context.pool.once(call, &message, create).await
    }

    pub(super) async fn lists_api_clients(
        &self,
        request: Request<ListApiClientsRequest>,
    ) -> Answer<ListApiClientsResponse> {
        let (call, mut query) = signed_in(request)?;
        let asked = Asked::take(&mut query.page_size, &mut query.page_token);
        let (pool, clock) = (&self.context.pool, &self.context.clock);

        let page = asked.page(pool, clock, &call, &query).await?;
        let clients = store::list_api_clients(pool, page.after(), page.rows_max()).await?;
        let (clients, next_page_token) = page.cut(clients, |client| &client.id);

        let api_clients = clients.into_iter().map(Into::into).collect();
        Ok(Response::new(ListApiClientsResponse { api_clients, next_page_token }))
    }

    pub(super) async fn rotates_api_client_secret(
        &self,
        request: Request<RotateApiClientSecretRequest>,
    ) -> Answer<RotateApiClientSecretResponse> {
        let (call, message) = signed_in(request)?;
        let id = id(&message.api_client_id);
        let grace = message.grace_period.unwrap_or_default();
        // The contract has bounded it.
        let grace = Duration::try_from(grace).map_err(Fault::internal)?;
        let call = &call;

        let rotate = |tx: Tx| async move {
            self.may_still(&tx, call).await?;
            let (secret, now) = (secret()?, self.now());
            let times = (now, now + grace);
            let client = store::rotate_api_client_secret(&tx, id, &secret.hash(), times).await?;
            let client = client.ok_or(Reason::NotFound)?;
            self.note(&tx, call, Event::of_api_client(What::ApiClientRotated, id)).await?;
            let (api_client, client_secret) = (Some(client.into()), secret.show());
            Ok(RotateApiClientSecretResponse { api_client, client_secret })
        };

        self.context.pool.once(call, &message, rotate).await
    }

    pub(super) async fn deletes_api_client(
        &self,
        request: Request<DeleteApiClientRequest>,
    ) -> Answer<()> {
        let (call, message) = signed_in(request)?;
        let (call, id) = (&call, id(&message.api_client_id));

        let delete = |tx: Tx| async move {
            self.may_still(&tx, call).await?;
            if !store::delete_api_client(&tx, id).await? {
                return Err(Reason::NotFound.into());
            }
            self.note(&tx, call, Event::of_api_client(What::ApiClientDeleted, id)).await
        };

        self.context.pool.once(call, &message, delete).await
    }

    pub(super) async fn exchanges_api_key(
        &self,
        request: Request<ExchangeApiKeyRequest>,
    ) -> Answer<ExchangeApiKeyResponse> {
        let (call, ExchangeApiKeyRequest { api_client_id, client_secret }) = anyone(request)?;
        let id = id(&api_client_id);

        let client = store::get_api_client(&self.context.pool, id).await?;
        // The right secret does not wait for what others have tried: nobody comes upon it by trying.
        let Some(client) = api_client::of_secret(client, &client_secret, self.now()) else {
            let address = self.address(&call, Kind::Exchange).await?;
            let event = Event::of_api_client(What::ApiKeyRefused, id);
            self.attempt_noted(&call, &address, &event).await?;
            return Err(Reason::CredentialsInvalid.into());
        };
        let key = self.context.pool.secret("auth_access").await?;
        self.note_alone(&call, &Event::of_api_client(What::ApiKeyExchanged, id)).await?;

        let signer = api_client::signer(&key);
        let expires = self.context.clock.unix_secs() + ACCESS_SECS;
        let access = Access::new(id, &client_secret, expires);
        Ok(Response::new(ExchangeApiKeyResponse {
            access_token: api_client::access_token(&signer, &access),
            expire_time: Some(model::second(expires)),
            scopes: client.scopes,
        }))
    }
}

fn secret() -> Result<Secret, Fault> {
    let mut chance = [0; SECRET_BYTES];
    rand::fill(&mut chance).map_err(Fault::internal)?;
    Ok(Secret::of(chance))
}

/// An id that the contract has checked.
fn id(text: &str) -> Uuid {
    Uuid::try_parse(text).unwrap_or_default()
}
