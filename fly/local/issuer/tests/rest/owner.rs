//! What an administrator does, as firebase-admin asks for it.

use super::*;

const PROJECT: &str = "/identitytoolkit.googleapis.com/v1/projects/demo";
const EMULATOR: &str = "/emulator/v1/projects/demo";

#[tokio::test]
async fn custom_claims_are_in_the_next_token() {
    let (issuer, _) = issuer();
    let alice = issuer.sign_up("alice@example.com", "correct horse").unwrap();
    let attributes = json!({ "roles": ["admin"], "email": "eve@example.com" }).to_string();
    let body = json!({ "localId": alice.user_id, "customAttributes": attributes });
    let (status, answer) = owner(&issuer, "accounts:update", &body).await;
    assert_eq!((status, &answer["localId"]), (StatusCode::OK, &json!(alice.user_id)), "{answer}");
    let said =
        claims(&issuer, &json!(issuer.refresh(&alice.refresh_token).unwrap().id_token)).await;
    assert_eq!((&said["roles"], &said["email"]), (&json!(["admin"]), &json!("alice@example.com")));
    let (_, found) =
        owner(&issuer, "accounts:lookup", &json!({ "localId": [alice.user_id] })).await;
    let kept: Value = serde_json::from_str(text(&found["users"][0]["customAttributes"])).unwrap();
    assert_eq!(kept["roles"], json!(["admin"]));

    for (text, message) in [
        ("{\"aud\":1}", "FORBIDDEN_CLAIM : aud"),
        ("[]", "INVALID_CLAIMS"),
        (&format!("{{\"a\":\"{}\"}}", "x".repeat(1000)), "CLAIMS_TOO_LARGE"),
    ] {
        let body = json!({ "localId": alice.user_id, "customAttributes": text });
        let (_, answer) = owner(&issuer, "accounts:update", &body).await;
        assert_eq!(answer["error"]["message"], message);
    }
    let body = json!({ "localId": alice.user_id, "customAttributes": "{}" });
    owner(&issuer, "accounts:update", &body).await;
    let said =
        claims(&issuer, &json!(issuer.refresh(&alice.refresh_token).unwrap().id_token)).await;
    assert_eq!(said.get("roles"), None);
}

#[tokio::test]
async fn a_revocation_ends_what_was_granted_until_then() {
    let (issuer, clock) = issuer();
    let alice = issuer.sign_up("alice@example.com", "correct horse").unwrap();
    clock.advance(Duration::from_secs(5));
    let body = json!({ "localId": alice.user_id, "validSince": NOW + 5 });
    let (status, _) = owner(&issuer, "accounts:update", &body).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(refusal(issuer.refresh(&alice.refresh_token)), Refusal::TokenExpired);
    let (_, answer) = post(&issuer, LOOKUP, &json!({ "idToken": alice.id_token })).await;
    assert_eq!(answer["error"]["message"], "TOKEN_EXPIRED");
    let (_, found) = owner(&issuer, "accounts:lookup", &json!({ "localId": alice.user_id })).await;
    assert_eq!(found["users"][0]["validSince"], (NOW + 5).to_string());
    let again = issuer.sign_in("alice@example.com", "correct horse").unwrap();
    assert!(issuer.refresh(&again.refresh_token).is_ok());

    let body = json!({ "localId": alice.user_id, "validSince": "soon" });
    let (_, answer) = owner(&issuer, "accounts:update", &body).await;
    assert_eq!(answer["error"]["message"], "INVALID_VALID_SINCE");
}

#[tokio::test]
async fn whoever_is_disabled_is_out_until_they_are_enabled() {
    let (issuer, _) = issuer();
    let alice = issuer.sign_up("alice@example.com", "correct horse").unwrap();
    let body = json!({ "localId": alice.user_id, "disableUser": true });
    let (status, _) = owner(&issuer, "accounts:update", &body).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(refusal(issuer.refresh(&alice.refresh_token)), Refusal::UserDisabled);
    let (_, answer) = post(&issuer, LOOKUP, &json!({ "idToken": alice.id_token })).await;
    assert_eq!(answer["error"]["message"], "USER_DISABLED");
    let (_, found) = owner(&issuer, "accounts:lookup", &json!({ "localId": alice.user_id })).await;
    assert_eq!(found["users"][0]["disabled"], true);
    let body = json!({ "localId": alice.user_id, "disableUser": false });
    owner(&issuer, "accounts:update", &body).await;
    assert!(issuer.refresh(&alice.refresh_token).is_ok());
}

