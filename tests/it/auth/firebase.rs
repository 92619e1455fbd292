//! What Firebase may answer, and what is told of it: nothing that it says of an account alone.

use std::{
    net::{Ipv4Addr, TcpListener},
    time::Duration,
};

use proto::auth::v1::{
    RefreshTokenRequest, RegisterRequest, SendPasswordResetRequest, SetRolesRequest,
};
use serde_json::json;
use tests::{App, AppBuilder, Told, told, world};
use tokio::join;
use tonic::{Code, Request, Status};

use super::{
    PASSWORD, account, address, front::Front, refusal, sign_in, signed_in, tries, unauthenticated,
    with_role,
};

const COUNTED: &str = "select coalesce(sum(count), 0)::bigint from mayfly_auth.attempt";

/// An app that asks by way of `front`.
fn behind(front: &Front) -> AppBuilder {
    App::builder()
        .with("IDENTITY_TOOLKIT_URL", front.url())
        .with("SECURE_TOKEN_URL", front.url())
        .with("FIREBASE_SERVICE_ACCOUNT", front.service_account())
}

async fn register(app: &App, email: &str) -> Result<(), Status> {
    let request = RegisterRequest { email: email.to_owned(), password: PASSWORD.to_owned() };
    app.stranger(None).auth().register(request).await.map(drop)
}

async fn reset(app: &App, email: &str) -> Result<(), Status> {
    let request = SendPasswordResetRequest { email: email.to_owned() };
    app.stranger(None).auth().send_password_reset(request).await.map(drop)
}

async fn refresh(app: &App, token: &str) -> Result<(), Status> {
    let request = RefreshTokenRequest { refresh_token: token.to_owned() };
    app.stranger(None).auth().refresh_token(request).await.map(drop)
}

async fn events(app: &App, event: &str) -> i64 {
    let events = format!("select count(*) from mayfly_auth.audit where event = '{event}'");
    app.sql_count(&events).await
}

/// It is nothing of theirs, and worth coming back for.
#[track_caller]
fn is_outage(outcome: Result<(), Status>) {
    let Told { code, retry_delay, .. } = told(&outcome.unwrap_err());
    assert_eq!(code, Code::Unavailable);
    assert!(retry_delay.is_some());
}

#[tokio::test]
async fn a_message_that_is_not_sent_tells_of_no_account() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    let (known, free) = (account(), address());
    for email in [&known, &free] {
        front.refuses("accounts:sendOobCode", "QUOTA_EXCEEDED : Exceeded daily quota");
        register(&app, email).await.unwrap();
    }
    assert_eq!([events(&app, "registered").await, events(&app, "registered_again").await], [1; 2]);
    assert_eq!(events(&app, "message_unsent").await, 2);
    // A third that nothing can be sent to, and which has an account: once more the same.
    for word in ["RESET_PASSWORD_EXCEED_LIMIT", "TOO_MANY_ATTEMPTS_TRY_LATER", "QUOTA_EXCEEDED"] {
        front.refuses("accounts:sendOobCode", word);
        reset(&app, &account()).await.unwrap();
    }
    assert_eq!(events(&app, "message_unsent").await, 5);
    reset(&app, &account()).await.unwrap();
    assert_eq!(events(&app, "password_reset_sent").await, 1);
}

#[tokio::test]
async fn what_firebase_thinks_of_a_password_tells_of_no_account() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    // It says so of a free address alone: of one that is taken it says that first.
    for word in [
        "WEAK_PASSWORD : Password should be at least 12 characters",
        "PASSWORD_DOES_NOT_MEET_REQUIREMENTS : Missing password requirements: []",
        "BLOCKING_FUNCTION_ERROR_RESPONSE : HTTP Cloud Function returned an error",
    ] {
        front.refuses("accounts:signUp", word);
        register(&app, &address()).await.unwrap();
    }
    register(&app, &account()).await.unwrap();
    assert_eq!(events(&app, "register_refused").await, 3);
    assert_eq!(events(&app, "registered").await, 0);
}

