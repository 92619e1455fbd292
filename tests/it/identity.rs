//! Who calls is what a verified token says, for every RPC of every contract, and nothing else is.

mod flood;

use std::{collections::BTreeMap, net::Ipv4Addr};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clock::Clock;
use jsonwebtoken::{Algorithm, Header};
use proto::{
    Access, METHODS, Method,
    user::v1::{GetProfileRequest, Profile},
};
use serde_json::{Value, json};
use tests::{App, Told, world};
use tokio::net::TcpListener;
use tonic::Code;

use crate::wire::raw::{Call, Version, frame, framed, user};

/// Every RPC that looks at who calls.
fn guarded() -> impl Iterator<Item = &'static Method> {
    METHODS.iter().copied().filter(|method| method.rule.access != Access::Public)
}

/// A call of an RPC with an empty message, over gRPC, and in JSON where it speaks that.
fn calls(method: &Method) -> Vec<Call> {
    let grpc = Call::grpc(method.path, framed(0, b"")).key("one");
    let json = method.json.as_ref().map(|_| Call::json(method.path, &json!({})).key("one"));
    [grpc].into_iter().chain(json).collect()
}

fn unauthenticated(told: &Told, reason: &str, about: &str) {
    assert_eq!((told.code, &*told.reason), (Code::Unauthenticated, reason), "{about}");
    assert_eq!((told.fields.len(), told.retry_delay), (0, None), "{about}");
}

/// Insists that no call has come as far as the database.
async fn has_left_the_database_alone(app: &App) {
    let connections = "select count(*) from pg_stat_activity
                       where datname = current_database() and usename = 'mayfly_runtime'";
    assert_eq!(app.sql_count(connections).await, 0);
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn header() -> Header {
    Header { kid: Some(world().issuer.kid()), ..Header::new(Algorithm::RS256) }
}

fn claims() -> Value {
    let (issuer, now) = (&world().issuer, Clock::system().unix_secs());
    json!({
        "iss": issuer.issuer_url(), "aud": issuer.project(), "sub": "ada-uid", "user_id": "ada-uid",
        "iat": now - 5, "auth_time": now - 5, "exp": now + 3600,
        "firebase": { "identities": {}, "sign_in_provider": "custom" },
    })
}

/// A good token but for one claim, which is left out if it is null.
fn with_claim(name: &str, value: Value) -> String {
    let mut claims = claims();
    let object = claims.as_object_mut().unwrap();
    match value {
        Value::Null => drop(object.remove(name)),
        value => drop(object.insert(name.to_owned(), value)),
    }
    world().issuer.sign(&header(), &claims)
}

fn with_header(change: impl FnOnce(&mut Header)) -> String {
    let mut header = header();
    change(&mut header);
    world().issuer.sign(&header, &claims())
}

/// A token with this text for its header and any signature.
fn with_signature(header: &Value, signature: impl FnOnce(&str) -> String) -> String {
    let message = format!("{}.{}", encode(header.to_string()), encode(claims().to_string()));
    let signature = signature(&message);
    format!("{message}.{signature}")
}

/// Tokens whose header or signature is not Firebase's.
fn forged() -> Vec<(String, String)> {
    let good = world().issuer.sign(&header(), &claims());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (head, body) = message.split_once('.').unwrap();
    let kid = world().issuer.kid();
    let mut tokens = vec![
        ("two segments", message.to_owned()),
        ("four segments", format!("{good}.{signature}")),
        ("an empty signature", format!("{message}.")),
        ("a padded signature", format!("{good}==")),
        ("no signature of this message", format!("{head}.{}.{signature}", encode("{}"))),
        ("another message", format!("{head}.{}A.{signature}", body.get(1..).unwrap())),
        ("an unknown kid", with_header(|header| header.kid = Some("another".into()))),
        ("no kid", with_header(|header| header.kid = None)),
        ("an empty kid", with_header(|header| header.kid = Some(String::new()))),
        ("a path for a kid", with_header(|header| header.kid = Some("../../dev/null".into()))),
        ("SQL for a kid", with_header(|header| header.kid = Some("' OR 1=1--".into()))),
        ("crit", with_header(|header| header.crit = Some(vec!["b64".into()]))),
        ("jku", with_header(|header| header.jku = Some("http://127.0.0.1:1/".into()))),
        ("x5u", with_header(|header| header.x5u = Some("http://127.0.0.1:1/".into()))),
        ("x5c", with_header(|header| header.x5c = Some(vec!["MIIB".into()]))),
        ("cty", with_header(|header| header.cty = Some("JWT".into()))),
        ("typ", with_header(|header| header.typ = Some("at+jwt".into()))),
        ("RS384", with_header(|header| header.alg = Algorithm::RS384)),
        ("PS256", with_header(|header| header.alg = Algorithm::PS256)),
        ("ES256", with_header(|header| header.alg = Algorithm::ES256)),
        ("HS256 by the private key", with_header(|header| header.alg = Algorithm::HS256)),
    ]
    .into_iter()
    .map(|(name, token)| (name.to_owned(), token))
    .collect::<Vec<_>>();
    for alg in ["none", "None", "NONE", "nOnE"] {
        let header = json!({ "alg": alg, "typ": "JWT", "kid": kid });
        tokens.push((format!("{alg}, unsigned"), with_signature(&header, |_| String::new())));
        let signed = with_signature(&header, |_| signature.to_owned());
        tokens.push((format!("{alg}, signed"), signed));
    }
    let modulus = world().issuer.keys()["keys"][0]["n"].as_str().unwrap().to_owned();
    let secrets: [(&str, Vec<u8>); 3] = [
        ("the key's text", modulus.clone().into_bytes()),
        ("the key's bytes", URL_SAFE_NO_PAD.decode(&modulus).unwrap()),
        ("the key set", world().issuer.keys().to_string().into_bytes()),
    ];
    for (name, secret) in secrets {
        let header = json!({ "alg": "HS256", "typ": "JWT", "kid": kid });
        let token = with_signature(&header, |message| {
            encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message.as_bytes()))
        });
        tokens.push((format!("HS256 by {name}"), token));
    }
    tokens
}

