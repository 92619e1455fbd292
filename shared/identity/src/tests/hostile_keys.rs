//! Key servers that are broken or not ours any more: the old keys stay.

use std::time::Duration;

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_util::task::TaskTracker;

use super::support::{Answer, PAIRS, World, claims, encode, header, jwk, sign_as, token};
use crate::{Error, KeysState, keys};

fn with(name: &str, value: Value) -> Value {
    let mut key = jwk(1, "k2");
    key[name] = value;
    key
}

fn modulus(bytes: usize) -> Value {
    let mut modulus = vec![0xff; bytes];
    modulus[0] = 0x80;
    with("n", json!(encode(modulus)))
}

fn without(name: &str) -> Value {
    let mut key = jwk(1, "k2");
    key.as_object_mut().unwrap().remove(name);
    key
}

fn set(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}

#[test]
fn a_set_with_one_key_it_should_not_have_is_refused_whole() {
    let good = jwk(0, "k1");
    let bad_keys = [
        json!({"kty": "oct", "kid": "k2", "k": "c2VjcmV0"}),
        json!({"kty": "oct", "kid": "k2", "alg": "HS256", "k": good["n"]}),
        json!({"kty": "EC", "kid": "k2", "crv": "P-256", "x": "AA", "y": "AA"}),
        json!({"kty": "OKP", "kid": "k2", "crv": "Ed25519", "x": "AA"}),
        modulus(64),
        modulus(128),
        modulus(255),
        modulus(1025),
        with("n", json!(encode([0xfe; 256]))),
        with("n", json!("")),
        with("n", json!("AA")),
        with("n", json!("not base64!")),
        with("n", json!(format!("{}==", good["n"].as_str().unwrap()))),
        with("n", json!(17)),
        with("n", json!(format!("AAAA{}", good["n"].as_str().unwrap()))),
        with("e", json!("AQ")),
        with("e", json!("Aw")),
        with("e", json!("AQAA")),
        with("e", json!("AQAAAAE")),
        with("e", json!("")),
        with("e", json!(65537)),
        with("kty", json!("rsa")),
        with("d", json!("AQAB")),
        without("n"),
        without("e"),
        without("kty"),
        with("kid", json!("k1")),
        json!("k2"),
        json!(null),
        json!([]),
    ];
    for bad in bad_keys {
        for keys in [[good.clone(), bad.clone()], [bad, good.clone()]] {
            assert!(keys::parse(set(&keys).as_bytes()).is_err(), "{keys:?}");
        }
    }
}

