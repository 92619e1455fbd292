//! Codes that would come by email.

use super::{owner::as_owner, *};

const SEND: &str = "/identitytoolkit.googleapis.com/v1/accounts:sendOobCode?key=any";
const RESET: &str = "/identitytoolkit.googleapis.com/v1/accounts:resetPassword?key=any";

#[tokio::test]
async fn a_forgotten_password_is_replaced_once() {
    let (issuer, _) = issuer();
    let alice = issuer.sign_up("alice@example.com", "correct horse").unwrap();
    let ask = json!({ "requestType": "PASSWORD_RESET", "email": "Alice@example.com" });
    let (status, answer) = post(&issuer, SEND, &ask).await;
    assert_eq!((status, &answer["email"]), (StatusCode::OK, &json!("Alice@example.com")));
    assert_eq!(answer.as_object().unwrap().len(), 2, "whoever asks is not told: {answer}");

    let code = last_code(&issuer, "alice@example.com", "PASSWORD_RESET").await;
    let (_, answer) = post(&issuer, RESET, &json!({ "oobCode": code })).await;
    assert_eq!(
        (&answer["email"], &answer["requestType"]),
        (&json!("alice@example.com"), &json!("PASSWORD_RESET"))
    );
    let new = json!({ "oobCode": code, "newPassword": "12345" });
    let (_, answer) = post(&issuer, RESET, &new).await;
    assert!(text(&answer["error"]["message"]).starts_with("WEAK_PASSWORD"), "{answer}");
    let new = json!({ "oobCode": code, "newPassword": "battery staple" });
    let (status, answer) = post(&issuer, RESET, &new).await;
    assert_eq!(status, StatusCode::OK, "{answer}");

    assert!(issuer.sign_in("alice@example.com", "correct horse").is_err());
    let again = issuer.sign_in("alice@example.com", "battery staple").unwrap();
    assert_eq!(claims(&issuer, &json!(again.id_token)).await["email_verified"], true);
    assert_eq!(refusal(issuer.refresh(&alice.refresh_token)), Refusal::TokenExpired);
    let (_, answer) = post(&issuer, RESET, &new).await;
    assert_eq!(answer["error"]["message"], "INVALID_OOB_CODE");
}

#[tokio::test]
async fn an_address_is_verified_by_its_code() {
    let (issuer, _) = issuer();
    let alice = issuer.sign_up("alice@example.com", "correct horse").unwrap();
    let ask = json!({ "requestType": "VERIFY_EMAIL", "idToken": alice.id_token });
    assert_eq!(post(&issuer, SEND, &ask).await.0, StatusCode::OK);
    let code = last_code(&issuer, "alice@example.com", "VERIFY_EMAIL").await;
    // It is good for that alone.
    let reset = json!({ "oobCode": code, "newPassword": "battery staple" });
    let (_, answer) = post(&issuer, RESET, &reset).await;
    assert_eq!(answer["error"]["message"], "INVALID_OOB_CODE");
    let (status, answer) = post(&issuer, "/v1/accounts:update", &json!({ "oobCode": code })).await;
    assert_eq!((status, &answer["emailVerified"]), (StatusCode::OK, &json!(true)), "{answer}");
    let refreshed = issuer.refresh(&alice.refresh_token).unwrap();
    assert_eq!(claims(&issuer, &json!(refreshed.id_token)).await["email_verified"], true);
}