/// Tokens that our key signed and that are not for us.
fn foreign() -> Vec<(String, String)> {
    let (issuer, now) = (&world().issuer, Clock::system().unix_secs());
    let session = format!("https://session.firebase.google.com/{}", issuer.project());
    let claims = [
        ("aud", json!(null)),
        ("aud", json!("mayfly-tesu")),
        ("aud", json!([issuer.project()])),
        ("aud", json!(1)),
        ("iss", json!(null)),
        ("iss", json!("https://securetoken.google.com/mayfly-tesu")),
        ("iss", json!([issuer.issuer_url()])),
        ("iss", json!(session)),
        ("sub", json!(null)),
        ("sub", json!("")),
        ("sub", json!(1)),
        ("sub", json!("x".repeat(129))),
        ("sub", json!("ada\nuid")),
        ("user_id", json!("bob-uid")),
        ("exp", json!(null)),
        ("exp", json!((now + 3600).to_string())),
        ("iat", json!(null)),
        ("iat", json!(now + 3600)),
        ("auth_time", json!(null)),
        ("auth_time", json!(now + 3600)),
        ("nbf", json!(now + 3600)),
    ];
    let signed = claims.map(|(name, value)| (format!("{name} {value}"), with_claim(name, value)));
    signed.into_iter().collect()
}

#[tokio::test]
async fn without_a_token_nothing_that_is_not_public_is_called() {
    let app = App::start().await;
    assert!(guarded().count() >= 4);
    for method in guarded() {
        for call in calls(method) {
            let told = call.send(app.address).await.told();
            unauthenticated(&told, "TOKEN_MISSING", method.path);
        }
        // A stranger is told nothing else first: neither of a key nor of the message.
        let broken = Call::grpc(method.path, b"\x07\x01".to_vec()).send(app.address).await;
        unauthenticated(&broken.told(), "TOKEN_MISSING", method.path);
    }
    has_left_the_database_alone(&app).await;
}