#[tokio::test]
async fn what_a_project_asks_of_passwords_is_told_whether_there_is_an_account_or_not() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    let policy = json!({
        "customStrengthOptions": { "containsUppercaseCharacter": true },
        "enforcementState": "ENFORCE",
    });
    for email in [account(), address()] {
        front.grants("/passwordPolicy", &policy);
        let status = register(&app, &email).await.unwrap_err();
        let Told { code, fields, .. } = told(&status);
        assert_eq!((code, fields), (Code::InvalidArgument, vec!["password".to_owned()]));
    }
    assert_eq!(front.asked("accounts:signUp"), 0);
    // It was asked for from here twice, and nobody's next message waits for it.
    assert_eq!(app.sql_count(COUNTED).await, 2);
    // A Firebase that does not tell is no reason to take nobody.
    front.refuses("/passwordPolicy", "METHOD_NOT_FOUND");
    register(&app, &address()).await.unwrap();
}

#[tokio::test]
async fn a_right_password_that_does_not_suffice_is_answered_and_counted_like_a_wrong_one() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    let email = account();
    let wrong = unauthenticated("CREDENTIALS_INVALID");
    let pending = json!({ "mfaPendingCredential": "x", "mfaInfo": [{}], "localId": "ada" });
    front.grants("accounts:signInWithPassword", &pending);
    assert_eq!(refusal(tries(&app, &email, PASSWORD).await), wrong);
    front.refuses("accounts:signInWithPassword", "BLOCKING_FUNCTION_ERROR_RESPONSE : no");
    assert_eq!(refusal(tries(&app, &email, PASSWORD).await), wrong);
    front.refuses("accounts:signInWithPassword", "TOO_MANY_ATTEMPTS_TRY_LATER : later");
    assert_eq!(refusal(tries(&app, &email, PASSWORD).await), wrong);
    assert_eq!((app.sql_count(COUNTED).await, events(&app, "sign_in_failed").await), (6, 3));
}

#[tokio::test]
async fn a_firebase_that_is_asked_too_much_is_an_outage_and_what_it_was_asked_for_counts() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    let later = "TOO_MANY_ATTEMPTS_TRY_LATER : later";
    front.refuses("/token", later);
    is_outage(refresh(&app, "any").await);
    assert_eq!(app.sql_count(COUNTED).await, 0);
    front.refuses("accounts:signUp", later);
    is_outage(register(&app, &address()).await);
    // It may be so for an address that has an account, and for no other.
    for status in [503, 429] {
        front.answers("accounts:sendOobCode", status, 9);
        reset(&app, &address()).await.unwrap();
    }
    assert_eq!(events(&app, "message_unsent").await, 2);
    assert_eq!(app.sql_count(COUNTED).await, 6, "three addresses, asked for from one");
    front.refuses("accounts:lookup", later);
    let admin = with_role(&app, "root-admin", "admin");
    let request = SetRolesRequest { user_id: "ada".to_owned(), roles: Vec::new() };
    is_outage(admin.auth().set_roles(request).await.map(drop));
}

#[tokio::test]
async fn what_never_went_out_is_an_outage_and_counts_for_nothing() {
    let app = App::builder().with("IDENTITY_TOOLKIT_URL", "http://127.0.0.1:1").start().await;
    let email = account();
    let asked = join!(reset(&app, &email), register(&app, &email), tries(&app, &email, PASSWORD));
    is_outage(asked.0);
    is_outage(asked.1);
    is_outage(asked.2.map(drop));
    assert_eq!(app.sql_count(COUNTED).await, 0);
}

#[tokio::test]
async fn whoever_does_not_wait_for_the_answer_is_counted_and_written_down_all_the_same() {
    // It takes connections, and answers nothing.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let app = App::builder().with("IDENTITY_TOOLKIT_URL", url).start().await;
    let email = account();
    let stranger = app.stranger(None);
    let mut request = Request::new(SendPasswordResetRequest { email: email.clone() });
    request.set_timeout(Duration::from_secs(2));
    stranger.auth().send_password_reset(request).await.unwrap_err();
    let mut request = Request::new(sign_in(&email, PASSWORD));
    request.set_timeout(Duration::from_secs(2));
    stranger.auth().sign_in(request).await.unwrap_err();
    // A message, a sign-in, and the address of both.
    assert_eq!(app.sql_count(COUNTED).await, 4);
    for event in ["password_reset_begun", "sign_in_begun"] {
        assert_eq!(events(&app, event).await, 1, "{event}");
    }
}