#[tokio::test]
async fn the_owner_makes_finds_lists_and_deletes_people() {
    let (issuer, _) = issuer();
    let bob = json!({ "localId": "bob", "email": "bob@example.com", "password": "correct horse",
        "displayName": "Bob", "emailVerified": true, "disabled": false });
    let (status, answer) = owner(&issuer, "accounts", &bob).await;
    assert_eq!((status, &answer["localId"]), (StatusCode::OK, &json!("bob")), "{answer}");
    let signed_in = issuer.sign_in("bob@example.com", "correct horse").unwrap();
    let said = claims(&issuer, &json!(signed_in.id_token)).await;
    assert_eq!((&said["sub"], &said["email_verified"]), (&json!("bob"), &json!(true)));
    let again = json!({ "localId": "bob" });
    let (_, answer) = owner(&issuer, "accounts", &again).await;
    assert_eq!(answer["error"]["message"], "DUPLICATE_LOCAL_ID");
    for name in ["ada", "cyd"] {
        owner(&issuer, "accounts", &json!({ "localId": name })).await;
    }

    let find = json!({ "email": ["BOB@example.com"], "localId": ["bob", "cyd", "nobody"] });
    let (_, found) = owner(&issuer, "accounts:lookup", &find).await;
    assert_eq!(ids(&found["users"]), ["bob", "cyd"]);
    let (status, found) =
        owner(&issuer, "accounts:lookup", &json!({ "localId": ["nobody"] })).await;
    assert_eq!((status, found.get("users")), (StatusCode::OK, None));

    let first = get_as_owner(&issuer, &format!("{PROJECT}/accounts:batchGet?maxResults=2")).await;
    assert_eq!(
        (ids(&first["users"]), &first["nextPageToken"]),
        (vec!["ada", "bob"], &json!("bob"))
    );
    let rest = format!("{PROJECT}/accounts:batchGet?maxResults=2&nextPageToken=bob");
    let rest = get_as_owner(&issuer, &rest).await;
    assert_eq!((ids(&rest["users"]), rest.get("nextPageToken")), (vec!["cyd"], None));
    let (_, counted) = owner(&issuer, "accounts:query", &json!({ "returnUserInfo": false })).await;
    assert_eq!(counted["recordsCount"], "3");
    let (_, found) = owner(&issuer, "accounts:query", &json!({ "offset": "1", "limit": 1 })).await;
    assert_eq!(ids(&found["userInfo"]), ["bob"]);

    let (status, _) = owner(&issuer, "accounts:delete", &json!({ "localId": "ada" })).await;
    assert_eq!(status, StatusCode::OK);
    let (_, answer) = owner(&issuer, "accounts:delete", &json!({ "localId": "ada" })).await;
    assert_eq!(answer["error"]["message"], "USER_NOT_FOUND");
    let body = json!({ "localIds": ["ada", "bob"], "force": false });
    let (_, answer) = owner(&issuer, "accounts:batchDelete", &body).await;
    assert_eq!(
        (&answer["errors"][0]["index"], issuer.sign_in("bob@example.com", "correct horse").is_ok()),
        (&json!(1), true)
    );
    let body = json!({ "localIds": ["ada", "bob"], "force": true });
    let (_, answer) = owner(&issuer, "accounts:batchDelete", &body).await;
    assert_eq!(answer.get("errors"), None);
    let request = as_owner(Request::delete(format!("{EMULATOR}/accounts")));
    let (status, _) = send(&issuer, request.body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    let (_, counted) = owner(&issuer, "accounts:query", &json!({ "returnUserInfo": false })).await;
    assert_eq!(counted["recordsCount"], "0");
}

#[tokio::test]
async fn the_owner_is_nobody_else_and_of_one_project() {
    let (issuer, _) = issuer();
    let alice = issuer.sign_up("alice@example.com", "correct horse").unwrap();
    let paths = [
        format!("{PROJECT}/accounts"),
        format!("{PROJECT}/accounts:lookup"),
        format!("{PROJECT}/accounts:update"),
        format!("{PROJECT}/accounts:delete"),
        format!("{PROJECT}/accounts:query"),
        format!("{PROJECT}/accounts:batchDelete"),
        format!("{PROJECT}/accounts:sendOobCode"),
        format!("{EMULATOR}/keys:rotate"),
    ];
    let body = json!({ "localId": alice.user_id, "idToken": alice.id_token }).to_string();
    for path in paths {
        for shown in [
            None,
            Some("Bearer"),
            Some("Bearer Owner"),
            Some(&*format!("Bearer {}", alice.id_token)),
        ] {
            let mut request = post_request(&path, JSON, &body);
            if let Some(shown) = shown {
                request.headers_mut().insert("authorization", shown.parse().unwrap());
            }
            let (status, answer) = send(&issuer, request).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path} {shown:?} {answer}");
            assert_eq!(answer["error"]["status"], "UNAUTHENTICATED");
        }
    }
    let request = as_owner(Request::post("/v1/projects/another/accounts:lookup"));
    let (_, answer) = send(&issuer, request.body(Body::from(body)).unwrap()).await;
    assert_eq!(answer["error"]["message"], "PROJECT_NOT_FOUND");
    assert!(issuer.refresh(&alice.refresh_token).is_ok());
}

