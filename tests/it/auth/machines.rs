//! API clients: machines that come with an id and a secret.

use std::time::Duration;

use clock::Clock;
use prost_types::Duration as Span;
use proto::auth::v1::{
    CreateApiClientRequest, CreateApiClientResponse, DeleteApiClientRequest, ExchangeApiKeyRequest,
    ExchangeApiKeyResponse, ListApiClientsRequest, RotateApiClientSecretRequest,
    ValidateTokenRequest, ValidateTokenResponse, WhoAmIRequest,
};
use tests::{App, keyed, told, with_key};
use tonic::{Code, Response, Status};

use super::{refusal, unauthenticated, with_role};

fn billing() -> CreateApiClientRequest {
    CreateApiClientRequest {
        display_name: "Billing".to_owned(),
        scopes: vec!["invoices:read".to_owned()],
    }
}

/// A new client's id and secret.
pub(super) async fn create(app: &App) -> (String, String) {
    let admin = with_role(app, "root-admin", "admin");
    let answer = admin.auth().create_api_client(keyed(billing())).await.unwrap().into_inner();
    let CreateApiClientResponse { api_client, client_secret } = answer;
    (api_client.unwrap().api_client_id, client_secret)
}

pub(super) async fn exchange(
    app: &App,
    id: &str,
    secret: &str,
) -> Result<ExchangeApiKeyResponse, Status> {
    let request =
        ExchangeApiKeyRequest { api_client_id: id.to_owned(), client_secret: secret.to_owned() };
    app.stranger(None).auth().exchange_api_key(request).await.map(Response::into_inner)
}

