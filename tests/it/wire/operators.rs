//! What proxies and operators look at: health, and the counts of what was called.

use std::{collections::BTreeMap, time::Duration};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use prost::Message;
use proto::user::v1::{GetProfileRequest, Profile};
use serde_json::json;
use tests::{App, Person};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tonic::Code;

use super::{
    app_and_ada, call_json, eventually, frame, get, get_own,
    raw::{Call, framed, user},
};

const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;
const SERVICE_UNKNOWN: i32 = 3;

#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

fn health(method: &str, service: &str) -> Call {
    let request = HealthCheckRequest { service: service.to_owned() };
    Call::grpc(&format!("/grpc.health.v1.Health/{method}"), frame(&request))
}

/// The next message of a Watch.
async fn next(watch: &mut Incoming) -> i32 {
    let message = watch.frame().await.unwrap().unwrap().into_data().unwrap();
    HealthCheckResponse::decode(&message[5..]).unwrap().status
}

#[tokio::test]
async fn health_is_told_to_strangers_by_the_name_of_a_service() {
    let app = App::start().await;
    for service in ["", "mayfly.user.v1.UserService", "grpc.health.v1.Health"] {
        let answer = health("Check", service).send(app.address).await;
        assert_eq!(answer.message::<HealthCheckResponse>().status, SERVING, "{service}");
    }
    for unknown in ["x", "mayfly.user.v1", "mayfly.user.v1.UserService/GetProfile", "user"] {
        let told = health("Check", unknown).send(app.address).await.told();
        assert_eq!((told.code, &*told.reason), (Code::NotFound, "NOT_FOUND"), "{unknown}");
    }
}

#[tokio::test]
async fn a_watch_says_when_the_server_is_about_to_stop() {
    let mut app = App::start().await;
    let mut watches = Vec::new();
    for service in ["", "mayfly.user.v1.UserService"] {
        let mut watch = health("Watch", service).begin(app.address).await.into_body();
        assert_eq!(next(&mut watch).await, SERVING, "{service}");
        watches.push(watch);
    }
    let mut unknown = health("Watch", "unknown").begin(app.address).await.into_body();
    assert_eq!(next(&mut unknown).await, SERVICE_UNKNOWN);

    app.stop();
    for watch in &mut watches {
        assert_eq!(next(watch).await, NOT_SERVING);
    }
    // Once nobody watches any more, nothing is left to wait for.
    drop((watches, unknown));
    app.stopped().await;
}

#[tokio::test]
async fn healthz_is_good_until_the_server_drains() {
    let mut app = App::start().await;
    // Begun before the drain: a connection that is idle then would be closed.
    let mut begun = TcpStream::connect(app.address).await.unwrap();
    begun.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    // Accepted after that one; two requests over one connection.
    let mut kept = TcpStream::connect(app.address).await.unwrap();
    for request in [
        "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
        "HEAD /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    ] {
        kept.write_all(request.as_bytes()).await.unwrap();
    }
    let mut text = String::new();
    kept.read_to_string(&mut text).await.unwrap();
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 2, "{text}");
    assert_eq!(text.matches("\r\n\r\nok\n").count(), 1, "{text}");

    app.stop();
    eventually(|| app.internal("/health/ready"), |(status, _)| *status == 503).await;
    begun.write_all(b"\r\n").await.unwrap();
    let mut text = String::new();
    begun.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
    app.stopped().await;
}

#[tokio::test]
async fn healthz_answers_a_get_only() {
    let app = App::start().await;
    for (method, status) in [("GET", 200), ("HEAD", 200), ("POST", 405), ("DELETE", 405)] {
        let method = http::Method::from_bytes(method.as_bytes()).unwrap();
        let answer = Call::new(method, "/healthz", "").send(app.address).await;
        assert_eq!(answer.status, status);
    }
}

#[tokio::test]
async fn healthz_is_answered_once_it_has_been_asked() {
    let app = App::start().await;
    let half =
        b"POST /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{";
    for rest in [Some(b"}"), None] {
        let mut stream = TcpStream::connect(app.address).await.unwrap();
        stream.write_all(half).await.unwrap();
        let early = timeout(Duration::from_millis(300), stream.read_u8()).await;
        assert!(early.is_err(), "{early:?}");
        if let Some(rest) = rest {
            stream.write_all(rest).await.unwrap();
        }
        // Who does not go on is not waited for.
        let mut text = String::new();
        let answered = timeout(Duration::from_secs(3), stream.read_to_string(&mut text)).await;
        assert!(answered.is_ok() && text.starts_with("HTTP/1.1 405 "), "{text}");
    }
}

#[tokio::test]
async fn healthz_that_is_asked_in_chunks_is_the_last_of_its_connection() {
    let app = App::start().await;
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let chunked = "GET /healthz HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let second = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(format!("{chunked}{second}").as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 1, "{text}");
    assert!(text.contains("connection: close"), "{text}");
}