#[tokio::test]
async fn a_token_that_could_be_read_in_two_ways_is_read_in_none() {
    let app = App::start().await;
    let good = world().issuer.id_token("ada-uid", &serde_json::Map::new());
    let carriers: [&[u8]; 16] = [
        b"",
        b"Basic x",
        b"Bearer",
        b"Bearer ",
        &format!("Bearer  {good}").into_bytes(),
        &format!("Bearer {good} b").into_bytes(),
        &format!("Bearer {good},Bearer {good}").into_bytes(),
        &format!("Bearer\t{good}").into_bytes(),
        &format!("Bearer:{good}").into_bytes(),
        &format!("Token {good}").into_bytes(),
        &format!("JWT {good}").into_bytes(),
        good.as_bytes(),
        b"Bearer \xc3\xa9",
        b"Bearer \xff\xfe",
        b"Bearer a.b.c",
        &[b"Bearer ", &*b"a".repeat(9000)].concat(),
    ];
    for method in guarded() {
        for call in calls(method) {
            for carrier in carriers {
                let sent = call.clone().header("authorization", carrier).send(app.address).await;
                let about = format!("{} {:?}", method.path, String::from_utf8_lossy(carrier));
                unauthenticated(&sent.told(), "TOKEN_INVALID", &about);
            }
            let bearer = format!("Bearer {good}");
            let twice = call.clone().and_header("authorization", &bearer);
            let twice = twice.and_header("authorization", &bearer).send(app.address).await;
            unauthenticated(&twice.told(), "TOKEN_INVALID", method.path);
            let binary = call.header("authorization-bin", encode(&bearer)).send(app.address).await;
            unauthenticated(&binary.told(), "TOKEN_INVALID", method.path);
        }
    }
    has_left_the_database_alone(&app).await;
}

#[tokio::test]
async fn a_token_that_is_not_firebases_is_nobodys() {
    let app = App::start().await;
    let tokens = [forged(), foreign()].concat();
    assert!(tokens.len() >= 50);
    let mut messages = BTreeMap::new();
    for method in guarded() {
        let call = calls(method).remove(0);
        for (name, token) in &tokens {
            let answer = call.clone().token(Some(token)).send(app.address).await;
            unauthenticated(&answer.told(), "TOKEN_INVALID", &format!("{} {name}", method.path));
            messages.insert(answer.failure().message().to_owned(), name.clone());
        }
    }
    // Which of them it was is not told.
    assert_eq!(messages.len(), 1, "{messages:?}");
    has_left_the_database_alone(&app).await;
}

#[tokio::test]
async fn a_token_whose_time_is_over_is_expired_and_says_the_same() {
    let app = App::start().await;
    let now = Clock::system().unix_secs();
    let missing = Call::grpc(&user("GetProfile"), framed(0, b"")).send(app.address).await;
    for method in guarded() {
        for call in calls(method) {
            for exp in [0, now - 3600, now - 31] {
                let token = with_claim("exp", json!(exp));
                let answer = call.clone().token(Some(&token)).send(app.address).await;
                unauthenticated(&answer.told(), "TOKEN_EXPIRED", method.path);
                assert_eq!(answer.failure().message(), missing.failure().message());
            }
        }
    }
    has_left_the_database_alone(&app).await;

    // A clock that is a little off is no reason to turn somebody away.
    let late = with_claim("exp", json!(Clock::system().unix_secs() - 15));
    let call = Call::grpc(&user("GetProfile"), framed(0, b"")).token(Some(&late));
    assert_eq!(call.send(app.address).await.told().code, Code::NotFound);
}

#[tokio::test]
async fn the_scheme_of_a_token_is_spelled_in_any_case() {
    let app = App::start().await;
    let ada = app.person("ada-uid");
    ada.creates_public_profile("ada").await;
    let token = ada.token.as_ref().unwrap();
    for scheme in ["bearer", "Bearer", "BEARER", "bEARER"] {
        let call = Call::grpc(&user("GetProfile"), framed(0, b""));
        let call = call.header("authorization", format!("{scheme} {token}"));
        assert_eq!(call.send(app.address).await.message::<Profile>().user_id, "ada-uid");
    }
}

