//! Accounts: none of the answers tells whether there is one.

use std::time::Duration;

use proto::auth::v1::{
    GetRolesRequest, RefreshTokenRequest, RegisterRequest, Roles, SendPasswordResetRequest,
    SetRolesRequest, WhoAmIRequest,
};
use serde_json::Value;
use tests::{App, told, until, world};
use tokio::{join, time::Instant};
use tonic::{Code, Response, Status};

use super::{PASSWORD, account, address, refusal, signed_in, tries, unauthenticated, with_role};

const SOON: Duration = Duration::from_secs(20);

async fn register(app: &App, email: &str, password: &str) -> Result<(), Status> {
    let request = RegisterRequest { email: email.to_owned(), password: password.to_owned() };
    app.stranger(None).auth().register(request).await.map(drop)
}

async fn reset(app: &App, email: &str) -> Result<(), Status> {
    let request = SendPasswordResetRequest { email: email.to_owned() };
    app.stranger(None).auth().send_password_reset(request).await.map(drop)
}

/// The purposes of the messages that were sent to an address.
pub(crate) async fn mail(email: &str) -> Vec<String> {
    let (issuer, project) = (world().issuer_address, tests::PROJECT);
    let url = format!("http://{issuer}/emulator/v1/projects/{project}/oobCodes");
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let answer = client.get(url).header("authorization", "Bearer owner").send().await.unwrap();
    let sent: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    let codes = sent["oobCodes"].as_array().unwrap().iter();
    let codes = codes.filter(|code| code["email"] == email);
    codes.map(|code| code["requestType"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn whoever_registers_signs_in_and_goes_on() {
    let app = App::start().await;
    let email = address();
    register(&app, &email, PASSWORD).await.unwrap();
    assert_eq!(mail(&email).await, ["VERIFY_EMAIL"]);
    let (ada, tokens) = signed_in(&app, &email).await;
    ada.auth().who_am_i(WhoAmIRequest {}).await.unwrap();
    let request = RefreshTokenRequest { refresh_token: tokens.refresh_token };
    let answer = app.stranger(None).auth().refresh_token(request).await.unwrap();
    let tokens = answer.into_inner().tokens.unwrap();
    let again = app.stranger(Some(&tokens.id_token));
    again.auth().who_am_i(WhoAmIRequest {}).await.unwrap();
}

#[tokio::test]
async fn an_address_that_is_taken_is_answered_like_one_that_is_free_and_its_owner_is_told() {
    let app = App::start().await;
    let taken = account();
    register(&app, &taken, "another password").await.unwrap();
    assert_eq!(mail(&taken).await, ["PASSWORD_RESET"]);
    let outcome = tries(&app, &taken, "another password").await;
    assert_eq!(refusal(outcome), unauthenticated("CREDENTIALS_INVALID"));
    signed_in(&app, &taken).await;
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_account_answer_alike() {
    let app = App::start().await;
    let (known, disabled) = (account(), address());
    let session = world().issuer.sign_up(&disabled, PASSWORD).unwrap();
    world().issuer.disable(&session.user_id).unwrap();
    // Firebase does not know of this one, and signs them in.
    let disabled_here = address();
    let session = world().issuer.sign_up(&disabled_here, PASSWORD).unwrap();
    let row = format!("('{}', true)", session.user_id);
    app.sql(&format!("insert into mayfly.revocation (user_id, is_disabled) values {row}")).await;
    let mut answers = Vec::new();
    for (email, password) in [
        (&known, "wrong"),
        (&address(), "wrong"),
        (&disabled, PASSWORD),
        (&disabled_here, PASSWORD),
        (&disabled_here, "wrong"),
    ] {
        let began = Instant::now();
        let status = tries(&app, email, password).await.unwrap_err();
        let half_seconds = began.elapsed().as_millis() / 500;
        assert!(half_seconds >= 1, "an answer at an even time");
        answers.push((told(&status), status.message().to_owned()));
    }
    assert_eq!(answers[0].0.reason, "CREDENTIALS_INVALID");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let failed = "select count(*) from mayfly_auth.audit where event = 'sign_in_failed'";
    assert_eq!(app.sql_count(failed).await, 5);
    let counted = "select coalesce(sum(count), 0)::bigint from mayfly_auth.attempt";
    assert_eq!(
        app.sql_count(counted).await,
        10,
        "five attempts, each of an account and from an address"
    );
}

#[tokio::test]
async fn a_password_is_reset_by_mail_alone_and_the_answer_tells_of_no_account() {
    let app = App::start().await;
    let (known, unknown) = (account(), address());
    let (of_known, of_unknown) = join!(reset(&app, &known), reset(&app, &unknown));
    of_known.and(of_unknown).unwrap();
    assert_eq!(mail(&known).await, ["PASSWORD_RESET"]);
    assert_eq!(mail(&unknown).await, [""; 0]);
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_by_its_field() {
    let app = App::start().await;
    let long = format!("{}@example.com", "a".repeat(250));
    for email in ["", "ada", "ada@", "ä@example.com", "a@b.c\r\nBcc: x@y.z", "a b@c.d", &long] {
        for status in [
            tries(&app, email, PASSWORD).await.unwrap_err(),
            register(&app, email, PASSWORD).await.unwrap_err(),
            reset(&app, email).await.unwrap_err(),
        ] {
            assert_eq!(
                (status.code(), told(&status).fields),
                (Code::InvalidArgument, vec!["email".to_owned()]),
                "{email:?}"
            );
        }
    }
    let weak = register(&app, &address(), "short").await.unwrap_err();
    assert_eq!(told(&weak).fields, ["password"]);
    assert_eq!(app.sql_count("select count(*) from mayfly_auth.audit").await, 0);
}

#[tokio::test]
async fn a_refresh_token_that_is_none_is_refused() {
    let app = App::start().await;
    let request = RefreshTokenRequest { refresh_token: "none".to_owned() };
    let outcome = app.stranger(None).auth().refresh_token(request).await;
    assert_eq!(refusal(outcome), unauthenticated("TOKEN_INVALID"));
}

#[tokio::test]
async fn without_firebase_nobody_signs_in_and_nothing_is_counted() {
    let app = App::builder().with("IDENTITY_TOOLKIT_URL", "http://127.0.0.1:1").start().await;
    let email = account();
    let status = tries(&app, &email, PASSWORD).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(told(&status).retry_delay.is_some());
    let counted = "select count(*) from mayfly_auth.attempt where count > 0";
    assert_eq!(app.sql_count(counted).await, 0);
}

#[tokio::test]
async fn an_administrator_sets_roles_and_the_next_token_says_them() {
    let app = App::start().await;
    let admin = with_role(&app, "root-admin", "admin");
    let (ada, tokens) = signed_in(&app, &account()).await;
    let user_id = tokens.user_id.clone();
    let request = SetRolesRequest { user_id: user_id.clone(), roles: vec!["editor".to_owned()] };

    let outcome = ada.auth().set_roles(request.clone()).await;
    assert_eq!(refusal(outcome), (Code::PermissionDenied, "ROLE_REQUIRED".to_owned()));
    let roles = admin.auth().set_roles(request).await.map(Response::into_inner).unwrap();
    assert_eq!(roles, Roles { user_id: user_id.clone(), roles: vec!["editor".to_owned()] });
    let asked = GetRolesRequest { user_id };
    assert_eq!(admin.auth().get_roles(asked).await.unwrap().into_inner(), roles);

    // The old token says what holds no longer; a new one is made from the same sign-in.
    until("the old token must be refreshed", SOON, async || {
        let outcome = ada.auth().who_am_i(WhoAmIRequest {}).await;
        outcome.is_err_and(|status| told(&status).reason == "TOKEN_EXPIRED")
    })
    .await;
    until("a new one is taken, with the role", SOON, async || {
        let request = RefreshTokenRequest { refresh_token: tokens.refresh_token.clone() };
        let answer = app.stranger(None).auth().refresh_token(request).await.unwrap();
        let token = answer.into_inner().tokens.unwrap().id_token;
        let who = app.stranger(Some(&token)).auth().who_am_i(WhoAmIRequest {}).await;
        who.is_ok_and(|who| who.into_inner().roles == ["editor"])
    })
    .await;

    let request = SetRolesRequest { user_id: "nobody".to_owned(), roles: Vec::new() };
    assert_eq!(refusal(admin.auth().set_roles(request).await).0, Code::NotFound);
}
