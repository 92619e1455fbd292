//! The issuer as clients and verifiers meet it: over its router, and again after a restart.

#![expect(clippy::unwrap_used, reason = "helpers of tests expect as tests do")]

mod update;
mod owner;
mod codes;
mod keys;
mod service_account;
mod services;

use std::{fs, os::unix::fs::PermissionsExt, thread, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode},
};
use clock::Clock;
use issuer::{Error, Issuer, Refusal};
use jsonwebtoken::{
    Algorithm, DecodingKey, Header, Validation, decode, decode_header, jwk::JwkSet,
};
use serde_json::{Map, Value, json};
use tower::ServiceExt;

const NOW: i64 = 1_800_000_000;
const SIGN_UP: &str = "/identitytoolkit.googleapis.com/v1/accounts:signUp?key=any";
const SIGN_IN: &str = "/identitytoolkit.googleapis.com/v1/accounts:signInWithPassword?key=any";
const LOOKUP: &str = "/identitytoolkit.googleapis.com/v1/accounts:lookup?key=any";
const TOKEN: &str = "/securetoken.googleapis.com/v1/token?key=any";

#[tokio::test]
async fn a_person_signs_up_in_and_refreshes() {
    let (issuer, clock) = issuer();
    let alice = json!({ "email": "Alice@Example.com", "password": "correct horse",
        "returnSecureToken": true });

    let (status, up) = post(&issuer, SIGN_UP, &alice).await;
    assert_eq!(status, StatusCode::OK, "{up}");
    assert_eq!(up["kind"], "identitytoolkit#SignupNewUserResponse");
    assert_eq!(up["email"], "alice@example.com");
    assert_eq!(up["expiresIn"], "3600");
    let user_id = text(&up["localId"]);
    assert_eq!(user_id.len(), 28);
    let expected = json!({
        "iss": "https://securetoken.google.com/demo",
        "aud": "demo",
        "auth_time": NOW,
        "iat": NOW,
        "exp": NOW + 3600,
        "user_id": user_id,
        "sub": user_id,
        "email": "alice@example.com",
        "email_verified": false,
        "firebase": {
            "identities": { "email": ["alice@example.com"] },
            "sign_in_provider": "password",
        },
    });
    assert_eq!(claims(&issuer, &up["idToken"]).await, expected);

    clock.advance(Duration::from_mins(1));
    let (status, signed_in) = post(&issuer, SIGN_IN, &alice).await;
    assert_eq!(status, StatusCode::OK, "{signed_in}");
    assert_eq!(signed_in["kind"], "identitytoolkit#VerifyPasswordResponse");
    assert_eq!(signed_in["localId"], up["localId"]);
    assert_eq!(signed_in["registered"], true);
    assert_eq!(claims(&issuer, &signed_in["idToken"]).await["auth_time"], NOW + 60);

    clock.advance(Duration::from_hours(2));
    for refresh_token in [text(&up["refreshToken"]), text(&signed_in["refreshToken"])] {
        let form = format!("grant_type=refresh_token&refresh_token={refresh_token}");
        let (status, refreshed) = post_form(&issuer, TOKEN, form).await;
        assert_eq!(status, StatusCode::OK, "{refreshed}");
        assert_eq!(refreshed["refresh_token"], refresh_token);
        assert_eq!(refreshed["access_token"], refreshed["id_token"]);
        assert_eq!(refreshed["token_type"], "Bearer");
        assert_eq!(refreshed["expires_in"], "3600");
        assert_eq!(refreshed["user_id"], user_id);
        assert_eq!(refreshed["project_id"], "demo");
        let claims = claims(&issuer, &refreshed["id_token"]).await;
        assert_eq!(claims["iat"], NOW + 7260);
        // Refreshing is not signing in.
        assert!(claims["auth_time"].as_i64().unwrap() <= NOW + 60);
    }
    let json = json!({ "grant_type": "refresh_token", "refresh_token": up["refreshToken"] });
    let (status, refreshed) = post(&issuer, "/v1/token", &json).await;
    assert_eq!((status, &refreshed["user_id"]), (StatusCode::OK, &up["localId"]));
}

#[tokio::test]
async fn an_anonymous_person_needs_nothing() {
    let (issuer, _) = issuer();
    let (status, up) =
        post(&issuer, "/v1/accounts:signUp", &json!({ "returnSecureToken": true })).await;
    assert_eq!(status, StatusCode::OK, "{up}");
    assert_eq!(up.get("email"), None);
    let claims = claims(&issuer, &up["idToken"]).await;
    assert_eq!(claims["provider_id"], "anonymous");
    assert_eq!(claims["firebase"], json!({ "identities": {}, "sign_in_provider": "anonymous" }));
    assert_eq!(claims.get("email"), None);
    assert_eq!(claims.get("email_verified"), None);
}

