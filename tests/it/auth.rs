//! Signing in and out through the `auth` function, its whole stack and the local issuer.

pub(crate) mod accounts;
mod administrator;
mod attempts;
mod audit;
mod ends;
mod firebase;
mod leavers;
pub(crate) mod front;
mod keys;
mod machines;
mod oracles;
mod plans;
mod roles;
mod sessions;
mod standing;
mod throttles;
mod tokens;

use prost::Message;
use proto::auth::v1::{SignInRequest, SignInResponse, Tokens};
use serde_json::{Map, json};
use tests::{App, Person, told, world};
use tonic::{Code, Response, Status};

use crate::wire::raw::{Call, frame};

const PASSWORD: &str = "correct horse";

/// An address that no other test has, with an account.
fn account() -> String {
    let email = address();
    world().issuer.sign_up(&email, PASSWORD).unwrap();
    email
}

/// An address that no other test has.
fn address() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};

    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("person-{}@example.com", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn sign_in(email: &str, password: &str) -> SignInRequest {
    SignInRequest {
        email: email.to_owned(),
        password: password.to_owned(),
        device_name: "Ada's phone".to_owned(),
    }
}

/// Tries to sign in.
async fn tries(app: &App, email: &str, password: &str) -> Result<SignInResponse, Status> {
    let request = sign_in(email, password);
    app.stranger(None).auth().sign_in(request).await.map(Response::into_inner)
}

/// Signs in, and calls as whoever it is from then on.
async fn signed_in(app: &App, email: &str) -> (Person, Tokens) {
    let tokens = tries(app, email, PASSWORD).await.unwrap().tokens.unwrap();
    (app.stranger(Some(&tokens.id_token)), tokens)
}

/// Somebody with this role.
fn with_role(app: &App, name: &str, role: &str) -> Person {
    let claims = Map::from_iter([("roles".to_owned(), json!([role]))]);
    app.stranger(Some(&world().issuer.id_token(name, &claims)))
}

/// A call whose client leaves all of its time to the server, and does not give up a moment before.
fn call(method: &str, message: &impl Message, timeout: &str) -> Call {
    let path = format!("/mayfly.auth.v1.AuthService/{method}");
    Call::grpc(&path, frame(message)).header("grpc-timeout", timeout)
}

/// What an error says, in short.
#[track_caller]
fn refusal<T: std::fmt::Debug>(outcome: Result<T, Status>) -> (Code, String) {
    let told = told(&outcome.unwrap_err());
    (told.code, told.reason)
}

fn unauthenticated(reason: &str) -> (Code, String) {
    (Code::Unauthenticated, reason.to_owned())
}
