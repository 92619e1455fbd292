//! Old clients against today's functions: what they send is taken, what they get they can read.

use prost_reflect::{DynamicMessage, prost::Message};
use serde_json::{Value, json};
use tests::App;
use tonic::Code;

use super::contract::{Contract, difference, filled};
use crate::wire::raw::{Answer, Call, framed};

/// What a client does on its first day, with what it may expect.
fn session() -> Vec<(&'static str, Value, Code)> {
    let profile =
        json!({ "handle": "ada", "display_name": "Ada", "visibility": "VISIBILITY_PUBLIC" });
    let bio = json!({ "profile": { "bio": "Counts." }, "update_mask": { "paths": ["bio"] } });
    vec![
        ("GetProfile", json!({}), Code::NotFound),
        ("CreateProfile", json!({ "profile": { "handle": "a" } }), Code::InvalidArgument),
        ("CreateProfile", json!({ "profile": profile }), Code::Ok),
        ("CreateProfile", json!({ "profile": profile }), Code::AlreadyExists),
        ("GetProfile", json!({}), Code::Ok),
        ("GetProfile", json!({ "user_id": "ada-uid" }), Code::Ok),
        ("UpdateProfile", bio, Code::Ok),
        ("UpdateProfile", json!({ "profile": { "etag": "x" } }), Code::FailedPrecondition),
        ("BatchGetProfiles", json!({ "user_ids": ["ada-uid", "nobody"] }), Code::Ok),
        ("ListProfiles", json!({ "page_size": 1, "handle_prefix": "A" }), Code::Ok),
        ("WatchProfiles", json!({ "user_ids": ["ada-uid"] }), Code::DeadlineExceeded),
        ("DeleteProfile", json!({}), Code::Ok),
        ("GetProfile", json!({}), Code::NotFound),
    ]
}

/// The messages of an answer's body.
fn messages(mut body: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while let Some(([_flag, length @ ..], rest)) = body.split_first_chunk::<5>() {
        let length = u32::from_be_bytes(*length).try_into().unwrap();
        messages.push(&rest[..length]);
        body = &rest[length..];
    }
    messages
}

#[tokio::test]
async fn a_client_of_any_release_goes_on_calling() {
    let (releases, today) = (Contract::released(), Contract::today());
    assert!(!releases.is_empty());
    for old in &releases {
        let app = App::start().await;
        let ada = app.person("ada-uid");
        for method in old.methods() {
            let is_called = session().iter().any(|(name, ..)| *name == method.name());
            assert!(is_called, "{} of {} is in no session", method.name(), old.name);
        }
        for (number, (name, request, code)) in session().into_iter().enumerate() {
            let Some(method) = old.methods().into_iter().find(|method| method.name() == name)
            else {
                continue;
            };
            let path = format!("/{}/{name}", method.parent_service().full_name());
            let request = filled(&method.input(), &request).encode_to_vec();
            let call = Call::grpc(&path, framed(0, &request)).token(ada.token.as_deref());
            let call = call.key(&format!("key-{number}"));
            let call =
                if method.is_server_streaming() { call.header("grpc-timeout", "1S") } else { call };
            let answer: Answer = call.send(app.address).await;

            assert_eq!(answer.grpc_status().code(), code, "{name} of {}: {answer:?}", old.name);
            if code != Code::Ok && !method.is_server_streaming() {
                assert_eq!(answer.told().code, code);
                continue;
            }
            let new = today.message(method.output().full_name()).unwrap_or_else(|| method.output());
            let messages = messages(&answer.body);
            assert!(!messages.is_empty(), "{name}");
            for bytes in messages {
                let old = DynamicMessage::decode(method.output(), bytes).unwrap();
                let new = DynamicMessage::decode(new.clone(), bytes).unwrap();
                assert_eq!(difference(&old, &new), None, "{name}");
            }
        }
    }
}

#[tokio::test]
async fn a_client_of_a_next_version_is_answered_as_far_as_we_know() {
    let (app, next) = (App::start().await, Contract::next());
    let ada = app.person("ada-uid");
    let send = async |name: &str, request: Value| {
        let method = next.methods().into_iter().find(|method| method.name() == name).unwrap();
        let path = format!("/{}/{name}", method.parent_service().full_name());
        let frame = framed(0, &filled(&method.input(), &request).encode_to_vec());
        let call = Call::grpc(&path, frame).token(ada.token.as_deref()).key(name);
        call.send(app.address).await
    };
    let profile = json!({ "handle": "ada", "display_name": "Ada", "pronouns": "she" });

    let created = send("CreateProfile", json!({ "profile": profile })).await;
    assert_eq!(created.grpc_status().code(), Code::Ok, "a field that is not known is passed over");

    let friends = json!({ "profile": { "visibility": "VISIBILITY_FRIENDS" } });
    let told = send("UpdateProfile", friends).await.told();
    assert_eq!(
        (told.code, &*told.fields),
        (Code::InvalidArgument, &["profile.visibility".to_owned()][..])
    );

    let praised = send("PraiseProfile", json!({ "user_id": "ada-uid" })).await;
    assert_eq!(praised.told().code, Code::Unimplemented);
}
