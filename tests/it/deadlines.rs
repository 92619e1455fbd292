//! One budget of time for a call: the least of the client's, the rule's and the ceiling, over every
//! protocol, for streams as well; and a call that cannot use it is not begun.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use prost::Message;
use proto::user::v1::{CreateProfileRequest, GetProfileRequest, Profile, WatchProfilesRequest};
use serde_json::json;
use sqlx::{PgConnection, raw_sql};
use tests::{App, Person, told};
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::wire::raw::{Answer, Call, Version, frame, user};

const ORIGIN: &str = "https://app.example.com";

/// What a machine that is busy with other tests may add.
const LATE_MAX: Duration = Duration::from_secs(3);

/// An app whose profiles are locked: whoever reads one waits.
async fn locked(settings: &[(&str, &str)]) -> (App, PgConnection) {
    let app = App::builder().with("CORS_ORIGINS", ORIGIN);
    let app = settings.iter().fold(app, |app, (name, value)| app.with(name, *value)).start().await;
    let mut owner = app.owner().await;
    let lock = "begin; lock table mayfly_user.profile in access exclusive mode";
    raw_sql(lock).execute(&mut owner).await.unwrap();
    (app, owner)
}

/// What a page's client can see of an answer.
#[derive(Clone, Copy)]
enum Encoding {
    Bytes,
    Text,
}

/// A call of gRPC-Web from a page.
fn from_a_page(method: &str, message: &impl Message, encoding: Encoding) -> Call {
    let frame = frame(message);
    let (kind, body) = match encoding {
        Encoding::Bytes => ("application/grpc-web+proto", frame),
        Encoding::Text => ("application/grpc-web-text+proto", STANDARD.encode(frame).into_bytes()),
    };
    Call::new(http::Method::POST, &user(method), body)
        .header("content-type", kind)
        .header("origin", ORIGIN)
}

/// How a call of gRPC-Web ended: what its last frame says, or its headers.
fn end_of_page(answer: &Answer) -> Status {
    assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN), "{answer:?}");
    let exposed = answer.header("access-control-expose-headers").unwrap_or_default();
    assert!(exposed.contains("grpc-status"), "{answer:?}");
    if let Some(status) = Status::from_header_map(&answer.headers) {
        return status;
    }
    let is_text = answer.header("content-type").unwrap().contains("text");
    let mut body = answer.body.to_vec();
    if is_text {
        // Each chunk may be padded by itself.
        let four = body.chunks(4).map(|four| STANDARD.decode(four).unwrap());
        body = four.flatten().collect();
    }
    let mut trailers = http::HeaderMap::new();
    let mut left = &body[..];
    while let [flag, length @ ..] = left {
        let (length, rest) = length.split_first_chunk::<4>().unwrap();
        let (message, rest) = rest.split_at(usize::try_from(u32::from_be_bytes(*length)).unwrap());
        if *flag == 0x80 {
            for line in str::from_utf8(message).unwrap().lines() {
                let (name, value) = line.split_once(':').unwrap();
                let name = http::HeaderName::try_from(name).unwrap();
                trailers.insert(name, value.trim().parse().unwrap());
            }
        }
        left = rest;
    }
    Status::from_header_map(&trailers).expect("a grpc-status")
}

/// Its time is over, and nothing else is wrong; and that was told when it was so.
#[track_caller]
fn is_over_in_time(status: &Status, start: Instant, budget: Duration, what: &str) {
    let told = told(status);
    let expected = (Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert_eq!((told.code, told.reason.as_str()), expected, "{what}");
    let took = start.elapsed();
    assert!(took >= budget && took < budget + LATE_MAX, "{what}: {took:?}");
}

#[tokio::test]
async fn a_unary_call_is_told_4_over_every_protocol() {
    let (app, _lock) = locked(&[]).await;
    let ada = app.person("ada");
    let (message, budget) = (GetProfileRequest::default(), Duration::from_millis(200));
    let grpc = Call::grpc(&user("GetProfile"), frame(&message)).header("grpc-timeout", "200m");
    let start = Instant::now();
    let answer = grpc.token(ada.token.as_deref()).send(app.address).await;
    is_over_in_time(&answer.failure(), start, budget, "gRPC");
    for version in [Version::Http1, Version::Http2] {
        let json = Call::json(&user("GetProfile"), &json!({})).over(version);
        let json = json.header("connect-timeout-ms", "200").header("origin", ORIGIN);
        let start = Instant::now();
        let answer = json.token(ada.token.as_deref()).send(app.address).await;
        is_over_in_time(&answer.failure(), start, budget, "JSON");
        assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));
        for encoding in [Encoding::Bytes, Encoding::Text] {
            let page = from_a_page("GetProfile", &message, encoding).over(version);
            let page = page.header("grpc-timeout", "200m").token(ada.token.as_deref());
            let start = Instant::now();
            let answer = page.send(app.address).await;
            is_over_in_time(&end_of_page(&answer), start, budget, "gRPC-Web");
        }
    }
}

