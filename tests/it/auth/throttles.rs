//! Bounds on what is tried from one address, whoever is behind it.

use std::time::Duration;

use clock::Clock;
use futures_util::future::join_all;
use proto::auth::v1::{
    CreateApiClientRequest, ExchangeApiKeyRequest, RefreshTokenRequest, RegisterRequest,
    SendPasswordResetRequest, WhoAmIRequest,
};
use tests::{App, keyed, told};
use tokio::time::sleep;
use tonic::{Code, Request, Status};

use super::{PASSWORD, account, address, refusal, sign_in, unauthenticated, with_role};

/// A second, which is what the first wait is.
const WAIT: Duration = Duration::from_secs(1);

/// An app that takes a proxy's word on where a call comes from, and whose time stands.
async fn app() -> (App, Clock) {
    let clock = Clock::at(Clock::system().unix_secs());
    let app = App::builder().clock(clock.clone()).with("TRUSTED_PROXY", "fly");
    (app.start().await, clock)
}

/// A request from this address.
fn from<T>(address: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("fly-client-ip", address.parse().unwrap());
    request
}

#[track_caller]
fn waits<T: std::fmt::Debug>(outcome: Result<T, Status>) {
    let told = told(&outcome.unwrap_err());
    assert_eq!((told.code, told.reason.as_str()), (Code::ResourceExhausted, "RATE_LIMITED"));
    assert_eq!(told.retry_delay, Some(WAIT));
}

/// Has whatever was tried once count as tried so often.
async fn tried(app: &App, times: usize) {
    let counts = format!("update mayfly_auth.attempt set count = {times} where count = 1");
    app.sql(&counts).await;
}

#[tokio::test]
async fn refresh_tokens_are_not_tried_without_end_and_good_ones_count_for_nothing() {
    let (app, clock) = app().await;
    let stranger = app.stranger(None);
    let request = from("192.0.2.1", sign_in(&account(), PASSWORD));
    let answer = stranger.auth().sign_in(request).await.unwrap().into_inner();
    let good = answer.tokens.unwrap().refresh_token;
    let refresh = async |address: &str, token: &str| {
        let request = from(address, RefreshTokenRequest { refresh_token: token.to_owned() });
        stranger.auth().refresh_token(request).await.map(drop)
    };
    let none = unauthenticated("TOKEN_INVALID");

    assert_eq!(refusal(refresh("192.0.2.1", "none").await), none);
    tried(&app, 199).await;
    assert_eq!(refusal(refresh("192.0.2.1", "none").await), none);
    for _ in 0..3 {
        refresh("192.0.2.1", &good).await.unwrap();
    }
    assert_eq!(refusal(refresh("192.0.2.1", "none").await), none);
    waits(refresh("192.0.2.1", &good).await);
    refresh("192.0.2.2", &good).await.unwrap();
    clock.advance(WAIT);
    refresh("192.0.2.1", &good).await.unwrap();
}

#[tokio::test]
async fn an_api_client_is_let_in_whatever_others_have_tried_and_what_they_try_has_an_end() {
    let (app, clock) = app().await;
    let admin = with_role(&app, "root-admin", "admin");
    let (display_name, scopes) = ("Billing".to_owned(), Vec::new());
    let request = keyed(CreateApiClientRequest { display_name, scopes });
    let made = admin.auth().create_api_client(request).await.unwrap().into_inner();
    let (id, good) = (made.api_client.unwrap().api_client_id, made.client_secret);
    let nobody = "018f4e9e-6c1a-7d3e-8a55-0242ac120002";
    let stranger = app.stranger(None);
    let exchange = async |address: &str, id: &str, secret: &str| {
        let (api_client_id, client_secret) = (id.to_owned(), secret.to_owned());
        let message = ExchangeApiKeyRequest { api_client_id, client_secret };
        stranger.auth().exchange_api_key(from(address, message)).await.map(drop)
    };
    let wrong = unauthenticated("CREDENTIALS_INVALID");

    exchange("192.0.2.1", &id, &good).await.unwrap();
    assert_eq!(app.sql_count("select count(*) from mayfly_auth.attempt").await, 0);
    assert_eq!(refusal(exchange("192.0.2.1", &id, "mfs_wrong").await), wrong);
    tried(&app, 50).await;
    assert_eq!(refusal(exchange("192.0.2.1", nobody, "mfs_wrong").await), wrong);
    // A client that is none waits as well, or it would be told from one that is there.
    for id in [&id, nobody] {
        waits(exchange("192.0.2.1", id, "mfs_wrong").await);
    }
    assert_eq!(refusal(exchange("192.0.2.2", &id, "mfs_wrong").await), wrong);
    exchange("192.0.2.1", &id, &good).await.unwrap();
    clock.advance(WAIT);
    assert_eq!(refusal(exchange("192.0.2.1", &id, "mfs_wrong").await), wrong);
    // Who comes too early writes nothing: that they have to wait is written down, once for each wait.
    let events = async |event: &str| {
        let rows = format!("select count(*) from mayfly_auth.audit where event = '{event}'");
        app.sql_count(&rows).await
    };
    assert_eq!((events("api_key_refused").await, events("attempts_blocked").await), (4, 2));
    let rows = "select count(*) from mayfly_auth.audit";
    let before = app.sql_count(rows).await;
    for _ in 0..5 {
        assert_eq!(refusal(exchange("192.0.2.1", &id, "mfs_wrong").await).1, "RATE_LIMITED");
    }
    assert_eq!(app.sql_count(rows).await, before);
}

