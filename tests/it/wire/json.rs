//! JSON as Connect's unary protocol has it, over either version of HTTP.

use http::Method;
use prost::Message;
use proto::user::v1::{GetProfileRequest, Profile};
use serde_json::{Value, json};
use tests::{App, Person};
use tonic::Code;

use super::{
    app_and_ada,
    raw::{Answer, Call, Version, user},
};

/// Ada's own profile, asked for with this body.
fn get(ada: &Person, body: impl Into<bytes::Bytes>) -> Call {
    Call::post(&user("GetProfile"), body).token(ada.token.as_deref())
}

/// Changes Ada's profile as this text says.
async fn update(app: &App, ada: &Person, text: &str) -> Answer {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let key = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let call = Call::post(&user("UpdateProfile"), text.to_owned()).key(&format!("json-{key}"));
    call.token(ada.token.as_deref()).send(app.address).await
}

#[track_caller]
fn invalid(answer: &Answer, about: &str) {
    let told = answer.told();
    let told = (told.code, &*told.reason);
    assert_eq!(told, (Code::InvalidArgument, "INVALID_ARGUMENT"), "{about}");
}

#[tokio::test]
async fn a_call_is_one_post_over_either_version_of_http() {
    let (app, ada) = app_and_ada().await;
    for version in [Version::Http1, Version::Http2] {
        let answer = get(&ada, "{}").over(version).send(app.address).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        for framing in ["grpc-status", "grpc-message", "grpc-encoding", "grpc-accept-encoding"] {
            assert_eq!(answer.header(framing), None);
        }
        assert_eq!(answer.header("content-encoding"), None);
        let profile = answer.json();
        let keys: Vec<_> = profile.as_object().unwrap().keys().map(String::as_str).collect();
        // What has its default is left out; the names are in lowerCamelCase.
        let expected =
            ["createTime", "displayName", "etag", "handle", "updateTime", "userId", "visibility"];
        assert_eq!(keys, expected);
        assert_eq!(profile["visibility"], "VISIBILITY_PRIVATE");
        let time = profile["createTime"].as_str().unwrap();
        assert!(time.contains('T') && time.ends_with('Z'), "{time}");
    }
}

#[tokio::test]
async fn only_a_post_is_a_call() {
    let (app, ada) = app_and_ada().await;
    for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY"] {
        for version in [Version::Http1, Version::Http2] {
            let known = Call::new(Method::from_bytes(method.as_bytes()).unwrap(), "/", "");
            let unknown = known.clone().over(version).send(app.address).await;
            assert_eq!(unknown.status, 404, "{method}");
            for content_type in ["application/json", "text/plain"] {
                let path = format!("{}?message=%7B%7D&encoding=json", user("GetProfile"));
                let call = Call::new(Method::from_bytes(method.as_bytes()).unwrap(), &path, "");
                let call = call.header("content-type", content_type).over(version);
                let answer = call.token(ada.token.as_deref()).send(app.address).await;
                assert_eq!(answer.status, 405, "{method}");
                assert_eq!(answer.header("allow"), Some("POST"), "{method}");
                assert!(answer.header("x-request-id").is_some());
            }
        }
    }
}

#[tokio::test]
async fn a_body_of_a_foreign_kind_is_not_read() {
    let (app, ada) = app_and_ada().await;
    for content_type in [
        "text/plain",
        "text/json",
        "application/jsonp",
        "application/x-protobuf",
        "application/protobuf",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/grpc+json",
        "application",
        "json",
        "",
        ";application/json",
        "text/plain, application/json",
    ] {
        let call = get(&ada, "{}").header("content-type", content_type);
        let answer = call.send(app.address).await;
        assert_eq!(answer.status, 415, "{content_type}");
        let accepted = answer.header("accept-post").unwrap();
        assert!(accepted.contains("application/json"), "{accepted}");
        assert!(answer.header("x-request-id").is_some());
    }
    let none = get(&ada, "{}").without("content-type").send(app.address).await;
    assert_eq!(none.status, 415);
}

#[tokio::test]
async fn a_content_type_has_parameters_and_capitals() {
    let (app, ada) = app_and_ada().await;
    for content_type in [
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8;x=y",
        "Application/JSON",
        "APPLICATION/JSON ; CHARSET=utf-8",
    ] {
        let answer = get(&ada, "{}").header("content-type", content_type).send(app.address).await;
        assert_eq!(answer.json()["handle"], "Ada", "{content_type}");
    }
    for content_type in ["application/grpc+proto", "application/grpc; x=y", "Application/GRPC"] {
        let call = super::get_own(&ada).header("content-type", content_type);
        assert_eq!(call.send(app.address).await.message::<Profile>().handle, "Ada");
    }
}