#[tokio::test]
async fn nobody_learns_who_has_an_account_but_the_owner() {
    let (issuer, clock) = issuer();
    issuer.sign_up("alice@example.com", "correct horse").unwrap();
    let ask = |email: &str| json!({ "requestType": "PASSWORD_RESET", "email": email, "returnOobLink": true });
    for email in ["alice@example.com", "nobody@example.com"] {
        let (status, answer) = post(&issuer, SEND, &ask(email)).await;
        let kind = "identitytoolkit#GetOobConfirmationCodeResponse";
        assert_eq!((status, answer), (StatusCode::OK, json!({ "kind": kind, "email": email })));
        let uri = json!({ "identifier": email, "continueUri": "http://localhost" });
        let (_, answer) = post(&issuer, "/v1/accounts:createAuthUri", &uri).await;
        assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), ["kind", "sessionId"]);
    }
    let owner = async |email: &str| {
        let request = as_owner(Request::post("/v1/projects/demo/accounts:sendOobCode"));
        let request = request.header("host", "127.0.0.1:9099");
        send(&issuer, request.body(Body::from(ask(email).to_string())).unwrap()).await.1
    };
    assert_eq!(owner("nobody@example.com").await["error"]["message"], "EMAIL_NOT_FOUND");
    let told = owner("alice@example.com").await;
    let link = text(&told["oobLink"]);
    let path = link.strip_prefix("http://127.0.0.1:9099").unwrap();
    let (_, asked) = send(&issuer, get_request(path)).await;
    assert_eq!(asked["error"]["message"], "MISSING_PASSWORD");
    let (status, _) =
        send(&issuer, get_request(&format!("{path}&newPassword=battery-staple"))).await;
    assert_eq!(status, StatusCode::OK);
    assert!(issuer.sign_in("alice@example.com", "battery-staple").is_ok());

    owner("alice@example.com").await;
    let code = last_code(&issuer, "alice@example.com", "PASSWORD_RESET").await;
    clock.advance(Duration::from_hours(1));
    let (_, answer) = post(&issuer, RESET, &json!({ "oobCode": code })).await;
    assert_eq!(answer["error"]["message"], "EXPIRED_OOB_CODE");
    for (body, message) in [
        (json!({ "requestType": "EMAIL_SIGNIN", "email": "a@b" }), "OPERATION_NOT_ALLOWED"),
        (
            json!({ "requestType": "VERIFY_AND_CHANGE_EMAIL", "newEmail": "a@b" }),
            "OPERATION_NOT_ALLOWED",
        ),
        (
            json!({ "requestType": "PASSWORD_RESET", "email": "a@b", "continueUrl": "/a" }),
            "INVALID_CONTINUE_URI",
        ),
        (json!({ "email": "a@b" }), "MISSING_REQ_TYPE"),
        (json!({ "requestType": "PASSWORD_RESET" }), "MISSING_EMAIL"),
        (json!({ "requestType": "VERIFY_EMAIL", "email": "a@b" }), "MISSING_ID_TOKEN"),
    ] {
        assert_eq!(post(&issuer, SEND, &body).await.1["error"]["message"], message);
    }
}

#[tokio::test]
async fn whoever_followed_a_link_goes_on_where_it_was_asked_for() {
    let (issuer, _) = issuer();
    issuer.sign_up("alice@example.com", "correct horse").unwrap();
    let next = "https://app.example/done?from=mail&to=a%20b#top";
    let ask = json!({ "requestType": "PASSWORD_RESET", "email": "alice@example.com",
        "continueUrl": next, "returnOobLink": true });
    let request = as_owner(Request::post("/v1/projects/demo/accounts:sendOobCode"));
    let request = request.header("host", "127.0.0.1:9099").body(Body::from(ask.to_string()));
    let (_, told) = send(&issuer, request.unwrap()).await;
    let link = text(&told["oobLink"]);
    let encoded = "https%3A%2F%2Fapp.example%2Fdone%3Ffrom%3Dmail%26to%3Da%2520b%23top";
    assert!(link.ends_with(&format!("&continueUrl={encoded}")), "{link}");

    let path = link.strip_prefix("http://127.0.0.1:9099").unwrap();
    // What is refused leads nowhere.
    let (status, _) = send(&issuer, get_request(path)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let request = get_request(&format!("{path}&newPassword=battery-staple"));
    let answer = issuer.router().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(answer.headers()["location"], next);
    assert!(issuer.sign_in("alice@example.com", "battery-staple").is_ok());
}

#[tokio::test]
async fn what_sdks_ask_of_the_project_is_answered() {
    let (issuer, _) = issuer();
    let get = async |path: &str| send(&issuer, get_request(path)).await.1;
    assert_eq!(get("/v1/projects?key=any").await["projectId"], "demo");
    let off =
        &get("/v2/recaptchaConfig?clientType=CLIENT_TYPE_WEB").await["recaptchaEnforcementState"];
    assert_eq!(off[0]["enforcementState"], "OFF");
    let policy = get("/identitytoolkit.googleapis.com/v2/passwordPolicy?key=any").await;
    assert_eq!(policy["customStrengthOptions"]["minPasswordLength"], 6);
}

/// The code that was sent to an address last, as a developer finds it.
async fn last_code(issuer: &Issuer, email: &str, purpose: &str) -> String {
    let request = as_owner(Request::get("/emulator/v1/projects/demo/oobCodes"));
    let (_, listed) = send(issuer, request.body(Body::empty()).unwrap()).await;
    let codes = listed["oobCodes"].as_array().unwrap();
    let is_it = |code: &&Value| code["email"] == email && code["requestType"] == purpose;
    text(&codes.iter().rev().find(is_it).unwrap()["oobCode"]).to_owned()
}
