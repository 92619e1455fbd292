//! Keys that change while people are signed in.

use super::{owner::as_owner, *};

#[tokio::test]
async fn a_rotation_by_command_leaves_every_token_good() {
    let (issuer, clock) = issuer();
    let alice = issuer.sign_up("alice@example.com", "correct horse").unwrap();
    let (old, known) = (issuer.kid(), published(&issuer).await);
    let request = as_owner(Request::post("/emulator/v1/projects/demo/keys:rotate"));
    let (status, answer) = send(&issuer, request.body(Body::empty()).unwrap()).await;
    assert_eq!((status, &answer["kid"]), (StatusCode::OK, &json!(issuer.kid())), "{answer}");
    assert_ne!(issuer.kid(), old);
    assert!(known.contains(&issuer.kid()), "whoever has the keys of before knows it");
    let refreshed = issuer.refresh(&alice.refresh_token).unwrap();
    for token in [&alice.id_token, &refreshed.id_token] {
        claims(&issuer, &json!(token)).await;
        assert_eq!(post(&issuer, LOOKUP, &json!({ "idToken": token })).await.0, StatusCode::OK);
    }

    clock.advance(Duration::from_secs(3599));
    assert!(published(&issuer).await.contains(&old));
    clock.advance(Duration::from_secs(1));
    assert!(!published(&issuer).await.contains(&old), "its last token has expired");
}

#[tokio::test]
async fn keys_rotate_by_themselves_every_day() {
    let (issuer, clock) = issuer();
    let first = issuer.kid();
    clock.advance(Duration::from_secs(24 * 3600 - 1));
    let late = issuer.id_token("alice", &Map::new());
    assert_eq!(issuer.kid(), first);
    clock.advance(Duration::from_secs(1));
    let next = issuer.kid();
    assert_ne!(next, first);
    claims(&issuer, &json!(late)).await;
    assert_eq!(published(&issuer).await, [&*next, &*published(&issuer).await[1], &*first]);
    clock.advance(Duration::from_hours(24));
    // Asking for the keys is enough.
    assert_eq!(published(&issuer).await.len(), 3);
    assert_ne!(issuer.kid(), next);
}

#[tokio::test]
async fn keys_that_have_retired_outlive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::at(NOW);
    let first = Issuer::open(dir.path(), "demo", clock.clone()).unwrap();
    let token = first.id_token("alice", &Map::new());
    let second_kid = first.rotate().unwrap();
    let (before, token_again) = (published(&first).await, first.id_token("alice", &Map::new()));
    drop(first);

    let second = Issuer::open(dir.path(), "demo", clock.clone()).unwrap();
    assert_eq!((second.kid(), published(&second).await), (second_kid, before));
    for token in [token, token_again] {
        claims(&second, &json!(token)).await;
    }
}

#[tokio::test]
async fn the_same_keys_are_published_as_certificates() {
    let (issuer, _) = issuer();
    let old = issuer.id_token("alice", &Map::new());
    issuer.rotate().unwrap();
    let new = issuer.id_token("alice", &Map::new());
    let (_, certificates) = send(&issuer, get_request(Issuer::certificate_path())).await;
    let mut ids: Vec<_> = certificates.as_object().unwrap().keys().cloned().collect();
    let mut expected = published(&issuer).await;
    ids.sort();
    expected.sort();
    assert_eq!(ids, expected);
    for token in [old, new] {
        let certificate = text(&certificates[decode_header(&token).unwrap().kid.unwrap()]);
        let key = DecodingKey::from_rsa_pem(certificate.as_bytes()).unwrap();
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_audience(&["demo"]);
        validation.validate_exp = false;
        assert_eq!(decode::<Value>(&token, &key, &validation).unwrap().claims["sub"], "alice");
    }
}

/// The ids of the keys that are published.
async fn published(issuer: &Issuer) -> Vec<String> {
    let (_, set) = send(issuer, get_request(Issuer::key_path())).await;
    set["keys"].as_array().unwrap().iter().map(|key| text(&key["kid"]).to_owned()).collect()
}