/// The counts that are not zero, as `name method code`.
async fn counts(app: &App) -> BTreeMap<String, u64> {
    let (_status, text) = app.internal("/metrics").await;
    let mut counts = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("grpc_server_")) {
        let (name, rest) = line.split_once('{').unwrap();
        let (labels, count) = rest.split_once("} ").unwrap();
        if name.ends_with("_bucket") || name.ends_with("_sum") || count == "0" {
            continue;
        }
        let labels: BTreeMap<_, _> =
            labels.split(',').filter_map(|label| label.split_once('=')).collect();
        let value = |name| labels.get(name).map_or("", |value| value.trim_matches('"'));
        assert!(["unary", "server_stream"].contains(&value("grpc_type")), "{line}");
        assert!(!value("grpc_service").is_empty(), "{line}");
        let name = name.strip_prefix("grpc_server_").unwrap();
        let key = format!("{name} {} {}", value("grpc_method"), value("grpc_code"));
        counts.insert(key.trim_end().to_owned(), count.parse().unwrap());
    }
    counts
}

/// Calls of every ending but a bug's.
async fn known_calls(app: &App, ada: &Person) {
    for _ in 0..3 {
        get_own(ada).send(app.address).await;
    }
    let nobody = GetProfileRequest { user_id: "nobody".into() };
    get(ada, frame(&nobody)).send(app.address).await;
    call_json(ada, "GetProfile", &json!({ "userId": "nobody" })).send(app.address).await;
    get_own(ada).without("authorization").send(app.address).await;
    get_own(ada).header("grpc-timeout", "0m").send(app.address).await;
    get(ada, [frame(&nobody), frame(&nobody)].concat()).send(app.address).await;
    call_json(ada, "ListProfiles", &json!({ "pageSize": -1 })).send(app.address).await;
    call_json(ada, "ListProfiles", &json!({})).send(app.address).await;
    call_json(ada, "CreateProfile", &json!({})).send(app.address).await;
    Call::grpc("/x/y", framed(0, b"")).send(app.address).await;
    Call::json("/x/z", &json!({})).send(app.address).await;
    Call::post(&user("UpdateProfile"), "").header("content-type", "x").send(app.address).await;
}

#[tokio::test]
async fn every_call_is_counted_once_under_the_names_of_the_ecosystem() {
    let (app, ada) = app_and_ada().await;
    known_calls(&app, &ada).await;
    let expected: BTreeMap<_, _> = [
        ("started_total GetProfile", 8),
        ("handled_total GetProfile OK", 3),
        ("handled_total GetProfile NotFound", 2),
        ("handled_total GetProfile Unauthenticated", 1),
        ("handled_total GetProfile DeadlineExceeded", 1),
        ("handled_total GetProfile Unimplemented", 1),
        ("handling_seconds_count GetProfile", 8),
        ("msg_received_total GetProfile", 7),
        ("msg_sent_total GetProfile", 3),
        ("started_total ListProfiles", 2),
        ("handled_total ListProfiles OK", 1),
        ("handled_total ListProfiles InvalidArgument", 1),
        ("handling_seconds_count ListProfiles", 2),
        ("msg_received_total ListProfiles", 2),
        ("msg_sent_total ListProfiles", 1),
        ("started_total CreateProfile", 2),
        ("handled_total CreateProfile OK", 1),
        ("handled_total CreateProfile InvalidArgument", 1),
        ("handling_seconds_count CreateProfile", 2),
        ("msg_received_total CreateProfile", 1),
        ("msg_sent_total CreateProfile", 1),
        ("started_total UpdateProfile", 1),
        ("handled_total UpdateProfile Unimplemented", 1),
        ("handling_seconds_count UpdateProfile", 1),
        ("started_total unknown", 2),
        ("handled_total unknown Unimplemented", 2),
        ("handling_seconds_count unknown", 2),
    ]
    .into_iter()
    .map(|(name, count)| (name.to_owned(), count))
    .collect();
    // A call is counted when its last byte is gone, which its client may hear of first.
    let handled = |counts: &BTreeMap<String, u64>| {
        let ended = counts.iter().filter(|(name, _)| name.starts_with("handled_total"));
        ended.map(|(_, count)| count).sum::<u64>() >= 15
    };
    let counted = eventually(|| counts(&app), handled).await;
    assert_eq!(counted, expected);
}

#[tokio::test]
async fn metrics_know_nobody() {
    let (app, ada) = app_and_ada().await;
    let claims = json!({ "email": "ada@example.com" });
    let token = tests::world().issuer.id_token("eve-uid", claims.as_object().unwrap());
    let eve = app.stranger(Some(&token));
    eve.creates_public_profile("eve_handle").await;
    known_calls(&app, &ada).await;
    assert_eq!(get_own(&eve).send(app.address).await.message::<Profile>().user_id, "eve-uid");
    Call::grpc("/ada-uid/Steal", framed(0, b"")).send(app.address).await;

    for path in ["/metrics", "/health/ready", "/health/live", "/health/detailed"] {
        let (status, text) = app.internal(path).await;
        assert_eq!(status, 200, "{path}");
        for private in ["ada-uid", "eve-uid", "example.com", "eve_handle", "Steal", "eyJ", "nobody"]
        {
            assert!(!text.contains(private), "{private} in {path}");
        }
        // What operators see is not for the public.
        if path != "/health/live" {
            let answer = Call::new(http::Method::GET, path, "").send(app.address).await;
            assert_eq!(answer.status, 404, "{path}");
        }
    }
}