#[tokio::test]
async fn what_is_wrong_is_said_in_googles_words() {
    let (issuer, _) = issuer();
    issuer.sign_up("alice@example.com", "correct horse").unwrap();
    let weak = "WEAK_PASSWORD : Password should be at least 6 characters";
    let cases = [
        (SIGN_UP, json!({ "email": "ALICE@example.com", "password": "123456" }), "EMAIL_EXISTS"),
        // Whether there is one comes before what is wrong with the password.
        (SIGN_UP, json!({ "email": "ALICE@example.com", "password": "123" }), "EMAIL_EXISTS"),
        (SIGN_UP, json!({ "email": "alice", "password": "123456" }), "INVALID_EMAIL"),
        (SIGN_UP, json!({ "email": "", "password": "" }), "INVALID_EMAIL"),
        (SIGN_UP, json!({ "email": "bob@example.com" }), "MISSING_PASSWORD"),
        (SIGN_UP, json!({ "email": "bob@example.com", "password": "12345" }), weak),
        (SIGN_UP, json!({ "password": "123456" }), "MISSING_EMAIL"),
        (SIGN_UP, json!({ "localId": "root" }), "OPERATION_NOT_ALLOWED"),
        (SIGN_IN, json!({ "password": "123456" }), "MISSING_EMAIL"),
        (SIGN_IN, json!({ "email": "x", "password": "123456" }), "INVALID_EMAIL"),
        (SIGN_IN, json!({ "email": "alice@example.com" }), "MISSING_PASSWORD"),
        (
            SIGN_IN,
            json!({ "email": "alice@example.com", "password": "wrong horse" }),
            "INVALID_LOGIN_CREDENTIALS",
        ),
        (
            SIGN_IN,
            json!({ "email": "bob@example.com", "password": "correct horse" }),
            "INVALID_LOGIN_CREDENTIALS",
        ),
        (TOKEN, json!({}), "MISSING_GRANT_TYPE"),
        (TOKEN, json!({ "grant_type": "password" }), "INVALID_GRANT_TYPE"),
        (TOKEN, json!({ "grantType": "refresh_token" }), "MISSING_REFRESH_TOKEN"),
        (
            TOKEN,
            json!({ "grant_type": "refresh_token", "refresh_token": "made up" }),
            "INVALID_REFRESH_TOKEN",
        ),
        (LOOKUP, json!({}), "MISSING_ID_TOKEN"),
        (LOOKUP, json!({ "idToken": "a.b.c" }), "INVALID_ID_TOKEN"),
    ];
    for (path, body, message) in cases {
        let (status, answer) = post(&issuer, path, &body).await;
        let errors = json!([{ "message": message, "domain": "global", "reason": "invalid" }]);
        let error = json!({ "code": 400, "message": message, "errors": errors });
        assert_eq!((status, answer), (StatusCode::BAD_REQUEST, json!({ "error": error })));
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_an_invalid_argument() {
    let (issuer, _) = issuer();
    for body in ["{", "[]", "{\"email\": 5}", "\u{fffd}"] {
        let (status, answer) = send(&issuer, post_request(SIGN_UP, JSON, body)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {answer}");
        assert_eq!(answer["error"]["status"], "INVALID_ARGUMENT", "{body}");
    }
    let (status, answer) = send(&issuer, post_request(SIGN_UP, JSON, &"x".repeat(65_537))).await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!(413)));
    let (status, answer) = send(&issuer, get_request(SIGN_UP)).await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::METHOD_NOT_ALLOWED, &json!(405)));
    let (status, answer) = send(&issuer, get_request("/v1/tenants")).await;
    assert_eq!((status, &answer["error"]["status"]), (StatusCode::NOT_FOUND, &json!("NOT_FOUND")));
}

