//! What tokens say, and to whom that is told.

use clock::Clock;
use jsonwebtoken::{Algorithm, Header};
use proto::auth::v1::{ValidateTokenRequest, ValidateTokenResponse, WhoAmIRequest};
use serde_json::json;
use tests::{App, world};
use tonic::{Code, Response};

use super::{account, refusal, signed_in, with_role};

async fn validate(app: &App, token: &str) -> ValidateTokenResponse {
    let asker = with_role(app, "machine", "introspector");
    let request = ValidateTokenRequest { token: token.to_owned() };
    asker.auth().validate_token(request).await.map(Response::into_inner).unwrap()
}

/// A token of somebody who signed in an hour ago, good until then.
fn signed(user_id: &str, expires: i64) -> String {
    let issuer = &world().issuer;
    let header = Header { kid: Some(issuer.kid()), ..Header::new(Algorithm::RS256) };
    let signed_in = Clock::system().unix_secs() - 3600;
    let claims = json!({
        "iss": issuer.issuer_url(), "aud": issuer.project(), "sub": user_id, "user_id": user_id,
        "iat": signed_in, "auth_time": signed_in, "exp": expires,
    });
    issuer.sign(&header, &claims)
}

#[tokio::test]
async fn whoever_calls_is_told_what_their_token_says() {
    let app = App::start().await;
    let email = account();
    let (ada, tokens) = signed_in(&app, &email).await;
    let who = ada.auth().who_am_i(WhoAmIRequest {}).await.unwrap().into_inner();
    assert_eq!((who.user_id, who.email), (tokens.user_id, email));
    assert_eq!((who.sign_in_provider.as_str(), who.email_verified), ("password", false));
    assert_eq!(who.expire_time, tokens.expire_time);
    let nobody = app.stranger(None).auth().who_am_i(WhoAmIRequest {}).await;
    assert_eq!(refusal(nobody).1, "TOKEN_MISSING");
}

#[tokio::test]
async fn a_machine_is_told_whose_a_good_token_is_and_nothing_of_one_that_is_not() {
    let app = App::start().await;
    let (ada, tokens) = signed_in(&app, &account()).await;
    let told = validate(&app, &tokens.id_token).await;
    assert!(told.active && told.expire_time.is_some() && told.auth_time.is_some());
    assert_eq!(told.user_id, tokens.user_id);

    // Nothing but its time is wrong with the second.
    let until = |secs: i64| signed(&tokens.user_id, Clock::system().unix_secs() + secs);
    let (good, expired) = (until(60), until(-60));
    assert!(validate(&app, &good).await.active);
    let tampered = tokens.id_token.replace('.', ".x");
    ada.auth().sign_out(proto::auth::v1::SignOutRequest {}).await.unwrap();
    for token in ["x", "a.b.c", "mfa_", "mfa_AAAA", &expired, &tampered, &tokens.id_token] {
        assert_eq!(validate(&app, token).await, ValidateTokenResponse::default(), "{token}");
    }
}

#[tokio::test]
async fn strangers_and_people_without_the_role_are_told_of_no_token() {
    let app = App::start().await;
    let request = || ValidateTokenRequest { token: "x".to_owned() };
    let nobody = app.stranger(None).auth().validate_token(request()).await;
    assert_eq!(refusal(nobody).1, "TOKEN_MISSING");
    let ada = app.person("ada").auth().validate_token(request()).await;
    assert_eq!(refusal(ada), (Code::PermissionDenied, "ROLE_REQUIRED".to_owned()));
}

#[test]
fn a_message_with_a_secret_is_not_printed() {
    let request = super::sign_in("ada@example.com", "hunter2");
    assert_eq!(format!("{request:?}"), "SignInRequest(..)");
}
