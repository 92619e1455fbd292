//! Mutations that happen exactly once, however often and wherever the call is made.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use prost::Message;
use proto::user::v1::{CreateProfileRequest, Profile, UpdateProfileRequest};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, raw_sql};
use tests::{App, Person, Proxy, told, until, with_key, world};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::{Code, Response, Status};

const SOON: Duration = Duration::from_secs(10);
const CREATE_PATH: &str = "/mayfly.user.v1.UserService/CreateProfile";
const PROFILES: &str = "select count(*) from mayfly_user.profile";
const ANSWERS: &str = "select count(*) from mayfly.exactly_once";

fn named(handle: &str) -> CreateProfileRequest {
    let profile =
        Profile { handle: handle.into(), display_name: "Needle".into(), ..Default::default() };
    CreateProfileRequest { profile: Some(profile) }
}

async fn creates(person: &Person, handle: &str, key: &str) -> Result<Response<Profile>, Status> {
    person.user().create_profile(with_key(named(handle), key)).await
}

async fn updates(person: &Person, bio: &str, key: &str) -> Result<Response<Profile>, Status> {
    let profile = Profile { bio: bio.into(), ..Default::default() };
    let message = UpdateProfileRequest { profile: Some(profile), update_mask: None };
    person.user().update_profile(with_key(message, key)).await
}

fn is_replayed(answer: &Response<Profile>) -> bool {
    answer.metadata().get("idempotency-replayed").is_some_and(|value| value == "true")
}

#[track_caller]
fn refused(outcome: Result<Response<Profile>, Status>) -> (Code, String) {
    let told = told(&outcome.unwrap_err());
    (told.code, told.reason)
}

/// Creates a profile over plain HTTP: the bytes of the answer, and its headers.
async fn posts(
    app: &App,
    person: &Person,
    (content_type, body): (&str, Vec<u8>),
) -> (Bytes, HeaderMap) {
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let response = client
        .post(format!("http://{}{CREATE_PATH}", app.address))
        .header("content-type", content_type)
        .header("idempotency-key", "one-key")
        .header("authorization", format!("Bearer {}", person.token.as_deref().unwrap()))
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let headers = response.headers().clone();
    (response.bytes().await.unwrap(), headers)
}

/// The same call twenty times at once, over three protocols and all of `apps`; how many of the
/// answers were stored ones.
async fn twenty_at_once(apps: &[&App]) -> usize {
    let people: Vec<_> = apps.iter().map(|app| (*app, app.person("ada"))).collect();
    let (mut json_calls, mut proto_calls, mut grpc_calls) = (Vec::new(), Vec::new(), Vec::new());
    for (app, person) in people.iter().cycle().take(6) {
        let json = json!({"profile": {"handle": "Ada", "displayName": "Needle"}}).to_string();
        json_calls.push(posts(app, person, ("application/json", json.into_bytes())));
        let proto = named("Ada").encode_to_vec();
        proto_calls.push(posts(app, person, ("application/proto", proto)));
    }
    for (_app, person) in people.iter().cycle().take(8) {
        grpc_calls.push(creates(person, "Ada", "one-key"));
    }
    let (json, proto, grpc) = tokio::join!(
        futures_util::future::join_all(json_calls),
        futures_util::future::join_all(proto_calls),
        futures_util::future::join_all(grpc_calls),
    );
    let grpc: Vec<_> = grpc.into_iter().map(Result::unwrap).collect();

    let replayed = grpc.iter().filter(|answer| is_replayed(answer)).count();
    let has_header = |(_, headers): &&(Bytes, HeaderMap)| {
        headers.get("idempotency-replayed").is_some_and(|value| value == "true")
    };
    let replayed = replayed + json.iter().chain(&proto).filter(has_header).count();

    let first = grpc[0].get_ref();
    assert!(grpc.iter().all(|answer| answer.get_ref() == first));
    assert!(proto.iter().all(|(bytes, _)| *bytes == first.encode_to_vec()));
    let (first_json, _) = &json[0];
    assert!(json.iter().all(|(bytes, _)| bytes == first_json));
    let read: Value = serde_json::from_slice(first_json).unwrap();
    assert_eq!((&read["handle"], &read["etag"]), (&json!("Ada"), &json!(first.etag)));
    replayed
}

#[tokio::test]
async fn the_same_call_twenty_times_at_once_is_one_effect_and_one_answer() {
    let app = App::start().await;
    assert_eq!(twenty_at_once(&[&app]).await, 19);
    assert_eq!((app.sql_count(PROFILES).await, app.sql_count(ANSWERS).await), (1, 1));
}