#[tokio::test]
async fn protobuf_goes_in_and_comes_out_and_errors_are_json() {
    let (app, ada) = app_and_ada().await;
    for version in [Version::Http1, Version::Http2] {
        let in_proto = |request: &GetProfileRequest| {
            let call = get(&ada, request.encode_to_vec()).over(version);
            call.header("content-type", "application/proto")
        };
        // An empty body is an empty message.
        let own = in_proto(&GetProfileRequest::default()).send(app.address).await;
        assert_eq!(
            (own.status.as_u16(), own.header("content-type")),
            (200, Some("application/proto"))
        );
        assert_eq!(Profile::decode(own.body).unwrap().handle, "Ada");
        let named = GetProfileRequest { user_id: "ada-uid".into() };
        let named = in_proto(&named).send(app.address).await;
        assert_eq!(Profile::decode(named.body).unwrap().handle, "Ada");

        let missing = GetProfileRequest { user_id: "nobody".into() };
        let missing = in_proto(&missing).send(app.address).await;
        assert_eq!(missing.header("content-type"), Some("application/json"));
        assert_eq!(missing.told().reason, "NOT_FOUND");
        for broken in [&b"\xff"[..], b"\x0a\x05a", b"\x0a\x01\xff", b"{}", b"\x0b"] {
            let call = get(&ada, broken.to_vec()).header("content-type", "application/proto");
            invalid(&call.over(version).send(app.address).await, &format!("{broken:?}"));
        }
    }
}

#[tokio::test]
async fn json_is_read_as_proto3_says() {
    let (app, ada) = app_and_ada().await;
    let own = |text: &str| get(&ada, text.to_owned()).send(app.address);
    for good in [
        "{}",
        " { } \n",
        r#"{"userId":""}"#,
        r#"{"userId":null}"#,
        r#"{"user_id":"ada-uid"}"#,
        r#"{"userId":"\u0061da-uid"}"#,
        r#"{"unknown":{"deep":[1,{"x":null}]},"userId":"ada-uid","more":-1.5e300}"#,
        r#"{"userid":"nobody","USER_ID":"nobody"}"#,
    ] {
        assert_eq!(own(good).await.json()["handle"], "Ada", "{good}");
    }
    for bad in [
        "",
        " ",
        "null",
        "[]",
        "1",
        "\"x\"",
        "{",
        "{}}",
        "{} {}",
        "{'userId':'x'}",
        r#"{"userId":1}"#,
        r#"{"userId":true}"#,
        r#"{"userId":["x"]}"#,
        r#"{"userId":{}}"#,
        r#"{"userId":"a","userId":"b"}"#,
        r#"{"userId":"a","user_id":"a"}"#,
        r#"{"userId":"\ud800"}"#,
        r#"{"userId":"a",}"#,
        r#"{"userId":"a" /* x */}"#,
        "\u{feff}{}",
        "{\"userId\":\"a\nb\"}",
    ] {
        invalid(&own(bad).await, bad);
    }
    for not_utf8 in
        [&b"{\"userId\":\"\xff\"}"[..], b"\xff", b"{\"\xc0\xaf\":1}", b"{\"x\":\"\xed\xa0\x80\"}"]
    {
        invalid(&get(&ada, not_utf8.to_vec()).send(app.address).await, &format!("{not_utf8:?}"));
    }
}

#[tokio::test]
async fn a_depth_that_would_end_the_stack_is_refused() {
    let (app, ada) = app_and_ada().await;
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}"), (r#"{"userId":"#, "}")] {
        for depth in [200, 100_000] {
            let bomb = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            invalid(&get(&ada, bomb.clone()).send(app.address).await, open);
            let unknown = format!(r#"{{"unknown":{bomb}}}"#);
            invalid(&get(&ada, unknown).send(app.address).await, open);
        }
    }
    assert_eq!(get(&ada, "{}").send(app.address).await.status, 200);
}

