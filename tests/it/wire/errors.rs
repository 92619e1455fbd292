//! An error is the same over every protocol, and has all that the contract says it has.

use std::{net::Ipv4Addr, time::Duration};

use proto::user::v1::{
    CreateProfileRequest, GetProfileRequest, ListProfilesRequest, Profile, UpdateProfileRequest,
};
use serde_json::{Value, json};
use tests::{App, Person, Told};
use tokio::net::TcpListener;
use tonic::Code;
use uuid::Uuid;

use super::{
    app_and_ada, app_and_ada_with, both, call_json, get_own,
    raw::{Answer, Call, Version, framed, user},
    send_all,
};

/// A call that fails, in every form, and what it fails with.
struct Case {
    calls: [Call; 3],
    code: Code,
    reason: &'static str,
    fields: &'static [&'static str],
    is_somebodys: bool,
}

impl Case {
    fn new(calls: [Call; 3], code: Code, reason: &'static str) -> Self {
        Self { calls, code, reason, fields: &[], is_somebodys: false }
    }

    fn invalid(calls: [Call; 3], fields: &'static [&'static str]) -> Self {
        Self { fields, ..Self::new(calls, Code::InvalidArgument, "INVALID_ARGUMENT") }
    }

    fn by(mut self, person: &Person) -> Self {
        self.calls = self.calls.map(|call| call.token(person.token.as_deref()));
        self.is_somebodys = true;
        self
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.calls = self.calls.map(|call| call.header(name, value));
        self
    }
}

fn create(profile: Profile, in_json: &Value) -> [Call; 3] {
    let request = CreateProfileRequest { profile: Some(profile) };
    both("CreateProfile", &request, &json!({ "profile": in_json })).map(|call| call.key("create"))
}

fn update(profile: Profile, mask: &[&str], in_json: &Value) -> [Call; 3] {
    let paths = mask.iter().map(ToString::to_string).collect();
    let update_mask = Some(prost_types::FieldMask { paths });
    let request = UpdateProfileRequest { profile: Some(profile), update_mask };
    let in_json = json!({ "profile": in_json, "updateMask": mask.join(",") });
    both("UpdateProfile", &request, &in_json).map(|call| call.key("update"))
}

fn named(handle: &str) -> Profile {
    Profile { handle: handle.into(), display_name: handle.into(), ..Default::default() }
}

fn in_json(handle: &str) -> Value {
    json!({ "handle": handle, "displayName": handle })
}

/// Calls that the request alone dooms.
fn refused(app: &App, ada: &Person) -> Vec<Case> {
    let get = |user_id: &str| {
        let request = GetProfileRequest { user_id: user_id.into() };
        both("GetProfile", &request, &json!({ "userId": user_id }))
    };
    let list = |page_size, page_token: &str| {
        let page_token = page_token.to_owned();
        let in_json = json!({ "pageSize": page_size, "pageToken": page_token });
        let request = ListProfilesRequest { page_size, page_token, ..Default::default() };
        both("ListProfiles", &request, &in_json)
    };
    let without_key =
        || create(named("bob"), &in_json("bob")).map(|c| c.without("idempotency-key"));
    let no_key = || Case {
        fields: &[""],
        ..Case::new(without_key(), Code::InvalidArgument, "IDEMPOTENCY_KEY_MISSING")
    };
    let etag = Profile { etag: "x".into(), bio: "b".into(), ..Default::default() };
    let reused = Profile { bio: "another".into(), ..Default::default() };
    let long = "x".repeat(129);
    let wrong = Profile { handle: "a".into(), bio: "b".repeat(501), ..Default::default() };
    let wrong_json = json!({ "handle": "a", "bio": "b".repeat(501) });
    let unknown = both("NoSuchMethod", &(), &json!({}));
    let mut cases = vec![
        Case::invalid(get(&long), &["user_id"]),
        Case::invalid(get("a\0b"), &["user_id"]),
        Case::invalid(list(-1, ""), &["page_size"]),
        Case::invalid(list(1, "not a token"), &["page_token"]),
        Case::invalid(create(wrong, &wrong_json), &["profile.handle", "profile.bio"]),
        Case::invalid(create(named("admin"), &in_json("admin")), &["profile.handle"]),
        Case::invalid(update(named("ada"), &["etag"], &in_json("ada")), &["update_mask"]),
        Case::new(get("nobody"), Code::NotFound, "NOT_FOUND"),
        Case::new(create(named("ada"), &in_json("ada")), Code::AlreadyExists, "PROFILE_EXISTS")
            .by(ada),
        Case::new(
            update(etag, &["bio"], &json!({ "etag": "x", "bio": "b" })),
            Code::FailedPrecondition,
            "ETAG_MISMATCH",
        )
        .by(ada),
        Case::new(
            update(reused, &["bio"], &json!({ "bio": "another" })),
            Code::FailedPrecondition,
            "IDEMPOTENCY_KEY_REUSED",
        )
        .with("idempotency-key", "used")
        .by(ada),
        Case::new(unknown, Code::Unimplemented, "UNIMPLEMENTED"),
        no_key(),
    ];
    for key in ["", "a b", "a/b", &"k".repeat(65)] {
        cases.push(no_key().with("idempotency-key", key));
    }
    // Whose call it is makes no difference to most: each is somebody else's.
    let anybody = |(n, case): (usize, Case)| {
        if case.is_somebodys { case } else { case.by(&app.person(&format!("uid-{n}"))) }
    };
    cases.into_iter().enumerate().map(anybody).collect()
}