#[tokio::test]
async fn two_machines_are_one_for_a_key() {
    let one = App::start().await;
    let other = App::builder().database(&one.database).start().await;
    assert_eq!(twenty_at_once(&[&one, &other]).await, 19);
    assert_eq!((one.sql_count(PROFILES).await, one.sql_count(ANSWERS).await), (1, 1));
    // And long after.
    assert!(is_replayed(&creates(&other.person("ada"), "Ada", "one-key").await.unwrap()));
}

#[tokio::test]
async fn a_key_is_for_one_message() {
    let app = App::start().await;
    let ada = app.person("ada");
    let first = creates(&ada, "Ada", "k").await.unwrap();

    for other in ["ada", "Bob"] {
        let reused = (Code::FailedPrecondition, "IDEMPOTENCY_KEY_REUSED".to_owned());
        assert_eq!(refused(creates(&ada, other, "k").await), reused);
    }
    let again = creates(&ada, "Ada", "k").await.unwrap();
    assert!(is_replayed(&again) && !is_replayed(&first));
    assert_eq!(again.get_ref(), first.get_ref());
    assert_eq!(app.sql_count(PROFILES).await, 1);
}

#[tokio::test]
async fn what_a_message_does_not_say_makes_no_other_message() {
    let app = App::start().await;
    let ada = app.person("ada");
    creates(&ada, "Ada", "k").await.unwrap();
    // Another order, a default that is spelled out, a field nobody knows.
    let spelled =
        r#"{"later": 1, "profile": {"bio": "", "displayName": "Needle", "handle": "Ada"}}"#;
    let headers = [("idempotency-key", "k"), ("content-type", "application/json")];
    let answer = ada.post(CREATE_PATH, spelled, &headers).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.headers["idempotency-replayed"], "true");
}

#[tokio::test]
async fn a_call_without_a_good_key_is_refused() {
    let app = App::start().await;
    let ada = app.person("ada");
    let missing = (Code::InvalidArgument, "IDEMPOTENCY_KEY_MISSING".to_owned());
    let none = tonic::Request::new(named("Ada"));
    assert_eq!(refused(ada.user().create_profile(none).await), missing);
    for malformed in ["", "a b", "a/b", "a.b", "k,k", &"k".repeat(65)] {
        assert_eq!(refused(creates(&ada, "Ada", malformed).await), missing, "{malformed}");
    }
    let mut twice = with_key(named("Ada"), "one");
    twice.metadata_mut().append("idempotency-key", "two".parse().unwrap());
    assert_eq!(refused(ada.user().create_profile(twice).await), missing);

    let message = json!({"profile": {"handle": "Ada", "displayName": "Ada"}});
    for headers in [&[][..], &[("idempotency-key", "a b")]] {
        let answer = ada.json_with("CreateProfile", &message, headers).await;
        assert_eq!((answer.status, &answer.body["code"]), (400, &json!("invalid_argument")));
    }
    assert_eq!((app.sql_count(PROFILES).await, app.sql_count(ANSWERS).await), (0, 0));

    let longest = "-_".repeat(32);
    creates(&ada, "Ada", &longest).await.unwrap();
}

#[tokio::test]
async fn a_key_is_one_persons_for_one_method() {
    let app = App::start().await;
    let (ada, bob) = (app.person("ada"), app.person("bob"));
    let adas = creates(&ada, "Ada", "k").await.unwrap();
    let bobs = creates(&bob, "Bob", "k").await.unwrap();
    let update = updates(&ada, "Counts", "k").await.unwrap();
    for answer in [&adas, &bobs, &update] {
        assert!(!is_replayed(answer));
    }
    assert_eq!((bobs.get_ref().user_id.as_str(), update.get_ref().bio.as_str()), ("bob", "Counts"));
    assert_eq!(app.sql_count(ANSWERS).await, 3);
    // Each goes on being answered as it was, whatever has changed since.
    let other = updates(&ada, "Counts", "l").await.unwrap();
    for (first, again) in [
        (&adas, creates(&ada, "Ada", "k").await.unwrap()),
        (&bobs, creates(&bob, "Bob", "k").await.unwrap()),
        (&update, updates(&ada, "Counts", "k").await.unwrap()),
        (&other, updates(&ada, "Counts", "l").await.unwrap()),
    ] {
        assert_eq!((again.get_ref(), is_replayed(&again)), (first.get_ref(), true));
    }
}