#[tokio::test]
async fn a_page_from_elsewhere_is_never_the_owner() {
    let (issuer, _) = issuer();
    let path = format!("{PROJECT}/accounts:batchGet");
    let asked = async |origin: &str| {
        let request = as_owner(Request::get(&path)).header("origin", origin);
        send(&issuer, request.body(Body::empty()).unwrap()).await.0
    };
    for own in ["http://localhost:3000", "http://127.0.0.1", "http://[::1]:8000"] {
        assert_eq!(asked(own).await, StatusCode::OK, "{own}");
    }
    for foreign in
        ["null", "https://example.com", "http://localhost.example.com", "http://10.0.0.1"]
    {
        assert_eq!(asked(foreign).await, StatusCode::UNAUTHORIZED, "{foreign}");
    }
}

#[tokio::test]
async fn a_custom_token_signs_in_whoever_it_names() {
    let (issuer, _) = issuer();
    let audience =
        "https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit";
    let custom = |claims: Value| issuer.sign(&Header::new(Algorithm::RS256), &claims);
    let good =
        json!({ "aud": audience, "exp": NOW + 60, "uid": "u1", "claims": { "plan": "pro" } });
    let path = "/v1/accounts:signInWithCustomToken";
    for is_new in [true, false] {
        let (status, answer) = post(&issuer, path, &json!({ "token": custom(good.clone()) })).await;
        assert_eq!((status, &answer["isNewUser"]), (StatusCode::OK, &json!(is_new)), "{answer}");
        let said = claims(&issuer, &answer["idToken"]).await;
        assert_eq!((&said["sub"], &said["plan"]), (&json!("u1"), &json!("pro")));
        assert_eq!(said["firebase"]["sign_in_provider"], "custom");
        let refreshed = issuer.refresh(text(&answer["refreshToken"])).unwrap();
        assert_eq!(claims(&issuer, &json!(refreshed.id_token)).await["plan"], "pro");
    }
    let alice = issuer.sign_up("alice@example.com", "correct horse").unwrap();
    let late = json!({ "aud": audience, "exp": NOW, "uid": "u1" });
    let long = json!({ "aud": audience, "exp": NOW + 60, "uid": "u".repeat(129) });
    for wrong in [custom(late), custom(long), alice.id_token, "a.b.c".to_owned(), String::new()] {
        let (_, answer) = post(&issuer, path, &json!({ "token": wrong })).await;
        assert_eq!(answer["error"]["message"], "INVALID_CUSTOM_TOKEN");
    }
}

// === helpers ===

async fn owner(issuer: &Issuer, path: &str, body: &Value) -> (StatusCode, Value) {
    let request = as_owner(Request::post(format!("{PROJECT}/{path}")));
    send(issuer, request.body(Body::from(body.to_string())).unwrap()).await
}

async fn get_as_owner(issuer: &Issuer, path: &str) -> Value {
    let (status, answer) =
        send(issuer, as_owner(Request::get(path)).body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

pub(crate) fn as_owner(request: axum::http::request::Builder) -> axum::http::request::Builder {
    request.header("authorization", "Bearer owner").header("content-type", JSON)
}

fn ids(users: &Value) -> Vec<&str> {
    users.as_array().unwrap().iter().map(|user| text(&user["localId"])).collect()
}