#[tokio::test]
async fn no_header_and_no_field_makes_somebody_of_a_caller() {
    let app = App::start().await;
    let (ada, bob) = (app.person("ada-uid"), app.person("bob-uid"));
    ada.creates_public_profile("ada").await;
    bob.creates_public_profile("bob").await;
    let bobs = format!("Bearer {}", bob.token.as_ref().unwrap());
    let spoofed = |call: Call| {
        let names = [
            "x-user-id",
            "x-uid",
            "x-user",
            "x-tenant",
            "x-mayfly-service",
            "x-mayfly-user-id",
            "x-forwarded-user",
            "x-forwarded-for",
            "x-forwarded-email",
            "x-real-ip",
            "forwarded",
            "fly-client-ip",
            "fly-forwarded-port",
            "x-auth-request-user",
            "x-remote-user",
        ];
        let call = names.into_iter().fold(call, |call, name| call.header(name, "bob-uid"));
        // Bob's own token, wherever somebody might look for one.
        let names = ["x-authorization", "proxy-authorization", "x-forwarded-access-token"];
        let call = names.into_iter().fold(call, |call, name| call.header(name, &bobs));
        call.header("cookie", format!("authorization={bobs}; session={bobs}"))
    };

    for version in [Version::Http1, Version::Http2] {
        let own = Call::json(&user("GetProfile"), &json!({ "uid": "bob-uid" })).over(version);
        let answer = spoofed(own.token(ada.token.as_deref())).send(app.address).await;
        assert_eq!(answer.json()["userId"], "ada-uid");
    }
    let change = json!({ "profile": { "userId": "bob-uid", "bio": "Ada's" } });
    let change = Call::json(&user("UpdateProfile"), &change).key("one");
    let answer = spoofed(change.token(ada.token.as_deref())).send(app.address).await;
    assert_eq!(answer.json()["userId"], "ada-uid");
    let bobs = "select count(*) from mayfly_user.profile where user_id = 'bob-uid' and bio <> ''";
    assert_eq!(app.sql_count(bobs).await, 0);

    for method in guarded() {
        for call in calls(method) {
            let told = spoofed(call).send(app.address).await.told();
            unauthenticated(&told, "TOKEN_MISSING", method.path);
        }
    }
}

#[tokio::test]
async fn without_keys_nobody_is_turned_away_for_good() {
    // Nobody listens on a port that was just let go.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let keys_url = format!("http://{}/keys", listener.local_addr().unwrap());
    drop(listener);
    let app = App::builder().with("JWKS_URL", keys_url).start().await;
    let token = app.person("ada-uid").token;
    for method in guarded() {
        for call in calls(method) {
            let answer = call.clone().token(token.as_deref()).send(app.address).await;
            let told = answer.told();
            let about = method.path;
            assert_eq!((told.code, &*told.reason), (Code::Unavailable, "KEYS_UNAVAILABLE"));
            assert!(told.retry_delay.is_some_and(|delay| !delay.is_zero()), "{about}");
            assert!(answer.failure().metadata().contains_key("retry-after"), "{about}");

            // What no key could make good needs none to be refused.
            let told = call.clone().token(Some("a.b.c")).send(app.address).await.told();
            unauthenticated(&told, "TOKEN_INVALID", about);
            let told = call.send(app.address).await.told();
            unauthenticated(&told, "TOKEN_MISSING", about);
        }
    }
    has_left_the_database_alone(&app).await;
    let (_status, told) = app.internal("/health/detailed").await;
    assert!(told.contains("\"keys_error\": \"unreachable\""), "{told}");
}

#[tokio::test]
async fn a_persons_token_is_theirs_on_every_connection_alike() {
    let app = App::start().await;
    let (ada, bob) = (app.person("ada-uid"), app.person("bob-uid"));
    ada.creates_public_profile("ada").await;
    bob.creates_public_profile("bob").await;
    let own = |token: &Option<String>| {
        let message = frame(&GetProfileRequest::default());
        Call::grpc(&user("GetProfile"), message).token(token.as_deref()).send(app.address)
    };
    let turns = (0..20).map(async |turn| {
        let person = if turn % 2 == 0 { &ada } else { &bob };
        assert_eq!(own(&person.token).await.message::<Profile>().user_id, person.name);
    });
    futures_util::future::join_all(turns).await;
}
