//! The tokens of our own functions, which are no person's, and the other way round.

use clock::Clock;
use serde_json::{Map, Value, json};
use settings::{Env, Reader};
use tokio_util::task::TaskTracker;

use super::support::{Answer, ISSUER, NOW, PROJECT, World, header, jwk, sign, token};
use crate::{Error, Settings, Verifier};

const SERVICES: &str = "https://oidc.fly.io/acme";

/// A service token but for what `edit` does to its claims.
fn visit(edit: impl FnOnce(&mut Map<String, Value>)) -> String {
    let mut claims = json!({
        "iss": SERVICES, "aud": "user", "sub": "data", "app_name": "acme-data",
        "iat": NOW, "nbf": NOW, "exp": NOW + 600, "machine_id": "91857500a03d38",
    });
    edit(claims.as_object_mut().unwrap());
    sign(&header().to_string(), &claims.to_string())
}

fn with(name: &str, value: Value) -> String {
    visit(|claims| drop(claims.insert(name.to_owned(), value)))
}

/// One verifier of both kinds, whose keys are the same: the worst case.
async fn verifier(app_prefix: Option<&str>) -> (World, Verifier, Clock) {
    let world = World::new(Answer::keys(&[jwk(0, "k1")])).await;
    let env = Env::of([("FIREBASE_PROJECT_ID", PROJECT), ("SERVICE_ISSUER", SERVICES)])
        .with("JWKS_URL", world.url.clone())
        .with("SERVICE_JWKS_URL", world.url.clone());
    let env = match app_prefix {
        Some(prefix) => env.with("SERVICE_APP_PREFIX", prefix),
        None => env,
    };
    let settings = Reader::new(&env).finish(Settings::read).unwrap();
    let clock = Clock::at(NOW);
    let verifier = Verifier::new(&settings, clock.clone(), TaskTracker::new());
    (world, verifier, clock)
}

#[tokio::test]
async fn a_function_is_known_by_its_own_token() {
    let (_world, verifier, clock) = verifier(None).await;
    let good = visit(|_claims| {});
    for _again in 0..2 {
        assert_eq!(verifier.verify_service(&good, "user").await.unwrap().as_str(), "data");
    }
    clock.advance(std::time::Duration::from_secs(631));
    let told = verifier.verify_service(&good, "user").await;
    assert!(matches!(told, Err(Error::Expired)), "{told:?}");
}

#[tokio::test]
async fn on_fly_a_function_is_known_by_its_app() {
    let (_world, verifier, _clock) = verifier(Some("acme")).await;
    let fly = |app: Value| {
        visit(|claims| {
            claims.insert("sub".to_owned(), json!("acme:acme-data:bold-wind-7"));
            claims.insert("app_name".to_owned(), app);
        })
    };
    let told = verifier.verify_service(&fly(json!("acme-data")), "user").await;
    assert_eq!(told.unwrap().as_str(), "data");
    for app in ["data", "acmedata", "acme-", "other-data", "-data", "acme-data.x", ""] {
        let told = verifier.verify_service(&fly(json!(app)), "user").await;
        assert!(matches!(told, Err(Error::Invalid(_))), "{app}: {told:?}");
    }
    let told = verifier.verify_service(&fly(json!(null)), "user").await;
    assert!(matches!(told, Err(Error::Invalid(_))), "{told:?}");
}

#[tokio::test]
async fn a_token_for_another_function_is_not_for_this_one_remembered_or_not() {
    let (_world, verifier, _clock) = verifier(None).await;
    let good = visit(|_claims| {});
    let told = verifier.verify_service(&good, "data").await;
    assert!(matches!(told, Err(Error::Invalid(_))), "{told:?}");
    verifier.verify_service(&good, "user").await.unwrap();
    let told = verifier.verify_service(&good, "data").await;
    assert!(matches!(told, Err(Error::Invalid(_))), "{told:?}");
}