#[tokio::test]
async fn a_refresh_token_that_firebase_refuses_is_written_down() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    let words = ["TOKEN_EXPIRED", "USER_DISABLED", "USER_NOT_FOUND", "INVALID_REFRESH_TOKEN"];
    for word in words {
        front.refuses("/token", word);
        assert_eq!(refusal(refresh(&app, "any").await).0, Code::Unauthenticated, "{word}");
    }
    assert_eq!(events(&app, "refresh_refused").await, 4);
}

#[tokio::test]
async fn a_refresh_token_of_another_project_is_none() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    front.refuses("/token", "PROJECT_NUMBER_MISMATCH");
    assert_eq!(refusal(refresh(&app, "any").await), unauthenticated("TOKEN_INVALID"));
    assert_eq!(app.sql_count(COUNTED).await, 1);
}

#[tokio::test]
async fn roles_that_firebase_cannot_keep_are_refused_by_their_field() {
    let app = App::start().await;
    let admin = with_role(&app, "root-admin", "admin");
    let user_id = world().issuer.sign_up(&address(), PASSWORD).unwrap().user_id;
    let roles = (0..32).map(|n| format!("{n:030}")).collect();
    let status = admin.auth().set_roles(SetRolesRequest { user_id, roles }).await.unwrap_err();
    assert_eq!(
        (status.code(), told(&status).fields),
        (Code::InvalidArgument, vec!["roles".into()])
    );
}

#[tokio::test]
async fn without_the_keys_nobody_signs_in_and_nobody_has_failed() {
    let app = App::builder().with("JWKS_URL", "http://127.0.0.1:1/keys").start().await;
    let email = account();
    let fault = refusal(tries(&app, &email, PASSWORD).await);
    assert_eq!(fault, (Code::Unavailable, "KEYS_UNAVAILABLE".to_owned()));
    assert_eq!(app.sql_count(COUNTED).await, 0);
    // Whoever registers is told nothing by it.
    let free = address();
    let (of_free, of_taken) = join!(register(&app, &free), register(&app, &email));
    of_free.and(of_taken).unwrap();
}

#[tokio::test]
async fn whoever_goes_on_counts_for_nothing() {
    let app = App::start().await;
    let (_, tokens) = signed_in(&app, &account()).await;
    let rows = "select count(*) from mayfly_auth.attempt where count > 0";
    refresh(&app, &tokens.refresh_token).await.unwrap();
    assert_eq!(app.sql_count(rows).await, 0);
}

#[tokio::test]
async fn an_outage_of_firebase_is_not_held_against_whoever_signs_in_and_a_silence_is() {
    let front = Front::open().await;
    let app = behind(&front).start().await;
    let email = account();
    for status in [500, 503, 429] {
        front.answers("accounts:signInWithPassword", status, 1);
        is_outage(tries(&app, &email, PASSWORD).await.map(drop));
        assert_eq!(app.sql_count(COUNTED).await, 0, "{status}");
    }
    front.refuses("accounts:signInWithPassword", "OPERATION_NOT_ALLOWED : none of ours");
    is_outage(tries(&app, &email, PASSWORD).await.map(drop));
    front.grants("accounts:signInWithPassword", &json!({ "localId": "ada" }));
    is_outage(tries(&app, &email, PASSWORD).await.map(drop));
    assert_eq!(app.sql_count(COUNTED).await, 0);

    // It may have come to a verdict that nobody was there to hear.
    let mut held = front.holds("accounts:signInWithPassword");
    tokio::select! {
        answered = tries(&app, &email, PASSWORD) => panic!("{answered:?}"),
        () = held.came() => {}
    }
    held.left().await;
    assert_eq!(app.sql_count(COUNTED).await, 2);
}