pub(super) async fn validate(app: &App, token: &str) -> ValidateTokenResponse {
    let asker = with_role(app, "machine", "introspector");
    let request = ValidateTokenRequest { token: token.to_owned() };
    asker.auth().validate_token(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn an_api_clients_secret_is_shown_once() {
    let app = App::start().await;
    let admin = with_role(&app, "root-admin", "admin");
    let first = admin.auth().create_api_client(with_key(billing(), "once")).await.unwrap();
    let again = admin.auth().create_api_client(with_key(billing(), "once")).await.unwrap();
    assert!(again.metadata().contains_key("idempotency-replayed"));
    let (first, again) = (first.into_inner(), again.into_inner());
    assert_eq!(first, again, "the same call is answered the same");
    let secret = first.client_secret;

    let request = ListApiClientsRequest::default();
    let listed = admin.auth().list_api_clients(request).await.unwrap().into_inner();
    assert_eq!(listed.api_clients, [first.api_client.unwrap()]);
    assert!(!format!("{listed:?}").contains(&secret));
    for table in ["mayfly_auth.api_client", "mayfly_auth.audit", "mayfly.exactly_once"] {
        let rows = format!(
            "select count(*) from {table} as row where position('{secret}' in row::text) > 0
             or position(encode('{secret}', 'hex') in row::text) > 0"
        );
        assert_eq!(app.sql_count(&rows).await, 0, "{table}");
    }
    let made = "select count(*) from mayfly_auth.audit where event = 'api_client_created'
        and actor = 'person:root-admin'";
    assert_eq!(app.sql_count(made).await, 1);
}

#[tokio::test]
async fn a_secret_is_exchanged_for_a_token_that_is_no_persons() {
    let app = App::start().await;
    let (id, secret) = create(&app).await;
    let answer = exchange(&app, &id, &secret).await.unwrap();
    assert_eq!(answer.scopes, ["invoices:read"]);
    let told = validate(&app, &answer.access_token).await;
    assert!(told.active && told.user_id.is_empty());
    assert_eq!((told.api_client_id, told.scopes), (id, answer.scopes));
    let machine = app.stranger(Some(&answer.access_token));
    let outcome = machine.auth().who_am_i(WhoAmIRequest {}).await;
    assert_eq!(refusal(outcome), unauthenticated("TOKEN_INVALID"));
}

#[tokio::test]
async fn an_unknown_id_and_a_wrong_secret_answer_alike() {
    let app = App::start().await;
    let (id, secret) = create(&app).await;
    let nobody = "018f4e9e-6c1a-7d3e-8a55-0242ac120002";
    let mut answers = Vec::new();
    for (id, secret) in [(&*id, "mfs_wrong"), (nobody, &*secret), (nobody, "mfs_wrong")] {
        let status = exchange(&app, id, secret).await.unwrap_err();
        answers.push((told(&status), status.message().to_owned()));
    }
    assert_eq!(answers[0].0.reason, "CREDENTIALS_INVALID");
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

#[tokio::test]
async fn the_secret_before_is_good_for_its_grace_and_no_longer() {
    let clock = Clock::at(Clock::system().unix_secs());
    let app = App::builder().clock(clock.clone()).start().await;
    let admin = with_role(&app, "root-admin", "admin");
    let (id, old) = create(&app).await;
    let rotate = |seconds| {
        let grace_period = Some(Span { seconds, nanos: 0 });
        keyed(RotateApiClientSecretRequest { api_client_id: id.clone(), grace_period })
    };
    let answer = admin.auth().rotate_api_client_secret(rotate(60)).await.unwrap().into_inner();
    let new = answer.client_secret;
    assert!(answer.api_client.unwrap().previous_secret_expire_time.is_some());
    exchange(&app, &id, &old).await.unwrap();
    clock.advance(Duration::from_secs(61));
    assert_eq!(refusal(exchange(&app, &id, &old).await).1, "CREDENTIALS_INVALID");
    exchange(&app, &id, &new).await.unwrap();

    admin.auth().rotate_api_client_secret(rotate(0)).await.unwrap();
    assert_eq!(refusal(exchange(&app, &id, &new).await).1, "CREDENTIALS_INVALID");
    let long = admin.auth().rotate_api_client_secret(rotate(604_801)).await.unwrap_err();
    assert_eq!(told(&long).fields, ["grace_period"]);
}

#[tokio::test]
async fn a_secret_without_grace_is_over_where_the_clock_is_behind_as_well() {
    let app = App::start().await;
    let clock = Clock::at(Clock::system().unix_secs() - 20);
    let behind = App::builder().database(&app.database).clock(clock).start().await;
    let admin = with_role(&app, "root-admin", "admin");
    let (id, leaked) = create(&app).await;
    let of_leaked = exchange(&app, &id, &leaked).await.unwrap().access_token;

    let request = RotateApiClientSecretRequest { api_client_id: id.clone(), grace_period: None };
    let answer = admin.auth().rotate_api_client_secret(keyed(request)).await.unwrap().into_inner();
    assert_eq!(answer.api_client.unwrap().previous_secret_expire_time, None);

    for machine in [&app, &behind] {
        let refused = refusal(exchange(machine, &id, &leaked).await);
        assert_eq!(refused, unauthenticated("CREDENTIALS_INVALID"));
        assert_eq!(validate(machine, &of_leaked).await, ValidateTokenResponse::default());
        exchange(machine, &id, &answer.client_secret).await.unwrap();
    }
}

#[tokio::test]
async fn a_token_ends_with_the_secret_that_it_was_had_by() {
    let clock = Clock::at(Clock::system().unix_secs());
    let app = App::builder().clock(clock.clone()).start().await;
    let admin = with_role(&app, "root-admin", "admin");
    let (id, leaked) = create(&app).await;
    let rotate = async |seconds| {
        let grace_period = Some(Span { seconds, nanos: 0 });
        let request = RotateApiClientSecretRequest { api_client_id: id.clone(), grace_period };
        let answer = admin.auth().rotate_api_client_secret(keyed(request)).await.unwrap();
        answer.into_inner().client_secret
    };
    let token = async |secret: &str| exchange(&app, &id, secret).await.unwrap().access_token;

    // All of it is of one second: the time says nothing of which secret it was.
    let of_leaked = token(&leaked).await;
    let second = rotate(0).await;
    let of_second = token(&second).await;
    assert_eq!(validate(&app, &of_leaked).await, ValidateTokenResponse::default());
    assert!(validate(&app, &of_second).await.active);

    let third = rotate(60).await;
    let of_third = token(&third).await;
    clock.advance(Duration::from_secs(59));
    let late = token(&second).await;
    for token in [&of_second, &late, &of_third] {
        assert!(validate(&app, token).await.active);
    }
    clock.advance(Duration::from_secs(1));
    for token in [&of_second, &late] {
        assert_eq!(validate(&app, token).await, ValidateTokenResponse::default());
    }
    assert!(validate(&app, &of_third).await.active);
}

#[tokio::test]
async fn what_is_done_to_one_client_is_done_to_no_other() {
    let app = App::start().await;
    let admin = with_role(&app, "root-admin", "admin");
    let ((one, _), (other, secret)) = (create(&app).await, create(&app).await);
    let (api_client_id, grace_period) = (one.clone(), None);
    let rotate = RotateApiClientSecretRequest { api_client_id, grace_period };
    let rotated = admin.auth().rotate_api_client_secret(keyed(rotate)).await.unwrap();
    assert_eq!(rotated.into_inner().api_client.unwrap().api_client_id, one);
    exchange(&app, &other, &secret).await.unwrap();
    let delete = DeleteApiClientRequest { api_client_id: one };
    admin.auth().delete_api_client(keyed(delete)).await.unwrap();
    exchange(&app, &other, &secret).await.unwrap();
}

#[tokio::test]
async fn a_token_ends_with_its_time_and_with_its_client() {
    let clock = Clock::at(Clock::system().unix_secs());
    let app = App::builder().clock(clock.clone()).start().await;
    let admin = with_role(&app, "root-admin", "admin");
    let (id, secret) = create(&app).await;
    let token = exchange(&app, &id, &secret).await.unwrap().access_token;
    assert!(validate(&app, &token).await.active);
    clock.advance(Duration::from_mins(10));
    assert_eq!(validate(&app, &token).await, ValidateTokenResponse::default());

    let token = exchange(&app, &id, &secret).await.unwrap().access_token;
    let request = || keyed(DeleteApiClientRequest { api_client_id: id.clone() });
    admin.auth().delete_api_client(request()).await.unwrap();
    assert_eq!(validate(&app, &token).await, ValidateTokenResponse::default());
    assert_eq!(refusal(exchange(&app, &id, &secret).await).1, "CREDENTIALS_INVALID");
    assert_eq!(refusal(admin.auth().delete_api_client(request()).await).0, Code::NotFound);
}

#[tokio::test]
async fn nobody_but_an_administrator_makes_or_sees_api_clients() {
    let app = App::start().await;
    let required = (Code::PermissionDenied, "ROLE_REQUIRED".to_owned());
    for person in [app.person("ada"), with_role(&app, "machine", "introspector")] {
        let made = person.auth().create_api_client(keyed(billing())).await;
        assert_eq!(refusal(made), required);
        let listed = person.auth().list_api_clients(ListApiClientsRequest::default()).await;
        assert_eq!(refusal(listed), required);
    }
}