#[tokio::test]
async fn an_address_that_many_share_forgets_a_failure_a_minute_however_busy_it_is() {
    let (app, clock) = app().await;
    let stranger = app.stranger(None);
    let fail = async || {
        let request = from("192.0.2.1", sign_in(&address(), "wrong"));
        stranger.auth().sign_in(request).await.map(drop)
    };
    let wrong = unauthenticated("CREDENTIALS_INVALID");

    assert_eq!(refusal(fail().await), wrong);
    app.sql("update mayfly_auth.attempt set count = 50").await;
    // What is left of a minute counts for the next: in five of them five are forgotten.
    for seconds in [90, 30, 75, 45, 60] {
        clock.advance(Duration::from_secs(seconds));
        assert_eq!(refusal(fail().await), wrong, "free, or the next would wait");
    }
    assert_eq!(refusal(fail().await), wrong);
    waits(fail().await);
}

#[tokio::test]
async fn what_one_person_has_tried_is_neither_held_against_another_nor_forgotten_for_them() {
    let (app, _clock) = app().await;
    let stranger = app.stranger(None);
    let (ada, bob) = (account(), account());
    let tries = async |address: &str, email: &str, password: &str| {
        let request = from(address, sign_in(email, password));
        stranger.auth().sign_in(request).await.map(drop)
    };
    let wrong = unauthenticated("CREDENTIALS_INVALID");

    assert_eq!(refusal(tries("192.0.2.2", &bob, "wrong").await), wrong);
    for _ in 0..6 {
        assert_eq!(refusal(tries("192.0.2.1", &ada, "wrong").await), wrong);
    }
    tries("192.0.2.2", &bob, PASSWORD).await.expect("he does not wait for her");
    waits(tries("192.0.2.1", &ada, PASSWORD).await);
    // What she has tried is all there still, and none of what he has.
    let counts = "select (100 * max(count) + sum(count))::bigint from mayfly_auth.attempt";
    assert_eq!(app.sql_count(counts).await, 100 * 6 + 6 + 6 + 1);
}

#[tokio::test]
async fn one_address_has_no_messages_sent_and_no_accounts_made_without_end() {
    let (app, clock) = app().await;
    let stranger = app.stranger(None);
    let reset = async |from_address: &str| {
        let message = SendPasswordResetRequest { email: address() };
        stranger.auth().send_password_reset(from(from_address, message)).await.map(drop)
    };
    let register = async |from_address: &str| {
        let message = RegisterRequest { email: address(), password: PASSWORD.to_owned() };
        stranger.auth().register(from(from_address, message)).await.map(drop)
    };

    reset("192.0.2.1").await.unwrap();
    tried(&app, 50).await;
    register("192.0.2.1").await.unwrap();
    waits(reset("192.0.2.1").await);
    waits(register("192.0.2.1").await);
    let request = from("192.0.2.1", sign_in(&account(), PASSWORD));
    waits(stranger.auth().sign_in(request).await);
    reset("192.0.2.2").await.unwrap();
    clock.advance(WAIT);
    register("192.0.2.1").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_who_wait_for_a_message_leave_places_to_everybody_else() {
    let app = App::builder()
        .with("TRUSTED_PROXY", "fly")
        .with("MAX_IN_FLIGHT", "160")
        .with("DB_WAIT_MS_MAX", "60000");
    let app = app.start().await;
    let resets = async |number: usize| {
        let message = SendPasswordResetRequest { email: address() };
        let request = from(&format!("192.0.2.{number}"), message);
        app.stranger(None).auth().send_password_reset(request).await.map(drop)
    };
    let asked = join_all((0..200).map(resets));
    let ada = async {
        sleep(Duration::from_secs(1)).await;
        app.person("ada").auth().who_am_i(WhoAmIRequest {}).await
    };
    let (told, ada) = tokio::join!(asked, ada);
    ada.expect("there is a place for others");

    let shed: Vec<_> =
        told.into_iter().filter_map(Result::err).map(|error| tests::told(&error)).collect();
    assert!(!shed.is_empty(), "128 of 200 have a place at a time");
    for told in shed {
        assert_eq!((told.code, &*told.reason), (Code::Unavailable, "SHED"));
    }
    resets(201).await.expect("the places are free again");
}