#[tokio::test]
async fn a_failed_call_keeps_nothing_and_may_be_repeated() {
    let app = App::start().await;
    let (ada, bob) = (app.person("ada"), app.person("bob"));
    bob.creates_public_profile("Ada").await;
    let before = app.sql_count(ANSWERS).await;

    let taken = (Code::AlreadyExists, "HANDLE_TAKEN".to_owned());
    assert_eq!(refused(creates(&ada, "ada", "k").await), taken);
    assert_eq!(refused(creates(&ada, "ada", "k").await), taken);
    let missing = (Code::NotFound, "NOT_FOUND".to_owned());
    assert_eq!(refused(updates(&ada, "Counts", "k").await), missing);
    // Not even the claim of the key.
    assert_eq!(app.sql_count(ANSWERS).await, before);

    app.sql("delete from mayfly_user.profile").await;
    let created = creates(&ada, "ada", "k").await.unwrap();
    assert!(!is_replayed(&created));
    assert!(!is_replayed(&updates(&ada, "Counts", "k").await.unwrap()));
    assert!(is_replayed(&creates(&ada, "ada", "k").await.unwrap()));
}

#[tokio::test]
async fn an_answer_is_kept_for_a_day() {
    let app = App::start().await;
    let ada = app.person("ada");
    creates(&ada, "Ada", "create").await.unwrap();
    let first = updates(&ada, "Counts", "k").await.unwrap().into_inner();
    let day = "select count(*) from mayfly.exactly_once
        where expire_time - now() between interval '23:59' and interval '24:00'";
    assert_eq!(app.sql_count(day).await, 2);

    app.sql("update mayfly.exactly_once set expire_time = now() - interval '1 second'").await;
    // Expired, the key is free: for ten at once it is one new call.
    let mut calls = JoinSet::new();
    for _ in 0..10 {
        let ada = ada.clone();
        calls.spawn(async move { updates(&ada, "Counts", "k").await.unwrap() });
    }
    let answers = calls.join_all().await;
    assert_eq!(answers.iter().filter(|answer| !is_replayed(answer)).count(), 1);
    let second = answers[0].get_ref();
    assert!(answers.iter().all(|answer| answer.get_ref() == second));
    assert_ne!(second.etag, first.etag);

    // And free for another message.
    app.sql("update mayfly.exactly_once set expire_time = now() - interval '1 second'").await;
    assert!(!is_replayed(&updates(&ada, "Writes", "k").await.unwrap()));
}

#[tokio::test]
async fn answers_that_have_expired_are_swept() {
    let app = App::start().await;
    app.sql(
        "insert into mayfly.exactly_once (caller, rpc, key_hash, request_hash, expire_time)
         select 'person:' || n, 'rpc', 'k', 'r', now() + (n - 1000.5) * interval '1 hour'
         from generate_series(1, 1005) n",
    )
    .await;
    let other = "select count(*) from mayfly.exactly_once where rpc = 'rpc'";
    assert_eq!(app.sql_count(other).await, 1005);
    creates(&app.person("ada"), "Ada", "k").await.unwrap();
    until("the old ones are gone", SOON, async || app.sql_count(other).await == 5).await;
}

#[tokio::test]
async fn a_stored_answer_is_sealed() {
    let app = App::start().await;
    let (ada, bob) = (app.person("ada"), app.person("bob"));
    let answer = creates(&ada, "Ada", "needle-key").await.unwrap().into_inner();
    creates(&bob, "Bob", "needle-key").await.unwrap();
    let in_clear = |needle: &str| {
        format!(
            "select count(*) from mayfly.exactly_once as stored
             where stored::text like '%{needle}%'
             or stored::text like '%' || encode('{needle}', 'hex') || '%'"
        )
    };
    for needle in ["Needle", "Ada", "needle-key", &answer.etag] {
        assert_eq!(app.sql_count(&in_clear(needle)).await, 0, "{needle}");
    }
    assert_eq!(app.sql_count(&in_clear("person:ada")).await, 1);

    let bug = (Code::Internal, "INTERNAL".to_owned());
    for tampering in [
        "set_byte(answer, 0, get_byte(answer, 0) # 1)",
        "set_byte(answer, 20, get_byte(answer, 20) # 1)",
        "set_byte(answer, length(answer) - 1, get_byte(answer, length(answer) - 1) # 128)",
        "substring(answer for 30)",
        "substring(answer for 5)",
        "''::bytea",
        // Another person's answer under the same key.
        "(select answer from mayfly.exactly_once where caller = 'person:bob')",
    ] {
        app.sql("create table kept as select answer from mayfly.exactly_once where caller = 'person:ada'")
            .await;
        let tamper = "update mayfly.exactly_once set answer =";
        app.sql(&format!("{tamper} {tampering} where caller = 'person:ada'")).await;
        assert_eq!(refused(creates(&ada, "Ada", "needle-key").await), bug, "{tampering}");
        app.sql(&format!(
            "{tamper} kept.answer from kept where caller = 'person:ada'; drop table kept"
        ))
        .await;
    }
    let again = creates(&ada, "Ada", "needle-key").await.unwrap();
    assert_eq!((again.get_ref(), is_replayed(&again)), (&answer, true));
}