#[tokio::test]
async fn a_person_is_looked_up_by_a_good_token_alone() {
    let (issuer, clock) = issuer();
    let alice = issuer.sign_up("alice@example.com", "correct horse").unwrap();
    let (status, answer) = post(&issuer, LOOKUP, &json!({ "idToken": alice.id_token })).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["users"][0]["localId"], json!(alice.user_id));
    assert_eq!(answer["users"][0]["email"], "alice@example.com");
    assert_eq!(answer["users"][0]["createdAt"], (NOW * 1000).to_string());
    assert!(!answer.to_string().contains("hash"), "{answer}");

    let (other, _) = crate::issuer();
    let others = other.id_token(&alice.user_id, &Map::new());
    let nobodys = issuer.id_token("nobody", &Map::new());
    for (token, message) in [(others, "INVALID_ID_TOKEN"), (nobodys, "USER_NOT_FOUND")] {
        let (_, answer) = post(&issuer, LOOKUP, &json!({ "idToken": token })).await;
        assert_eq!(answer["error"]["message"], message);
    }
    clock.advance(Duration::from_hours(1));
    let (_, answer) = post(&issuer, LOOKUP, &json!({ "idToken": alice.id_token })).await;
    assert_eq!(answer["error"]["message"], "TOKEN_EXPIRED");
}

#[tokio::test]
async fn whoever_is_revoked_or_disabled_refreshes_no_more() {
    let (issuer, _) = issuer();
    let alice = issuer.sign_up("alice@example.com", "correct horse").unwrap();
    issuer.revoke(&alice.user_id).unwrap();
    assert_eq!(refusal(issuer.refresh(&alice.refresh_token)), Refusal::TokenExpired);
    let again = issuer.sign_in("alice@example.com", "correct horse").unwrap();
    assert!(issuer.refresh(&again.refresh_token).is_ok());

    issuer.disable(&alice.user_id).unwrap();
    assert_eq!(refusal(issuer.refresh(&again.refresh_token)), Refusal::UserDisabled);
    let signed_in = issuer.sign_in("alice@example.com", "correct horse");
    assert_eq!(refusal(signed_in), Refusal::UserDisabled);
    assert_eq!(refusal(issuer.revoke("nobody")), Refusal::UserNotFound);
}