#[tokio::test]
async fn neither_kind_is_taken_for_the_other() {
    let (_world, verifier, _clock) = verifier(None).await;
    let (person, service) = (token(|_, _| {}), visit(|_claims| {}));
    for _again in 0..2 {
        verifier.verify(&person).await.unwrap();
        verifier.verify_service(&service, "user").await.unwrap();
        let told = verifier.verify(&service).await;
        assert!(matches!(told, Err(Error::Invalid(_))), "{told:?}");
        for callee in ["user", PROJECT] {
            let told = verifier.verify_service(&person, callee).await;
            assert!(matches!(told, Err(Error::Invalid(_))), "{told:?}");
        }
    }
    // Even one that says all that a person's has to, but for its issuer.
    let both = visit(|claims| {
        claims.insert("aud".to_owned(), json!(PROJECT));
        claims.insert("auth_time".to_owned(), json!(NOW));
    });
    let told = verifier.verify(&both).await;
    assert!(matches!(told, Err(Error::Invalid(_))), "{told:?}");
}

#[tokio::test]
async fn claims_that_are_no_functions_are_invalid() {
    let (_world, verifier, _clock) = verifier(None).await;
    let mut shapes: Vec<_> = [
        ("iss", json!(ISSUER)),
        ("iss", json!(null)),
        ("iss", json!([SERVICES])),
        ("iss", json!(format!("{SERVICES}/"))),
        ("iss", json!("https://oidc.fly.io/other")),
        ("aud", json!(null)),
        ("aud", json!(["user"])),
        ("aud", json!("User")),
        ("aud", json!(PROJECT)),
        ("aud", json!("https://fly.io/acme")),
        ("sub", json!(null)),
        ("sub", json!("")),
        ("sub", json!("da ta")),
        ("sub", json!("acme:acme-data:bold-wind-7")),
        ("sub", json!(7)),
        ("exp", json!(null)),
        ("exp", json!("600")),
        ("exp", json!(NOW)),
        ("exp", json!(NOW + 3601)),
        ("exp", json!(i64::MAX)),
        ("iat", json!(null)),
        ("iat", json!(NOW + 31)),
        ("nbf", json!(NOW + 31)),
        ("auth_time", json!(NOW)),
        ("user_id", json!("alice")),
        ("firebase", json!({})),
    ]
    .into_iter()
    .map(|(name, value)| (format!("{name} {value}"), with(name, value)))
    .collect();
    for (name, value) in [("alg", "HS256"), ("alg", "none"), ("kid", "other"), ("typ", "at+jwt")] {
        let mut header = header();
        header[name] = json!(value);
        let claims =
            json!({"iss": SERVICES, "aud": "user", "sub": "data", "iat": NOW, "exp": NOW + 9});
        shapes.push((format!("{name} {value}"), sign(&header.to_string(), &claims.to_string())));
    }
    for (name, token) in shapes {
        let told = verifier.verify_service(&token, "user").await;
        assert!(matches!(told, Err(Error::Invalid(_))), "{name}: {told:?}");
    }
}

#[tokio::test]
async fn without_an_issuer_no_function_is_known() {
    let world = World::warm().await;
    let told = world.verifier.verify_service(&visit(|_claims| {}), "user").await;
    assert!(matches!(told, Err(Error::Invalid(_))), "{told:?}");
}

#[test]
fn the_issuer_of_persons_is_none_of_services() {
    let env = || Env::of([("FIREBASE_PROJECT_ID", PROJECT)]);
    let read = |env: Env| Reader::new(&env).finish(Settings::read).map_err(|it| it.to_string());
    let services = read(env().with("SERVICE_ISSUER", SERVICES)).unwrap().services.unwrap();
    assert_eq!(services.keys_url.as_str(), "https://oidc.fly.io/acme/.well-known/jwks");
    assert!(read(env()).unwrap().services.is_none());
    let own = "https://login.example.com";
    for bad in [
        env().with("SERVICE_ISSUER", ISSUER),
        env().with("SERVICE_ISSUER", own).with("TOKEN_ISSUER", own),
        env().with("SERVICE_ISSUER", "http://oidc.example.com"),
        env().with("SERVICE_ISSUER", SERVICES).with("SERVICE_APP_PREFIX", "Acme"),
        env().with("SERVICE_ISSUER", SERVICES).with("SERVICE_JWKS_URL", "http://example.com/"),
    ] {
        assert!(read(bad).unwrap_err().starts_with("SERVICE_"));
    }
}