/// Has every commit of a new profile wait for a lock.
const WAIT_AT_COMMIT: &str = "
    create function public.wait_at_commit() returns trigger language plpgsql as
    $$ begin perform pg_advisory_xact_lock(7); return null; end $$;
    create constraint trigger wait_at_commit after insert on mayfly_user.profile
    deferrable initially deferred for each row execute function public.wait_at_commit()";

/// The calls that wait for a lock.
const WAITING: &str = "select count(*) from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'";

/// Repeats a call until the database is there again.
async fn served(person: &Person, handle: &str) -> Response<Profile> {
    loop {
        match creates(person, handle, "k").await {
            Err(status) if status.code() == Code::Unavailable => {
                sleep(Duration::from_millis(50)).await;
            }
            outcome => return outcome.unwrap(),
        }
    }
}

/// A process whose commits wait, and whose way to the database can lose their answers.
async fn losing() -> (App, Proxy) {
    let proxy = Proxy::open();
    let database = world().new_database().await;
    let builder = App::builder().database(&database);
    let app = builder.with("DATABASE_URL", proxy.url(&database)).start().await;
    app.sql(WAIT_AT_COMMIT).await;
    (app, proxy)
}

/// Lets a commit that waits for `lock` happen, and keeps its answer.
async fn commits(app: &App, proxy: &Proxy, lock: PgConnection) {
    until("the commit waits", SOON, async || app.sql_count(WAITING).await == 1).await;
    proxy.keep_answers();
    lock.close().await.unwrap();
    until("it is committed", SOON, async || app.sql_count(PROFILES).await == 1).await;
}

/// The lock that commits wait for.
async fn lock(app: &App) -> PgConnection {
    let mut lock = app.owner().await;
    raw_sql("select pg_advisory_lock(7)").execute(&mut lock).await.unwrap();
    lock
}

/// A repeat finds what was committed.
async fn finds(app: &App, person: &Person, handle: &str) {
    let found = timeout(SOON, served(person, handle)).await.unwrap();
    assert!(is_replayed(&found));
    assert_eq!(found.get_ref().user_id, handle);
    assert_eq!((app.sql_count(PROFILES).await, app.sql_count(ANSWERS).await), (1, 1));
}

#[tokio::test]
async fn an_answer_that_was_lost_with_its_connection_is_found_again_by_its_key() {
    let (app, proxy) = losing().await;
    let (ada, lock) = (app.person("Ada"), lock(&app).await);
    let cut = async {
        commits(&app, &proxy, lock).await;
        proxy.cut();
    };
    let (outcome, ()) = tokio::join!(creates(&ada, "Ada", "k"), cut);
    assert_eq!(refused(outcome), (Code::Unavailable, "DB_UNAVAILABLE".to_owned()));
    proxy.reopen();
    finds(&app, &ada, "Ada").await;
}

#[tokio::test]
async fn an_answer_for_which_nobody_waited_is_found_again_by_its_key() {
    let (app, proxy) = losing().await;
    let (bob, lock) = (app.person("Bob"), lock(&app).await);
    tokio::select! {
        outcome = creates(&bob, "Bob", "k") => panic!("{outcome:?}"),
        () = commits(&app, &proxy, lock) => {}
    }
    proxy.reopen();
    finds(&app, &bob, "Bob").await;
}

#[tokio::test]
async fn a_call_that_waits_for_a_failed_one_with_its_key_makes_the_effect() {
    let app = App::start().await;
    app.sql(WAIT_AT_COMMIT).await;
    let (ada, lock) = (app.person("ada"), lock(&app).await);
    let waiting = async |expected| {
        until("calls wait", SOON, async || app.sql_count(WAITING).await == expected).await
    };

    // The first has the key and waits at its commit; the second waits for the first.
    let second = async {
        waiting(1).await;
        creates(&ada, "Ada", "k").await.unwrap()
    };
    let leave_and_release = async {
        tokio::select! {
            outcome = creates(&ada, "Ada", "k") => panic!("{outcome:?}"),
            _waits = waiting(2) => {}
        }
        lock.close().await.unwrap();
    };
    let (second, ()) = tokio::join!(second, leave_and_release);
    assert_eq!(app.sql_count(PROFILES).await, 1);
    // Whether the first was committed or not when it was dropped, there is one answer.
    let third = creates(&ada, "Ada", "k").await.unwrap();
    assert_eq!((third.get_ref(), is_replayed(&third)), (second.get_ref(), true));
}
