//! What goes over the wire, seen by clients with nothing of ours in them.

pub(crate) mod raw;
mod errors;
mod json;
mod frames;
mod operators;
mod pages;
mod unsent;
mod panics;

use std::net::SocketAddr;

use prost::Message;
use proto::user::v1::{CreateProfileRequest, GetProfileRequest, Profile};
use serde_json::Value;
use tests::{App, Person};

use raw::{Answer, Call, Version, frame, user};

/// An app with one person who has a profile, private and called Ada.
async fn app_and_ada() -> (App, Person) {
    app_and_ada_with(&[]).await
}

async fn app_and_ada_with(settings: &[(&str, &str)]) -> (App, Person) {
    let app = App::builder();
    let app = settings.iter().fold(app, |app, (name, value)| app.with(name, *value));
    let app = app.start().await;
    let ada = app.person("ada-uid");
    let profile =
        Profile { handle: "Ada".into(), display_name: "Ada".into(), ..Default::default() };
    let request = tests::keyed(CreateProfileRequest { profile: Some(profile) });
    ada.user().create_profile(request).await.unwrap();
    (app, ada)
}

/// Ada's own profile, asked for in frames that are given.
fn get(ada: &Person, frames: Vec<u8>) -> Call {
    Call::grpc(&user("GetProfile"), frames).token(ada.token.as_deref())
}

/// Ada's own profile, asked for as it should be.
fn get_own(ada: &Person) -> Call {
    get(ada, frame(&GetProfileRequest::default()))
}

/// A method of the `user` function, called by Ada in JSON.
fn call_json(ada: &Person, method: &str, message: &Value) -> Call {
    Call::json(&user(method), message).token(ada.token.as_deref())
}

/// The same call over both protocols: gRPC, then JSON over either version of HTTP.
fn both(method: &str, message: &impl Message, in_json: &Value) -> [Call; 3] {
    let in_json = Call::json(&user(method), in_json);
    let over_http2 = in_json.clone().over(Version::Http2);
    [Call::grpc(&user(method), frame(message)), in_json, over_http2]
}

/// Asks again until the answer is as it should be, for a few seconds.
async fn eventually<T, F>(
    mut ask: impl FnMut() -> F + Send,
    is_good: impl Fn(&T) -> bool + Send + Sync,
) -> T
where
    T: Send,
    F: Future<Output = T> + Send,
{
    let patience = std::time::Duration::from_secs(10);
    let asking = async {
        loop {
            let answer = ask().await;
            if is_good(&answer) {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(patience, asking).await.expect("it never came to that")
}

async fn send_all(address: SocketAddr, calls: [Call; 3]) -> [Answer; 3] {
    let [first, second, third] = calls;
    [first.send(address).await, second.send(address).await, third.send(address).await]
}