#[test]
fn a_text_that_is_no_set_of_keys_is_refused() {
    let good = jwk(0, "k1");
    let many: Vec<_> = (0..101).map(|n| with("kid", json!(format!("k{n}")))).collect();
    for bad in [
        String::new(),
        "{}".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        json!([good]).to_string(),
        json!({"keys": good}).to_string(),
        set(&[]),
        set(&many),
        set(&[without("kid")]),
        set(&[with("kid", json!(""))]),
        set(&[with("alg", json!("RS512"))]),
        set(&[with("use", json!("enc"))]),
        format!("{} x", set(std::slice::from_ref(&good))),
        set(&[good]).replace(r#""kty""#, r#""kid":"k1","kty""#),
        json!({"k1": "-----BEGIN CERTIFICATE-----"}).to_string(),
    ] {
        assert!(keys::parse(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn keys_for_other_ends_are_passed_over() {
    let others = [with("use", json!("enc")), with("alg", json!("PS256")), without("kid")];
    for other in others {
        assert_eq!(keys::parse(set(&[jwk(0, "k1"), other]).as_bytes()).unwrap().len(), 1);
    }
    for plain in [without("alg"), without("use")] {
        assert_eq!(keys::parse(set(&[jwk(0, "k1"), plain]).as_bytes()).unwrap().len(), 2);
    }
    let most: Vec<_> = (0..100).map(|n| with("kid", json!(format!("k{n}")))).collect();
    assert_eq!(keys::parse(set(&most).as_bytes()).unwrap().len(), 100);
}

#[tokio::test]
async fn whatever_the_server_answers_the_old_keys_stay() {
    let good = set(&[jwk(1, "k1")]);
    let (json, html) = ("content-type: application/json\r\n", "content-type: text/html\r\n");
    let gzip = format!("{json}content-encoding: gzip\r\n");
    let cut = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9999\r\n\r\n";
    let padded = format!("{good}{}", " ".repeat(64 * 1024));
    let shapes = [
        ("status", Answer::of("500 Internal Server Error", json, good.as_bytes())),
        ("status", Answer::of("404 Not Found", json, good.as_bytes())),
        ("status", Answer::of("204 No Content", json, b"")),
        ("status", Answer::of("206 Partial Content", json, good.as_bytes())),
        ("content_type", Answer::of("200 OK", html, good.as_bytes())),
        ("content_type", Answer::of("200 OK", "", good.as_bytes())),
        ("refused", Answer::of("200 OK", &gzip, b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab")),
        ("refused", Answer::json(b"<html>")),
        ("refused", Answer::keys(&[])),
        ("refused", Answer::keys(&[jwk(0, "k1"), modulus(64)])),
        ("too_large", Answer::json(padded.as_bytes())),
        ("unreachable", Answer::Raw(format!("{cut}{good}").into_bytes())),
        ("unreachable", Answer::Raw(b"not HTTP\r\n\r\n".to_vec())),
        ("unreachable", Answer::Close),
    ];
    for (class, answer) in shapes {
        let world = World::warm().await;
        world.answers(answer);
        world.clock.advance(Duration::from_mins(59));
        world.verifier.verify(&token(|_, _| {})).await.unwrap();
        world.settle().await;
        world.verifier.verify(&token(|_, _| {})).await.unwrap();
        assert_eq!(world.verifier.keys_error().unwrap().class(), class);
        let counts = (world.verifier.fetches_total(), world.verifier.fetch_failures_total());
        assert_eq!((counts, world.requests()), ((2, 1), 2), "{class}");
        assert!(matches!(world.verifier.keys_state(), KeysState::Stale { .. }));
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let canary = World::new(Answer::keys(&[jwk(1, "k1")])).await;
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"] {
        let location = format!("location: {}\r\n", canary.url);
        let world = World::new(Answer::of(status, &location, b"")).await;
        world.verifier.warm().await;
        assert_eq!(world.verifier.keys_error().unwrap().class(), "status");
    }
    assert_eq!(canary.requests(), 0);
}

#[tokio::test]
async fn an_endless_body_is_read_no_further_than_it_may_be() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let server = TaskTracker::new().spawn(async move {
        let (mut peer, _address) = listener.accept().await.unwrap();
        let _read = peer.read(&mut [0; 4096]).await;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
        let _sent = peer.write_all(head.as_bytes()).await;
        let mut sent = 0;
        while peer.write_all(&[b' '; 4096]).await.is_ok() {
            sent += 4096;
        }
        sent
    });
    let fetcher = crate::fetch::Fetcher::new(url.parse().unwrap());
    assert_eq!(fetcher.fetch().await.unwrap_err().class(), "too_large");
    // What was sent beyond the limit filled the sockets' buffers, and then the connection broke.
    assert!(server.await.unwrap() < 50_000_000);
}

const RSA_2048: &str = include_str!("certificates/rsa-2048.pem");
const RSA_1024: &str = include_str!("certificates/rsa-1024.pem");

#[test]
fn certificates_are_keys_by_their_ids() {
    let rotating = json!({"old": RSA_2048, "new": RSA_2048}).to_string();
    let keys = keys::parse(rotating.as_bytes()).unwrap();
    let mut kids: Vec<_> = keys.iter().map(|key| key.kid.as_str()).collect();
    kids.sort_unstable();
    assert_eq!(kids, ["new", "old"]);

    let many: serde_json::Map<_, _> =
        (0..101).map(|n| (format!("k{n}"), json!(RSA_2048))).collect();
    for bad in [
        json!({"k1": RSA_2048, "k2": RSA_1024}),
        json!({"k1": RSA_2048, "k2": include_str!("certificates/ec.pem")}),
        json!({"k1": RSA_2048, "k2": include_str!("certificates/rsa-pss.pem")}),
        json!({"k1": RSA_2048, "k2": RSA_2048.replace("CERTIFICATE", "PUBLIC KEY")}),
        json!({"k1": RSA_2048, "k2": jwk(1, "k2")}),
        json!({"k1": [RSA_2048]}),
        json!({"": RSA_2048}),
        json!({"keys": RSA_2048}),
        Value::Object(many),
    ] {
        assert!(keys::parse(bad.to_string().as_bytes()).is_err(), "{bad}");
    }
    let twice = format!(r#"{{"k1":{0},"k1":{0}}}"#, json!(RSA_2048));
    assert!(keys::parse(twice.as_bytes()).is_err());
}

#[tokio::test]
async fn a_token_is_checked_with_the_key_of_a_certificate() {
    let world = World::new(Answer::json(json!({"k1": certificate(0)}).to_string().as_bytes()));
    let world = world.await;
    world.verifier.verify(&token(|_, _| {})).await.unwrap();
    let forged = sign_as(1, &RSA_PKCS1_SHA256, &header().to_string(), &claims().to_string());
    let told = world.verifier.verify(&forged).await;
    assert!(matches!(told, Err(Error::Invalid("signature"))), "{told:?}");
}

/// A certificate of a pair. Of what is not read only the form is there.
fn certificate(pair: usize) -> String {
    let value = |tag: u8, bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        let length = match length {
            [0, short] if short < 0x80 => vec![short],
            [0, long] => vec![0x81, long],
            [high, low] => vec![0x82, high, low],
        };
        [&[tag], &*length, bytes].concat()
    };
    let public: PublicKeyX509Der<'_> = PAIRS[pair].public_key().as_der().unwrap();
    let empty = value(0x30, &[]);
    let signed = [
        value(0xa0, &value(0x02, &[2])),
        value(0x02, &[1]),
        empty.repeat(4),
        public.as_ref().to_vec(),
    ];
    let certificate = [value(0x30, &signed.concat()), empty, value(0x03, &[0])];
    let der = value(0x30, &certificate.concat());
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
}