/// Every answer of a failed call: the same told, in the same words.
fn compare(case: &Case, answers: &[Answer]) {
    let about = format!("{:?}", case.calls[1]);
    let fields: Vec<_> = case.fields.iter().map(ToString::to_string).collect();
    for answer in answers {
        let Told { code, reason, fields: told_fields, retry_delay } = answer.told();
        assert_eq!((code, &*reason), (case.code, case.reason), "{about}");
        assert_eq!(told_fields, fields, "{about}");
        assert_eq!(retry_delay, None, "{about}");
        for hint in ["retry-after", "grpc-retry-pushback-ms"] {
            assert!(!answer.failure().metadata().contains_key(hint), "{about}");
        }
        assert_eq!(answer.failure().message(), answers[0].failure().message(), "{about}");
        assert_eq!(answer.failure().details(), answers[0].failure().details(), "{about}");
    }
}

#[tokio::test]
async fn an_error_is_the_same_over_grpc_and_in_json() {
    let (app, ada) = app_and_ada().await;
    let bob = app.person("bob-uid");
    let first = call_json(&ada, "UpdateProfile", &json!({ "profile": { "bio": "one" } }));
    assert_eq!(first.key("used").send(app.address).await.status, 200);

    let taken = create(named("aDA"), &in_json("aDA"));
    let taken = Case::new(taken, Code::AlreadyExists, "HANDLE_TAKEN").by(&bob);
    let stranger = both("GetProfile", &GetProfileRequest::default(), &json!({}));
    let stranger = Case::new(stranger, Code::Unauthenticated, "TOKEN_MISSING");
    let badly = both("GetProfile", &GetProfileRequest::default(), &json!({}));
    let badly = Case::new(badly, Code::Unauthenticated, "TOKEN_INVALID")
        .with("authorization", "Bearer a.b.c");
    for case in refused(&app, &ada).into_iter().chain([taken, stranger, badly]) {
        let answers = send_all(app.address, case.calls.clone()).await;
        compare(&case, &answers);
    }
}

#[tokio::test]
async fn a_service_nobody_knows_is_unimplemented_with_details() {
    let (app, ada) = app_and_ada().await;
    let paths = [
        "/mayfly.user.v1.UserService/NoSuchMethod",
        "/mayfly.user.v1.UserService/getProfile",
        "/mayfly.user.v1.UserService/GetProfile/",
        "/mayfly.user.v1.UserService//GetProfile",
        "//mayfly.user.v1.UserService/GetProfile",
        "/mayfly.user.v1.UserService/%47etProfile",
        "/mayfly.user.v1.UserService/x/../GetProfile",
        "/mayfly.user.v1.UserService/",
        "/mayfly.user.v2.UserService/GetProfile",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/no.such.Service/NoSuchMethod",
        "/x",
        "/",
    ];
    for path in paths {
        for token in [ada.token.as_deref(), None] {
            let grpc = Call::grpc(path, framed(0, b"")).token(token);
            let json = Call::json(path, &json!({})).token(token);
            let over_http2 = json.clone().over(Version::Http2);
            for answer in send_all(app.address, [grpc, json, over_http2]).await {
                let told = answer.told();
                let told = (told.code, told.reason.as_str());
                assert_eq!(told, (Code::Unimplemented, "UNIMPLEMENTED"), "{path}");
            }
        }
    }
}

#[tokio::test]
async fn what_may_be_tried_again_says_when() {
    // Nobody listens on a port that was just let go.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let nowhere = listener.local_addr().unwrap();
    drop(listener);
    let keys = App::builder().with("JWKS_URL", format!("http://{nowhere}/keys")).start().await;
    let database = format!("postgres://nobody@{nowhere}/nothing");
    let database = App::builder().with("DATABASE_URL", database).start().await;
    for (app, reason, delay, seconds, millis) in [
        (&keys, "KEYS_UNAVAILABLE", Duration::from_secs(1), "1", "1000"),
        (&database, "DB_UNAVAILABLE", Duration::from_millis(500), "1", "500"),
    ] {
        let calls = both("GetProfile", &GetProfileRequest::default(), &json!({}));
        let token = app.person("ada-uid").token;
        let calls = calls.map(|call| call.token(token.as_deref()));
        for answer in send_all(app.address, calls).await {
            let told = answer.told();
            assert_eq!((told.code, &*told.reason), (Code::Unavailable, reason));
            assert_eq!(told.retry_delay, Some(delay));
            let failure = answer.failure();
            let metadata = failure.metadata();
            assert_eq!(metadata.get("retry-after").unwrap(), seconds, "{reason}");
            assert_eq!(metadata.get("grpc-retry-pushback-ms").unwrap(), millis, "{reason}");
        }
    }
}