#[tokio::test]
async fn everything_outlives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("new/issuer");
    let clock = Clock::at(NOW);
    let first = Issuer::open(&dir, "demo", clock.clone()).unwrap();
    let alice = first.sign_up("alice@example.com", "correct horse").unwrap();
    let kid = first.kid();
    drop(first);

    let file = dir.join("issuer.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing temporary is left");
    let kept = fs::read_to_string(&file).unwrap();
    assert!(!kept.contains("correct horse") && !kept.contains(&alice.refresh_token));

    let second = Issuer::open(&dir, "demo", clock).unwrap();
    assert_eq!(second.kid(), kid);
    claims(&second, &json!(alice.id_token)).await;
    assert_eq!(second.refresh(&alice.refresh_token).unwrap().user_id, alice.user_id);
    let again = second.sign_in("alice@example.com", "correct horse").unwrap();
    assert_eq!(again.user_id, alice.user_id);

    fs::write(&file, "{\"key\": \"\"}").unwrap();
    let error = Issuer::open(&dir, "demo", Clock::at(NOW)).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn an_account_that_cannot_be_kept_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("issuer");
    let issuer = Issuer::open(&kept, "demo", Clock::at(NOW)).unwrap();
    fs::remove_dir_all(&kept).unwrap();
    fs::write(&kept, "in the way").unwrap();
    let body = json!({ "email": "alice@example.com", "password": "correct horse" });
    let (status, answer) = post(&issuer, SIGN_UP, &body).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{answer}");

    fs::remove_file(&kept).unwrap();
    let (status, answer) = post(&issuer, SIGN_UP, &body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

#[test]
fn one_address_is_one_account_however_many_ask() {
    let (issuer, _) = issuer();
    let asked = (0..8).map(|_| {
        let issuer = issuer.clone();
        thread::spawn(move || issuer.sign_up("alice@example.com", "correct horse"))
    });
    let asked: Vec<_> = asked.collect();
    let answers: Vec<_> = asked.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let refused = answers.into_iter().filter(Result::is_err).map(refusal);
    assert!(refused.into_iter().all(|refusal| refusal == Refusal::EmailExists));
}

#[tokio::test]
async fn tokens_are_made_to_order() {
    let (issuer, _) = issuer();
    let custom = json!({ "admin": true, "sub": "somebody else", "email": "a@b" });
    let token = issuer.id_token("a uid", custom.as_object().unwrap());
    let claims = claims(&issuer, &json!(token)).await;
    assert_eq!((&claims["sub"], &claims["admin"]), (&json!("a uid"), &json!(true)));
    assert_eq!(claims["firebase"]["sign_in_provider"], "custom");

    let header = Header { kid: Some("no such key".into()), ..Header::new(Algorithm::HS256) };
    let forged = issuer.sign(&header, &json!({ "anything": "at all" }));
    let header = decode_header(&forged).unwrap();
    assert_eq!((header.alg, header.kid.as_deref()), (Algorithm::HS256, Some("no such key")));
}

#[tokio::test]
async fn the_keys_may_be_cached_for_an_hour() {
    let (issuer, _) = issuer();
    let response = issuer.router().oneshot(get_request(Issuer::key_path())).await.unwrap();
    assert_eq!(response.headers()["cache-control"], "public, max-age=3600, must-revalidate");
    let keys: Value = json_of(response.into_body()).await;
    let key = &keys["keys"][0];
    assert_eq!(
        (&key["kty"], &key["alg"], &key["use"], &key["kid"], &key["e"]),
        (&json!("RSA"), &json!("RS256"), &json!("sig"), &json!(issuer.kid()), &json!("AQAB"))
    );
    assert!(!keys.to_string().contains("\"d\""));
}

#[tokio::test]
async fn any_page_may_call() {
    let (issuer, _) = issuer();
    let preflight = Request::builder()
        .method(Method::OPTIONS)
        .uri(SIGN_UP)
        .header("origin", "http://localhost:3000")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type,x-client-version");
    let response = issuer.router().oneshot(preflight.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let header = |headers: &HeaderMap, name: &str| headers[name].to_str().unwrap().to_owned();
    let headers = response.headers();
    assert_eq!(header(headers, "access-control-allow-origin"), "*");
    assert!(header(headers, "access-control-allow-methods").contains("POST"));
    assert_eq!(header(headers, "access-control-allow-headers"), "content-type,x-client-version");

    let failed = issuer.router().oneshot(post_request(SIGN_IN, JSON, "{")).await.unwrap();
    assert_eq!(header(failed.headers(), "access-control-allow-origin"), "*");
}

#[test]
fn nothing_secret_is_in_debug() {
    let (issuer, _) = issuer();
    let session = issuer.sign_up("alice@example.com", "correct horse").unwrap();
    let shown = format!("{issuer:?} {session:?}");
    assert!(shown.contains(&session.user_id) && shown.contains(&issuer.kid()));
    assert!(!shown.contains(&session.id_token) && !shown.contains(&session.refresh_token));
}

// === helpers ===

const JSON: &str = "application/json";

fn issuer() -> (Issuer, Clock) {
    let clock = Clock::at(NOW);
    (Issuer::in_memory("demo", clock.clone()).unwrap(), clock)
}

/// What a token says, once it is verified as a service would: by the key set that is served.
async fn claims(issuer: &Issuer, token: &Value) -> Value {
    let router: Router = issuer.router();
    let response = router.oneshot(get_request(Issuer::key_path())).await.unwrap();
    let keys: JwkSet = serde_json::from_value(json_of(response.into_body()).await).unwrap();
    let header = decode_header(text(token)).unwrap();
    assert_eq!((header.alg, header.typ.as_deref()), (Algorithm::RS256, Some("JWT")));
    let key = DecodingKey::from_jwk(keys.find(&header.kid.unwrap()).unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&["demo"]);
    validation.set_issuer(&[issuer.issuer_url()]);
    // It would look at the machine's clock, not at ours.
    validation.validate_exp = false;
    decode(text(token), &key, &validation).unwrap().claims
}

async fn post(issuer: &Issuer, path: &str, body: &Value) -> (StatusCode, Value) {
    send(issuer, post_request(path, JSON, &body.to_string())).await
}

async fn post_form(issuer: &Issuer, path: &str, body: String) -> (StatusCode, Value) {
    send(issuer, post_request(path, "application/x-www-form-urlencoded", &body)).await
}

fn post_request(path: &str, content_type: &str, body: &str) -> Request<Body> {
    let request = Request::post(path).header("content-type", content_type);
    request.body(Body::from(body.to_owned())).unwrap()
}

fn get_request(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

async fn send(issuer: &Issuer, request: Request<Body>) -> (StatusCode, Value) {
    let response = issuer.router().oneshot(request).await.unwrap();
    (response.status(), json_of(response.into_body()).await)
}

async fn json_of(body: Body) -> Value {
    serde_json::from_slice(&to_bytes(body, 1 << 20).await.unwrap()).unwrap()
}

fn unverified(token: &str) -> Value {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, Error>) -> Refusal {
    match answer {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("{other:?} is no refusal"),
    }
}
