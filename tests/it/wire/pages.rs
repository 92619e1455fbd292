//! Which web pages may call, by every origin that is nearly theirs, and what they may read.

use http::{Method, StatusCode};
use proto::user::v1::UpdateProfileRequest;
use serde_json::json;
use tests::App;
use tonic::Code;

use super::{
    app_and_ada_with, both,
    raw::{Answer, Call, Version, user},
};

const PAGE: &str = "https://app.example.com";

/// Origins that are none of ours, most of them by a letter.
const OTHERS: [&str; 13] = [
    "null",
    "*",
    "https://evil.example.org",
    "https://app.example.evil.com",
    "https://app.example.com.evil.com",
    "https://evil-app.example.com",
    "https://sub.app.example.com",
    "https://example.com",
    "http://app.example.com",
    "https://app.example.com:8443",
    "https://app.example.com:443",
    "https://app.example.com/",
    "HTTPS://APP.EXAMPLE.COM",
];

/// What a page sends with a call.
const SENT: [&str; 6] = [
    "authorization",
    "content-type",
    "x-grpc-web",
    "grpc-timeout",
    "idempotency-key",
    "x-request-id",
];

/// What tells a page how its call ended.
const READ: [&str; 5] =
    ["grpc-status", "grpc-message", "grpc-status-details-bin", "x-request-id", "retry-after"];

/// What a browser asks before the page's call.
fn preflight(origin: &str) -> Call {
    Call::new(Method::OPTIONS, &user("CreateProfile"), "")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", SENT.join(","))
}

/// Whether a header of an answer lists all of these.
fn lists(answer: &Answer, header: &str, names: &[&str]) -> bool {
    let listed: Vec<_> = answer
        .headers
        .get_all(header)
        .iter()
        .flat_map(|it| it.to_str().unwrap().split(", "))
        .collect();
    names.iter().all(|name| listed.contains(name))
}

/// Nothing by which a browser would let a page read it.
fn is_hidden(answer: &Answer) -> bool {
    !answer.headers.keys().any(|name| name.as_str().starts_with("access-control-"))
}

#[tokio::test]
async fn a_listed_page_is_told_what_it_may_send() {
    let app = App::builder().with("CORS_ORIGINS", PAGE).start().await;
    for version in [Version::Http1, Version::Http2] {
        let answer = preflight(PAGE).over(version).send(app.address).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE));
        assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
        assert!(lists(&answer, "access-control-allow-headers", &SENT), "{answer:?}");
        assert_eq!(answer.header("access-control-max-age"), Some("7200"));
        assert!(lists(&answer, "vary", &["origin"]), "{answer:?}");
        // Who calls stands in the token; a browser need not add what it has kept.
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
}

#[tokio::test]
async fn any_other_page_is_refused_before_its_call_is_made() {
    let app = App::builder().with("CORS_ORIGINS", PAGE).start().await;
    let ada = app.person("ada-uid");
    let profile = json!({ "profile": { "handle": "ada", "displayName": "Ada" } });
    let create = Call::json(&user("CreateProfile"), &profile).token(ada.token.as_deref());
    let create = create.key("create");
    for origin in OTHERS {
        let asked = preflight(origin).send(app.address).await;
        let called = create.clone().header("origin", origin).send(app.address).await;
        for answer in [asked, called] {
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{origin}: {answer:?}");
            assert!(is_hidden(&answer), "{origin}: {answer:?}");
            assert!(lists(&answer, "vary", &["origin"]), "{origin}: {answer:?}");
        }
    }
    assert_eq!(app.sql_count("select count(*) from mayfly_user.profile").await, 0);
    // The same call is made for the page that may.
    let answer = create.header("origin", PAGE).send(app.address).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}

#[tokio::test]
async fn a_listed_page_may_read_how_its_call_ended_whatever_it_ended_with() {
    let (app, ada) = app_and_ada_with(&[("CORS_ORIGINS", PAGE)]).await;
    let (own, none) = (json!({}), UpdateProfileRequest::default());
    let token = ada.token.as_deref();
    for (method, token, code) in [
        ("GetProfile", token, Code::Ok),
        ("GetProfile", None, Code::Unauthenticated),
        ("UpdateProfile", token, Code::InvalidArgument),
        ("NoSuchMethod", token, Code::Unimplemented),
    ] {
        let [grpc, json, over_http2] = both(method, &none, &own);
        let web = grpc.without("te").header("content-type", "application/grpc-web+proto");
        for call in [web.clone(), web.over(Version::Http1), json, over_http2] {
            let call = call.key("of-a-page").token(token).header("origin", PAGE);
            let answer = call.send(app.address).await;
            let about = format!("{method} {code:?}: {answer:?}");
            assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE), "{about}");
            assert!(lists(&answer, "access-control-expose-headers", &READ), "{about}");
            assert!(lists(&answer, "vary", &["origin"]), "{about}");
            assert!(answer.header("x-request-id").is_some(), "{about}");
            assert_eq!(ended(&answer), code, "{about}");
        }
    }
}

/// How a call ended, over gRPC-Web in the headers or the last frame, else by JSON.
fn ended(answer: &Answer) -> Code {
    let content_type = answer.header("content-type").unwrap_or_default();
    if !content_type.starts_with("application/grpc-web") {
        let is_good = answer.status == StatusCode::OK;
        return if is_good { Code::Ok } else { answer.json_status().code() };
    }
    let body = String::from_utf8_lossy(&answer.body);
    let in_body = body.rsplit("grpc-status:").next().and_then(|rest| rest.lines().next());
    let number = answer.header("grpc-status").or(in_body).unwrap_or_default();
    Code::from_bytes(number.trim().as_bytes())
}