#[tokio::test]
async fn an_idle_stream_is_told_4_over_every_protocol() {
    let app = App::builder().with("CORS_ORIGINS", ORIGIN).start().await;
    let ada = app.person("ada");
    // Nothing happens to somebody who is not there.
    let message = WatchProfilesRequest { user_ids: vec!["nobody".into()], cursor: String::new() };
    let budget = Duration::from_millis(700);
    let watch = Call::grpc(&user("WatchProfiles"), frame(&message)).header("grpc-timeout", "700m");
    let start = Instant::now();
    let answer = watch.token(ada.token.as_deref()).send(app.address).await;
    assert!(!answer.body.is_empty(), "the watch had begun");
    is_over_in_time(&answer.grpc_status(), start, budget, "gRPC");
    for version in [Version::Http1, Version::Http2] {
        for encoding in [Encoding::Bytes, Encoding::Text] {
            let page = from_a_page("WatchProfiles", &message, encoding).over(version);
            let page = page.header("grpc-timeout", "700m").token(ada.token.as_deref());
            let start = Instant::now();
            let answer = page.send(app.address).await;
            is_over_in_time(&end_of_page(&answer), start, budget, "gRPC-Web");
        }
    }
}

#[tokio::test]
async fn the_ceiling_holds_for_who_asks_for_none_and_for_who_asks_for_ages() {
    let (app, _lock) = locked(&[("MAX_DEADLINE_MS", "300")]).await;
    let ada = app.person("ada");
    for asked in [None, Some("99999999H"), Some("2S")] {
        let call = Call::grpc(&user("GetProfile"), frame(&GetProfileRequest::default()));
        let call = asked.into_iter().fold(call, |call, asked| call.header("grpc-timeout", asked));
        let start = Instant::now();
        let answer = call.token(ada.token.as_deref()).send(app.address).await;
        is_over_in_time(&answer.failure(), start, Duration::from_millis(300), "the ceiling");
    }
}

#[tokio::test]
async fn a_call_that_cannot_end_in_time_is_not_begun() {
    let app = App::start().await;
    let create = |person: &Person, timeout: &str| {
        let name = person.name.clone();
        let profile = Profile { handle: name.clone(), display_name: name, ..Default::default() };
        let message = CreateProfileRequest { profile: Some(profile) };
        Call::grpc(&user("CreateProfile"), frame(&message))
            .header("grpc-timeout", timeout)
            .token(person.token.as_deref())
            .key("create")
    };
    let warm = app.person("warm");
    create(&warm, "2S").send(app.address).await.message::<Profile>();
    for number in 0..50 {
        let person = app.person(&format!("late_{number}"));
        let answer = create(&person, "9999u").send(app.address).await;
        assert_eq!(answer.told().code, Code::DeadlineExceeded);
    }
    let query = "select count(*) from mayfly.exactly_once";
    assert_eq!(app.sql_count(query).await, 1);
    assert_eq!(app.sql_count("select count(*) from mayfly_user.profile").await, 1);
}

#[tokio::test]
async fn a_deadline_that_is_sent_twice_or_cannot_be_read_is_refused() {
    let app = App::start().await;
    let ada = app.person("ada");
    for (name, first, second) in [
        ("grpc-timeout", "2S", Some("3S")),
        ("connect-timeout-ms", "2000", Some("3000")),
        ("grpc-timeout", "100x", None),
        ("connect-timeout-ms", "2S", None),
    ] {
        let call = Call::json(&user("GetProfile"), &json!({})).header(name, first);
        let call = second.into_iter().fold(call, |call, second| call.and_header(name, second));
        let told = call.token(ada.token.as_deref()).send(app.address).await.told();
        assert_eq!(told.code, Code::InvalidArgument, "{name}");
    }
}