#[tokio::test]
async fn numbers_and_enums_are_read_as_proto3_says() {
    let (app, ada) = app_and_ada().await;
    let list = async |size: &str| {
        let text = format!(r#"{{"pageSize":{size}}}"#);
        let call = Call::post(&user("ListProfiles"), text).token(ada.token.as_deref());
        call.send(app.address).await
    };
    for good in ["1", "\"1\"", "1.0", "1e2", "null", "2147483647", "0", "-0"] {
        assert_eq!(list(good).await.status, 200, "{good}");
    }
    for bad in [
        "1.5",
        "2147483648",
        "-2147483649",
        "1e400",
        "\"\"",
        "\"x\"",
        "\"1 \"",
        "true",
        "[1]",
        "{}",
        "NaN",
        "\"NaN\"",
        "01",
        "+1",
        "0x1",
        "-1",
    ] {
        invalid(&list(bad).await, bad);
    }
    let to = |visibility: &str| {
        format!(r#"{{"profile":{{"visibility":{visibility}}},"updateMask":"visibility"}}"#)
    };
    for good in ["\"VISIBILITY_PUBLIC\"", "2"] {
        let answer = update(&app, &ada, &to(good)).await;
        assert_eq!(answer.json()["visibility"], "VISIBILITY_PUBLIC", "{good}");
    }
    for bad in ["\"PUBLIC\"", "\"visibility_public\"", "99", "1.5", "\"\"", "true", "[2]"] {
        invalid(&update(&app, &ada, &to(bad)).await, bad);
    }
}

#[tokio::test]
async fn a_field_mask_is_a_comma_list() {
    let (app, ada) = app_and_ada().await;
    let to = |mask: &Value| {
        let profile = json!({ "displayName": "Countess", "bio": "Counts.", "locale": "en" });
        json!({ "profile": profile, "updateMask": mask }).to_string()
    };
    let answer = update(&app, &ada, &to(&json!("displayName,bio"))).await.json();
    assert_eq!((&answer["displayName"], &answer["bio"]), (&json!("Countess"), &json!("Counts.")));
    assert_eq!(answer.get("locale"), None);
    let answer = update(&app, &ada, &to(&Value::Null)).await.json();
    assert_eq!(answer["locale"], "en");
    for bad in [
        json!("display_name"),
        json!("bio,"),
        json!(",bio"),
        json!("bio, locale"),
        json!("*"),
        json!(["bio"]),
        json!({ "paths": ["bio"] }),
        json!(1),
    ] {
        invalid(&update(&app, &ada, &to(&bad)).await, &bad.to_string());
    }
}

#[tokio::test]
async fn what_was_answered_can_be_sent_back() {
    let (app, ada) = app_and_ada().await;
    let mut read = get(&ada, "{}").send(app.address).await.json();
    let text = json!({ "profile": read }).to_string();
    let answer = update(&app, &ada, &text).await.json();
    for name in ["etag", "updateTime"] {
        assert_ne!(answer[name], read[name]);
        read[name] = answer[name].clone();
    }
    assert_eq!(answer, read);
}

#[tokio::test]
async fn the_deadline_of_a_call_in_json_is_in_milliseconds() {
    let (app, ada) = app_and_ada().await;
    let within = |millis: &str| get(&ada, "{}").header("connect-timeout-ms", millis);
    for good in ["1000", "60000", "9999999999"] {
        assert_eq!(within(good).send(app.address).await.status, 200, "{good}");
    }
    for malformed in ["", "x", "-1", "1.5", "1e3", "+1", "10000000000", "5s", "1,2"] {
        invalid(&within(malformed).send(app.address).await, malformed);
    }
    let told = within("0").send(app.address).await.told();
    assert_eq!((told.code, &*told.reason), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
}

#[tokio::test]
async fn what_is_compressed_or_streamed_is_not_spoken() {
    let (app, ada) = app_and_ada().await;
    for encoding in ["gzip", "br", "zstd", "x"] {
        let call = get(&ada, "{}").header("content-encoding", encoding);
        let told = call.send(app.address).await.told();
        assert_eq!((told.code, &*told.reason), (Code::Unimplemented, "UNIMPLEMENTED"));
    }
    let plain = get(&ada, "{}").header("content-encoding", "identity");
    assert_eq!(plain.send(app.address).await.status, 200);
    for version in [Version::Http1, Version::Http2] {
        let watch = Call::json("/grpc.health.v1.Health/Watch", &json!({})).over(version);
        assert_eq!(watch.send(app.address).await.told().code, Code::Unimplemented);
    }
}