#[tokio::test]
async fn a_request_id_that_is_a_uuid_comes_back_and_anything_else_is_replaced() {
    let (app, ada) = app_and_ada().await;
    let kept = ["3f2504e0-4f89-41d3-9a0c-0305e82c3301", "018f4e9e-6c1a-7d3e-8a55-0242ac120002"];
    let replaced = [
        "",
        "x",
        "3f2504e0-4f89-41d3-9a0c-0305e82c330",
        "3f2504e0-4f89-41d3-9a0c-0305e82c33011",
        "3f2504e04f8941d39a0c0305e82c3301",
        "{3f2504e0-4f89-41d3-9a0c-0305e82c3301}",
        "3f2504e0-4f89-41d3-9a0c-0305e82c330g",
        "\" or 1=1 --",
    ];
    let forms = [get_own(&ada), call_json(&ada, "GetProfile", &json!({}))];
    let failing = forms.clone().map(|call| call.without("authorization"));
    let others = [
        Call::grpc("/x/y", framed(0, b"")),
        Call::post(&user("GetProfile"), "{}").header("content-type", "text/plain"),
    ];
    for call in forms.into_iter().chain(failing).chain(others) {
        for sent in kept {
            let answer = call.clone().header("x-request-id", sent).send(app.address).await;
            assert_eq!(answer.header("x-request-id"), Some(sent), "{answer:?}");
        }
        for sent in replaced {
            let answer = call.clone().header("x-request-id", sent).send(app.address).await;
            let id = answer.header("x-request-id").unwrap();
            assert_ne!(id, sent);
            assert_eq!(Uuid::try_parse(id).unwrap().to_string(), id);
        }
    }
}

#[tokio::test]
async fn a_call_that_succeeds_has_its_request_id_in_headers_and_in_trailers() {
    let (app, ada) = app_and_ada().await;
    let answer = get_own(&ada).send(app.address).await;
    let in_headers = answer.header("x-request-id").unwrap();
    assert_eq!(answer.trailers.get("x-request-id").unwrap(), in_headers);
    assert_eq!(answer.trailers.get("grpc-status").unwrap(), "0");

    let two = [get_own(&ada).send(app.address).await, get_own(&ada).send(app.address).await];
    assert_ne!(two[0].header("x-request-id"), two[1].header("x-request-id"));
    for version in [Version::Http1, Version::Http2] {
        let call = call_json(&ada, "GetProfile", &json!({})).over(version);
        assert!(call.send(app.address).await.header("x-request-id").is_some());
    }
}

#[tokio::test]
async fn a_message_over_the_limit_is_too_large_in_every_form() {
    let (app, ada) = app_and_ada_with(&[("MAX_MESSAGE_BYTES", "1024")]).await;
    let request = |length| GetProfileRequest { user_id: "x".repeat(length) };
    let in_json = |length| json!({ "userId": "x".repeat(length) });
    let calls = both("GetProfile", &request(1200), &in_json(1200));
    let in_proto = prost::Message::encode_to_vec(&request(1200));
    let in_proto = Call::post(&user("GetProfile"), in_proto);
    let in_proto = in_proto.header("content-type", "application/proto");
    for call in calls.into_iter().chain([in_proto]) {
        let told = call.token(ada.token.as_deref()).send(app.address).await.told();
        assert_eq!((told.code, &*told.reason), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
        assert_eq!(told.retry_delay, None);
    }
    for call in both("GetProfile", &request(900), &in_json(900)) {
        let told = call.token(ada.token.as_deref()).send(app.address).await.told();
        assert_eq!(told.fields, ["user_id"]);
    }
}

#[tokio::test]
async fn a_message_far_over_the_limit_is_told_so_and_the_connection_is_not_cut() {
    let (app, ada) = app_and_ada().await;
    let message = json!({ "userId": "x".repeat(16 << 20) });
    for version in [Version::Http1, Version::Http2] {
        let call = call_json(&ada, "GetProfile", &message).over(version);
        let told = call.send(app.address).await.told();
        assert_eq!((told.code, &*told.reason), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
    }
}

#[tokio::test]
async fn every_field_that_breaks_a_rule_is_named() {
    let (app, ada) = app_and_ada().await;
    let wrong = Profile {
        handle: "1".into(),
        display_name: "d".repeat(81),
        bio: "b".repeat(501),
        locale: "l".repeat(36),
        avatar_file_id: "x".into(),
        visibility: 9,
        etag: "e".repeat(65),
        ..Default::default()
    };
    let request = CreateProfileRequest { profile: Some(wrong) };
    let call = Call::grpc(&user("CreateProfile"), super::frame(&request));
    let told = call.key("one").token(ada.token.as_deref()).send(app.address).await.told();
    assert_eq!(
        told.fields,
        [
            "profile.handle",
            "profile.display_name",
            "profile.bio",
            "profile.locale",
            "profile.avatar_file_id",
            "profile.visibility",
            "profile.etag",
        ]
    );
}
