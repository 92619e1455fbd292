//! The tokens by which functions call each other, asked for as on Fly.

use super::*;

async fn ask(issuer: &Issuer, body: &Value, origin: Option<&str>) -> (StatusCode, String) {
    let mut request = Request::post("/v1/tokens/oidc").header("content-type", JSON);
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    let request = request.body(Body::from(body.to_string())).unwrap();
    let response = issuer.router().oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_function_has_a_token_for_one_other() {
    let (issuer, _) = issuer();
    let (status, token) = ask(&issuer, &json!({ "sub": "chat", "aud": "user" }), None).await;
    assert_eq!(status, StatusCode::OK, "{token}");
    let header = decode_header(&token).unwrap();
    assert_eq!((header.alg, header.kid), (Algorithm::RS256, Some(issuer.kid())));
    let expected = json!({ "iss": "https://oidc.localhost/demo", "aud": "user",
        "sub": "chat", "iat": NOW, "exp": NOW + 600 });
    assert_eq!(unverified(&token), expected);
    // It is nobody's ID token.
    let (_, refused) = post(&issuer, LOOKUP, &json!({ "idToken": token })).await;
    assert_eq!(refused["error"]["message"], "INVALID_ID_TOKEN");
}

#[tokio::test]
async fn a_page_is_no_function_and_a_name_is_a_label() {
    let (issuer, _) = issuer();
    let good = json!({ "sub": "chat", "aud": "user" });
    let (status, told) = ask(&issuer, &good, Some("http://localhost:3000")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(told.contains("OPERATION_NOT_ALLOWED"), "{told}");
    for wrong in ["", "A", "a_b", "a b", &"a".repeat(64)] {
        for name in ["aud", "sub"] {
            let mut asked = good.clone();
            asked[name] = json!(wrong);
            let (status, _) = ask(&issuer, &asked, None).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{name} {wrong}");
        }
    }
}
