//! Tokens that are ours, and what is read from them.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::encoding::AsDer;
use serde_json::{Value, json};

use super::support::{
    Answer, NOW, PAIRS, World, claims, header, jwk, sign, token, with_claim, with_header,
};
use crate::Error;

#[tokio::test]
async fn a_token_of_firebases_shape_is_read_whole() {
    let world = World::warm().await;
    let person = world.verifier.verify(&token(|_, _| {})).await.unwrap();
    assert_eq!(person.user_id.as_str(), "alice");
    assert_eq!((person.issue_time, person.auth_time), (NOW - 60, NOW - 60));
    assert_eq!(person.expire_time, NOW + 3540);
    assert_eq!(person.email.as_deref(), Some("alice@example.com"));
    assert!(person.email_verified && person.roles.is_empty());
    assert_eq!(person.sign_in_provider.as_deref(), Some("password"));
}

#[tokio::test]
async fn what_firebase_may_leave_out_or_spell_otherwise_is_taken() {
    let world = World::warm().await;
    let tokens = [
        with_header("typ", Value::Null),
        with_header("typ", json!("jwt")),
        with_header("extra", json!("ignored")),
        with_claim("user_id", Value::Null),
        with_claim("firebase", Value::Null),
        with_claim("email", Value::Null),
        with_claim("nbf", json!(NOW + 30)),
        with_claim("iat", json!(NOW + 30)),
        with_claim("auth_time", json!(0)),
        with_claim("exp", json!(NOW - 29)),
        with_claim("exp", json!(i64::MAX)),
        token(|_, claims| {
            claims.insert("sub".to_owned(), json!("é".repeat(128)));
            claims.remove("user_id");
        }),
        sign(&format!(" {} ", header()), &format!("\n{}\n", claims())),
    ];
    for token in tokens {
        world.verifier.verify(&token).await.unwrap();
    }
    assert_eq!(world.requests(), 1);
}

#[tokio::test]
async fn roles_are_strings_and_bounded_and_anything_else_grants_nothing() {
    let world = World::warm().await;
    let many: Vec<_> = (0..100).map(|n| format!("r{n}")).collect();
    let cases = [
        (json!(["a", "b", "a", "", 1, null, ["c"]]), json!("c"), vec!["c", "a", "b"]),
        (json!("a"), json!(["b"]), vec![]),
        (json!({"admin": true}), json!(true), vec![]),
        (json!(many), Value::Null, many[..32].iter().map(String::as_str).collect()),
    ];
    for (roles, role, expected) in cases {
        let token = token(|_, claims| {
            claims.insert("roles".to_owned(), roles);
            claims.insert("role".to_owned(), role);
        });
        assert_eq!(world.verifier.verify(&token).await.unwrap().roles, expected);
    }
}

#[tokio::test]
async fn optional_claims_of_another_type_say_nothing() {
    let world = World::warm().await;
    let token = token(|_, claims| {
        claims.insert("email".to_owned(), json!(["alice@example.com"]));
        claims.insert("email_verified".to_owned(), json!("true"));
        claims.insert("firebase".to_owned(), json!("password"));
    });
    let person = world.verifier.verify(&token).await.unwrap();
    assert_eq!((&person.email, person.email_verified), (&None, false));
    assert_eq!(person.sign_in_provider, None);
}

#[tokio::test]
async fn a_token_by_another_library_is_ours_too() {
    let world = World::warm().await;
    let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&PAIRS[0]).unwrap();
    let pem = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{pem}\n-----END PRIVATE KEY-----\n");
    let key = jsonwebtoken::EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256);
    header.kid = Some("k1".to_owned());
    let token = jsonwebtoken::encode(&header, &claims(), &key).unwrap();
    assert_eq!(world.verifier.verify(&token).await.unwrap().user_id.as_str(), "alice");
}

#[tokio::test]
async fn a_token_is_checked_once_and_its_time_each_time() {
    let world = World::warm().await;
    let token = token(|_, _| {});
    let first = world.verifier.verify(&token).await.unwrap();
    let again = world.verifier.verify(&token).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again), "the second answer was not remembered");
    assert_eq!(world.verifier.remembered_len(), 1);

    world.clock.advance(Duration::from_secs(3540 + 29));
    world.answers(Answer::Close);
    world.verifier.verify(&token).await.unwrap();
    world.clock.advance(Duration::from_secs(1));
    assert!(matches!(world.verifier.verify(&token).await, Err(Error::Expired)));
    assert_eq!(world.verifier.remembered_len(), 0);
    assert!(matches!(world.verifier.verify(&token).await, Err(Error::Expired)));
}

#[tokio::test]
async fn forged_tokens_are_not_remembered() {
    let world = World::warm().await;
    let good = token(|_, _| {});
    world.verifier.verify(&good).await.unwrap();
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (head, _) = message.split_once('.').unwrap();
    for n in 0..500 {
        // The tail is the good one's, so each of these meets its entry.
        let claims = super::support::encode(format!(r#"{{"sub":"mallory{n}"}}"#));
        let told = world.verifier.verify(&format!("{head}.{claims}.{signature}")).await;
        assert!(matches!(told, Err(Error::Invalid(_))), "{told:?}");
    }
    assert_eq!(world.verifier.remembered_len(), 1);
}

#[tokio::test]
async fn a_withdrawn_key_takes_its_tokens_along() {
    let world = World::warm().await;
    let token = token(|_, _| {});
    world.verifier.verify(&token).await.unwrap();

    // The same key again, among others: what was verified stays so.
    world.answers(Answer::keys(&[jwk(1, "k2"), jwk(0, "k1")]));
    world.pass(Duration::from_hours(1)).await;
    let before = world.verifier.verify(&with_claim("exp", json!(NOW + 9999))).await.unwrap();
    world.settle().await;
    assert_eq!(world.requests(), 2);
    let after = world.verifier.verify(&with_claim("exp", json!(NOW + 9999))).await.unwrap();
    assert!(Arc::ptr_eq(&before, &after));

    // Another key of the same name: it did not sign this token.
    world.answers(Answer::keys(&[jwk(1, "k1")]));
    world.pass(Duration::from_hours(1)).await;
    let token = with_claim("exp", json!(NOW + 9999));
    world.verifier.verify(&token).await.unwrap();
    world.settle().await;
    assert_eq!(world.requests(), 3);
    assert!(matches!(world.verifier.verify(&token).await, Err(Error::Invalid(_))));
}
