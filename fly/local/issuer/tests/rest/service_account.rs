//! A service account, as Google's own clients use one: an assertion for an access token, and that for
//! whatever an administrator may ask.

use jsonwebtoken::{EncodingKey, encode};

use super::*;

const ADMINISTER: &str = "/identitytoolkit.googleapis.com/v1/projects/demo/accounts:lookup";
const HOST: &str = "127.0.0.1:9099";
const SCOPE: &str = "https://www.googleapis.com/auth/identitytoolkit";

/// The account's key file.
fn file(issuer: &Issuer) -> Value {
    serde_json::from_str(&issuer.service_account(&format!("http://{HOST}/")).unwrap()).unwrap()
}

fn good(file: &Value) -> Value {
    json!({ "iss": file["client_email"], "scope": SCOPE, "aud": file["token_uri"],
        "iat": NOW, "exp": NOW + 3600 })
}

fn signed(file: &Value, claims: &Value) -> String {
    let key = EncodingKey::from_rsa_pem(text(&file["private_key"]).as_bytes()).unwrap();
    encode(&Header::new(Algorithm::RS256), claims, &key).unwrap()
}

async fn exchange(issuer: &Issuer, grant_type: &str, assertion: &str) -> (StatusCode, Value) {
    let grant_type = grant_type.replace(':', "%3A");
    let body = format!("grant_type={grant_type}&assertion={assertion}");
    let mut request = post_request("/token", "application/x-www-form-urlencoded", &body);
    request.headers_mut().insert("host", HOST.parse().unwrap());
    send(issuer, request).await
}

async fn by_jwt(issuer: &Issuer, assertion: &str) -> (StatusCode, Value) {
    exchange(issuer, "urn:ietf:params:oauth:grant-type:jwt-bearer", assertion).await
}

async fn administer(issuer: &Issuer, token: &str) -> StatusCode {
    let request = Request::post(ADMINISTER).header("authorization", format!("Bearer {token}"));
    let body = Body::from(json!({ "localId": ["nobody"] }).to_string());
    send(issuer, request.body(body).unwrap()).await.0
}

#[tokio::test]
async fn an_assertion_is_exchanged_for_an_hour_as_an_administrator() {
    let (issuer, clock) = issuer();
    let file = file(&issuer);
    assert_eq!((text(&file["type"]), text(&file["project_id"])), ("service_account", "demo"));
    assert_eq!(file, self::file(&issuer), "one account, however often it is asked for");

    let (status, answer) = by_jwt(&issuer, &signed(&file, &good(&file))).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("Bearer"), &json!(3600)));
    let token = text(&answer["access_token"]).to_owned();
    assert_eq!(administer(&issuer, &token).await, StatusCode::OK);
    clock.advance(Duration::from_hours(1));
    assert_eq!(administer(&issuer, &token).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_assertion_that_is_not_the_accounts_or_not_for_here_and_now_is_none() {
    let (issuer, _clock) = issuer();
    let (other, _clock) = self::issuer();
    let (account, others) = (file(&issuer), file(&other));
    let mut bad = vec![
        "x".to_owned(),
        signed(&others, &good(&account)),
        issuer.sign(&Header::new(Algorithm::RS256), &good(&account)),
    ];
    for (name, value) in [
        ("iss", json!("eve@demo.iam.gserviceaccount.com")),
        ("sub", json!("ada@example.com")),
        ("aud", json!("https://oauth2.googleapis.com/token")),
        ("scope", json!("https://www.googleapis.com/auth/drive")),
        ("scope", json!(null)),
        ("iat", json!(NOW + 31)),
        ("iat", json!(null)),
        ("exp", json!(NOW)),
        ("exp", json!(NOW + 3601)),
    ] {
        let mut claims = good(&account);
        claims[name] = value;
        bad.push(signed(&account, &claims));
    }
    for assertion in bad {
        let (status, answer) = by_jwt(&issuer, &assertion).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        assert_eq!(answer["error"], "invalid_grant", "{answer}");
        assert!(answer["error_description"].is_string(), "{answer}");
    }
    let (_, answer) = exchange(&issuer, "password", &signed(&account, &good(&account))).await;
    assert_eq!(answer["error"], "unsupported_grant_type");
    assert_eq!(administer(&issuer, "x").await, StatusCode::UNAUTHORIZED);
    // An assertion is no access token, and neither is an ID token.
    let assertion = signed(&account, &good(&account));
    assert_eq!(administer(&issuer, &assertion).await, StatusCode::UNAUTHORIZED);
    let alice = issuer.sign_up("alice@example.com", "correct horse").unwrap();
    assert_eq!(administer(&issuer, &alice.id_token).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_account_is_kept_with_the_accounts_of_people() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Issuer::open(dir.path(), "demo", Clock::at(NOW)).unwrap();
    let made = file(&open());
    assert_eq!(file(&open()), made);
}
