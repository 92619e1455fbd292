//! Whoever tries too often waits, and longer each time.

use std::time::Duration;

use clock::Clock;
use futures_util::future::join_all;
use proto::auth::v1::SendPasswordResetRequest;
use sqlx::raw_sql;
use tests::{App, told};
use tonic::Code;

use super::{PASSWORD, account, address, refusal, tries, unauthenticated};

/// An app whose time stands until it is moved.
async fn app() -> (App, Clock) {
    let clock = Clock::at(Clock::system().unix_secs());
    (App::builder().clock(clock.clone()).start().await, clock)
}

/// How long the caller is told to wait.
async fn wait(app: &App, email: &str) -> Option<u64> {
    let told = told(&tries(app, email, PASSWORD).await.err()?);
    assert_eq!((told.code, told.reason.as_str()), (Code::ResourceExhausted, "RATE_LIMITED"));
    told.retry_delay.map(|delay| delay.as_secs())
}

async fn fails(app: &App, email: &str, times: usize) {
    for _ in 0..times {
        let outcome = tries(app, email, "wrong").await;
        assert_eq!(refusal(outcome), unauthenticated("CREDENTIALS_INVALID"));
    }
}

#[tokio::test]
async fn the_sixth_failure_waits() {
    let (app, clock) = app().await;
    let email = account();
    fails(&app, &email, 6).await;
    // The right password has to wait as well, or a wrong one would be told by not having to.
    assert_eq!(wait(&app, &email).await, Some(1));
    clock.advance(Duration::from_secs(1));
    fails(&app, &email, 1).await;
    assert_eq!(wait(&app, &email.to_uppercase()).await, Some(2));
    clock.advance(Duration::from_secs(2));
    assert_eq!(wait(&app, &email).await, None);
    // Whoever was let in has failed as if never.
    fails(&app, &email, 5).await;
    assert_eq!(wait(&app, &email).await, None);
}

#[tokio::test]
async fn an_unknown_account_waits_like_a_known_one() {
    let (app, _clock) = app().await;
    let email = address();
    fails(&app, &email, 6).await;
    assert_eq!(wait(&app, &email).await, Some(1));
    let blocked = "select count(*) from mayfly_auth.audit where event = 'attempts_blocked'";
    assert_eq!(app.sql_count(blocked).await, 1);
}

#[tokio::test]
async fn many_failures_at_once_are_no_more_than_were_free() {
    let (app, _clock) = app().await;
    let email = account();
    let outcomes = join_all((0..20).map(|_| tries(&app, &email, "wrong"))).await;
    let wrong =
        outcomes.into_iter().map(refusal).filter(|(code, _)| *code == Code::Unauthenticated);
    assert_eq!(wrong.count(), 6);
}

#[tokio::test]
async fn the_longest_wait_is_one_by_a_clock_that_is_a_little_behind() {
    let (app, clock) = app().await;
    let behind = Clock::at(clock.unix_secs() - 2);
    let behind = App::builder().database(&app.database).clock(behind).start().await;
    let email = account();
    fails(&app, &email, 1).await;
    app.sql("update mayfly_auth.attempt set count = 20").await;
    fails(&app, &email, 1).await;
    // Whoever read the time before the one who blocks it waits as well.
    assert_eq!(wait(&behind, &email).await, Some(902));
    assert_eq!(wait(&app, &email).await, Some(900));
}

#[tokio::test]
async fn one_address_that_tries_many_accounts_waits_and_a_message_is_not_sent_again_and_again() {
    let (app, clock) = app().await;
    fails(&app, &address(), 1).await;
    // Fifty failures of other accounts would take a busy machine longer than a call may.
    app.sql("update mayfly_auth.attempt set count = 50").await;
    fails(&app, &address(), 1).await;
    assert_eq!(wait(&app, &account()).await, Some(1));

    clock.advance(Duration::from_hours(25));
    let email = address();
    let ask = || async {
        let request = SendPasswordResetRequest { email: email.clone() };
        app.stranger(None).auth().send_password_reset(request).await
    };
    for _ in 0..4 {
        ask().await.unwrap();
    }
    let told = told(&ask().await.unwrap_err());
    assert_eq!(
        (told.reason.as_str(), told.retry_delay),
        ("RATE_LIMITED", Some(Duration::from_mins(1)))
    );
}

#[tokio::test]
async fn a_clock_that_is_set_back_locks_nobody_out() {
    let (app, clock) = app().await;
    let ahead = Clock::at(clock.unix_secs() + 3600);
    let ahead = App::builder().database(&app.database).clock(ahead).start().await;
    let email = account();
    // One failure blocks nobody, by neither clock; six do.
    fails(&ahead, &email, 1).await;
    fails(&app, &email, 1).await;
    fails(&ahead, &email, 4).await;
    assert_eq!(wait(&ahead, &email).await, Some(1));
    // An hour is longer than anybody waits.
    fails(&app, &email, 1).await;
    assert_eq!(wait(&app, &email).await, Some(2));
}

#[tokio::test]
async fn who_tried_is_kept_as_a_hash_and_no_password_is_kept_at_all() {
    let (app, _clock) = app().await;
    let email = account();
    fails(&app, &email, 1).await;
    tries(&app, &email, PASSWORD).await.unwrap();
    for table in ["attempt", "audit", "session"] {
        let rows = format!(
            "select count(*) from mayfly_auth.{table} as row
             where row::text like '%{email}%' or row::text like '%{PASSWORD}%'
             or row::text like '%wrong%'"
        );
        assert_eq!(app.sql_count(&rows).await, 0, "{table}");
    }
    let events = "select count(*) from mayfly_auth.audit
        where event in ('signed_in', 'sign_in_failed') and address = '127.0.0.1'
        and actor = 'nobody' and (person_id is null) <> (subject is null)";
    assert_eq!(app.sql_count(events).await, 2);
}

#[tokio::test]
async fn what_has_happened_is_added_to_and_not_rewritten() {
    let (app, _clock) = app().await;
    let mut owner = app.owner().await;
    raw_sql("set role mayfly_auth").execute(&mut owner).await.unwrap();
    for (statement, is_refused) in [
        ("update mayfly_auth.audit set actor = 'nobody'", true),
        ("truncate mayfly_auth.audit", true),
        ("select from mayfly_user.profile", true),
        ("select from mayfly_auth.audit", false),
    ] {
        let outcome = raw_sql(statement).execute(&mut owner).await;
        assert_eq!(outcome.is_err(), is_refused, "{statement}");
    }
}
