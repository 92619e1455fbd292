//! What there is at a time, and how much of it one caller or a stranger may have.

use std::time::Duration;

use http::{Response, StatusCode};
use hyper::body::Incoming;
use proto::user::v1::{GetProfileRequest, WatchProfilesRequest};
use sqlx::raw_sql;
use tests::{App, Person, Told, until};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::wire::raw::{Call, frame, framed, user};

const LIMIT: Duration = Duration::from_secs(10);

/// So many that one caller, and strangers, may have two.
const WATCHES: (&str, &str) = ("MAX_WATCHES", "20");

fn health(method: &str) -> Call {
    Call::grpc(&format!("/grpc.health.v1.Health/{method}"), framed(0, b""))
}

fn get(person: &Person) -> Call {
    Call::grpc(&user("GetProfile"), frame(&GetProfileRequest::default()))
        .token(person.token.as_deref())
}

fn watch(person: &Person) -> Call {
    Call::grpc(&user("WatchProfiles"), frame(&WatchProfilesRequest::default()))
        .token(person.token.as_deref())
}

/// A stream that goes on for as long as this is kept, or how it was refused.
async fn begun(call: Call, app: &App) -> Result<Response<Incoming>, Told> {
    let response = call.begin(app.address).await;
    match Status::from_header_map(response.headers()) {
        Some(status) => Err(tests::told(&status)),
        None => Ok(response),
    }
}

#[track_caller]
fn is_refused(outcome: Result<Response<Incoming>, Told>, code: Code, reason: &str) {
    let told = outcome.expect_err("there is no place");
    assert_eq!((told.code, told.reason.as_str()), (code, reason));
}

#[tokio::test]
async fn what_finds_no_place_comes_back_and_the_health_needs_none() {
    let app = App::builder().with("MAX_IN_FLIGHT", "2").start().await;
    let ada = app.person("ada");
    let mut owner = app.owner().await;
    let lock = "begin; lock table mayfly_user.profile in access exclusive mode";
    raw_sql(lock).execute(&mut owner).await.unwrap();
    let mut waiting = JoinSet::new();
    for _ in 0..2 {
        let (call, address) = (get(&ada), app.address);
        waiting.spawn(async move { call.send(address).await.told().reason });
    }
    let blocked = "select count(*) from pg_stat_activity
                   where datname = current_database() and wait_event_type = 'Lock'";
    until("both wait", LIMIT, async || app.sql_count(blocked).await == 2).await;

    // Trailers hide no end, and what does not end is not waited for.
    for call in [get(&ada), get(&ada).with_trailers(), get(&ada).endless()] {
        let told = call.send(app.address).await.told();
        assert_eq!((told.code, told.reason.as_str()), (Code::Unavailable, "SHED"));
        assert!(told.retry_delay.is_some());
    }
    assert_eq!(health("Check").send(app.address).await.grpc_status().code(), Code::Ok);

    raw_sql("rollback").execute(&mut owner).await.unwrap();
    assert_eq!(waiting.join_all().await, ["NOT_FOUND", "NOT_FOUND"]);
    assert_eq!(get(&ada).send(app.address).await.told().reason, "NOT_FOUND");
}

#[tokio::test]
async fn strangers_take_no_place_from_those_who_are_signed_in() {
    let app = App::builder().with(WATCHES.0, WATCHES.1).start().await;
    let _first = begun(health("Watch"), &app).await.unwrap();
    let second = begun(health("Watch"), &app).await.unwrap();
    is_refused(begun(health("Watch"), &app).await, Code::Unavailable, "SHED");
    let _watching = begun(watch(&app.person("ada")), &app).await.unwrap();

    drop(second);
    until("it is noticed", LIMIT, async || begun(health("Watch"), &app).await.is_ok()).await;
}

#[tokio::test]
async fn one_caller_has_a_share_of_the_streams_and_the_others_have_theirs() {
    let app = App::builder().with(WATCHES.0, WATCHES.1).start().await;
    let (ada, bob) = (app.person("ada"), app.person("bob"));
    let _first = begun(watch(&ada), &app).await.unwrap();
    let second = begun(watch(&ada), &app).await.unwrap();
    is_refused(begun(watch(&ada), &app).await, Code::ResourceExhausted, "QUOTA_EXCEEDED");
    let _his = begun(watch(&bob), &app).await.unwrap();

    drop(second);
    until("it is noticed", LIMIT, async || begun(watch(&ada), &app).await.is_ok()).await;
}

#[tokio::test]
async fn grpc_whose_end_could_not_be_told_is_not_begun() {
    let app = App::start().await;
    let call = get(&app.person("ada")).over(crate::wire::raw::Version::Http1);
    let answer = call.send(app.address).await;
    assert_eq!(answer.status, StatusCode::HTTP_VERSION_NOT_SUPPORTED);
    assert!(answer.header("x-request-id").is_some());
}
