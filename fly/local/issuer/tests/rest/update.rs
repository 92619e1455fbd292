//! What people change of their own accounts.

use super::*;

const UPDATE: &str = "/identitytoolkit.googleapis.com/v1/accounts:update?key=any";
const DELETE: &str = "/identitytoolkit.googleapis.com/v1/accounts:delete?key=any";

#[tokio::test]
async fn a_person_has_a_name_and_a_picture_and_takes_them_back() {
    let (issuer, _) = issuer();
    let alice = issuer.sign_up("alice@example.com", "correct horse").unwrap();
    let named = json!({ "idToken": alice.id_token, "displayName": "Alice", "photoUrl": "a.png",
        "returnSecureToken": true });
    let (status, answer) = post(&issuer, UPDATE, &named).await;
    assert_eq!((status, &answer["displayName"]), (StatusCode::OK, &json!("Alice")), "{answer}");
    assert_eq!(answer["providerUserInfo"][0]["photoUrl"], "a.png");
    assert_eq!(answer.get("idToken"), None, "the sign-in is the same");
    let said =
        claims(&issuer, &json!(issuer.refresh(&alice.refresh_token).unwrap().id_token)).await;
    assert_eq!((&said["name"], &said["picture"]), (&json!("Alice"), &json!("a.png")));

    let taken = json!({ "idToken": alice.id_token, "deleteAttribute": ["PHOTO_URL"] });
    let (_, answer) = post(&issuer, UPDATE, &taken).await;
    assert_eq!((answer.get("photoUrl"), &answer["displayName"]), (None, &json!("Alice")));
}

#[tokio::test]
async fn a_new_password_signs_everybody_else_out() {
    let (issuer, clock) = issuer();
    let alice = issuer.sign_up("alice@example.com", "correct horse").unwrap();
    clock.advance(Duration::from_mins(1));
    let other = issuer.sign_in("alice@example.com", "correct horse").unwrap();
    clock.advance(Duration::from_mins(1));
    let body = json!({ "idToken": other.id_token, "password": "battery staple",
        "returnSecureToken": true });
    let (status, answer) = post(&issuer, UPDATE, &body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    for old in [&alice.refresh_token, &other.refresh_token] {
        assert_eq!(refusal(issuer.refresh(old)), Refusal::TokenExpired);
    }
    let (_, refused) = post(&issuer, LOOKUP, &json!({ "idToken": alice.id_token })).await;
    assert_eq!(refused["error"]["message"], "TOKEN_EXPIRED");
    let (status, _) = post(&issuer, LOOKUP, &json!({ "idToken": answer["idToken"] })).await;
    assert_eq!(status, StatusCode::OK);
    assert!(issuer.refresh(text(&answer["refreshToken"])).is_ok());
    let old = issuer.sign_in("alice@example.com", "correct horse");
    assert_eq!(refusal(old), Refusal::InvalidLoginCredentials);
    assert!(issuer.sign_in("alice@example.com", "battery staple").is_ok());
}

#[tokio::test]
async fn an_anonymous_person_becomes_somebody_and_keeps_their_id() {
    let (issuer, _) = issuer();
    let nobody = issuer.sign_up_anonymously().unwrap();
    let body = json!({ "idToken": nobody.id_token, "email": "alice@example.com",
        "password": "correct horse", "returnSecureToken": true });
    let (status, answer) = post(&issuer, SIGN_UP, &body).await;
    assert_eq!((status, &answer["localId"]), (StatusCode::OK, &json!(nobody.user_id)), "{answer}");
    let said = claims(&issuer, &answer["idToken"]).await;
    assert_eq!(said["firebase"]["sign_in_provider"], "password");
    assert_eq!(refusal(issuer.refresh(&nobody.refresh_token)), Refusal::TokenExpired);
    let signed_in = issuer.sign_in("alice@example.com", "correct horse").unwrap();
    assert_eq!(signed_in.user_id, nobody.user_id);
}

#[tokio::test]
async fn whoever_signed_in_long_ago_signs_in_again_before_what_is_final() {
    let (issuer, clock) = issuer();
    let alice = issuer.sign_up("alice@example.com", "correct horse").unwrap();
    clock.advance(Duration::from_secs(301));
    let refreshed = issuer.refresh(&alice.refresh_token).unwrap().id_token;
    let too_old = [
        (UPDATE, json!({ "idToken": refreshed, "password": "battery staple" })),
        (UPDATE, json!({ "idToken": refreshed, "email": "eve@example.com" })),
        (
            SIGN_UP,
            json!({ "idToken": refreshed, "email": "eve@example.com", "password": "battery staple" }),
        ),
        (DELETE, json!({ "idToken": refreshed })),
    ];
    for (path, body) in too_old {
        let (_, answer) = post(&issuer, path, &body).await;
        assert_eq!(answer["error"]["message"], "CREDENTIAL_TOO_OLD_LOGIN_AGAIN", "{body}");
    }
    let (status, _) =
        post(&issuer, UPDATE, &json!({ "idToken": refreshed, "displayName": "A" })).await;
    assert_eq!(status, StatusCode::OK);

    let again = issuer.sign_in("alice@example.com", "correct horse").unwrap();
    let (status, _) = post(&issuer, DELETE, &json!({ "idToken": again.id_token })).await;
    assert_eq!(status, StatusCode::OK);
    let gone = issuer.sign_in("alice@example.com", "correct horse");
    assert_eq!(refusal(gone), Refusal::InvalidLoginCredentials);
    assert_eq!(refusal(issuer.refresh(&again.refresh_token)), Refusal::UserNotFound);
    assert!(issuer.sign_up("alice@example.com", "correct horse").is_ok());
}

#[tokio::test]
async fn nobody_gives_themselves_what_is_the_owners_to_give() {
    let (issuer, _) = issuer();
    issuer.sign_up("bob@example.com", "correct horse").unwrap();
    let alice = issuer.sign_up("alice@example.com", "correct horse").unwrap();
    let not_theirs = [
        json!({ "customAttributes": "{\"role\":\"admin\"}" }),
        json!({ "emailVerified": true }),
        json!({ "disableUser": false }),
        json!({ "validSince": "0" }),
        json!({ "phoneNumber": "+1" }),
        json!({ "deleteAttribute": ["EMAIL"] }),
        json!({ "deleteAttribute": ["DISPLAY_NAME", "PASSWORD"] }),
    ];
    let theirs_not_now = [
        (json!({ "email": "BOB@example.com" }), "EMAIL_EXISTS"),
        (json!({ "email": "bob" }), "INVALID_EMAIL"),
        (
            json!({ "password": "12345" }),
            "WEAK_PASSWORD : Password should be at least 6 characters",
        ),
    ];
    let not_theirs = not_theirs.into_iter().map(|body| (body, "OPERATION_NOT_ALLOWED"));
    for (mut body, message) in not_theirs.chain(theirs_not_now) {
        body["idToken"] = json!(alice.id_token);
        let (_, answer) = post(&issuer, UPDATE, &body).await;
        assert_eq!(answer["error"]["message"], message, "{body}");
    }
    // An id is no token.
    for path in [UPDATE, DELETE] {
        let (_, answer) = post(&issuer, path, &json!({ "localId": alice.user_id })).await;
        assert_eq!(answer["error"]["message"], "MISSING_ID_TOKEN");
    }
    let said =
        claims(&issuer, &json!(issuer.refresh(&alice.refresh_token).unwrap().id_token)).await;
    assert_eq!((said.get("role"), &said["email_verified"]), (None, &json!(false)));
}
