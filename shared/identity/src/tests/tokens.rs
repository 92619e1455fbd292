//! Keys of our own and tokens signed with them, good ones and others.
//!
//! The end-to-end tests read this file as well: what the verifier refuses by itself, every RPC of
//! every function refuses too.

use std::sync::LazyLock;

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaEncoding},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

pub(crate) const NOW: i64 = 1_800_000_000;
pub(crate) const PROJECT: &str = "demo-test";
pub(crate) const ISSUER: &str = "https://securetoken.google.com/demo-test";

/// Two pairs, made once: the first is published as `k1`, the second usually not at all.
pub(crate) static PAIRS: LazyLock<[KeyPair; 2]> =
    LazyLock::new(|| [0, 1].map(|_| KeyPair::generate(KeySize::Rsa2048).unwrap()));

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn jwk(pair: usize, kid: &str) -> Value {
    let public = PAIRS[pair].public_key();
    json!({
        "kty": "RSA",
        "alg": "RS256",
        "use": "sig",
        "kid": kid,
        "n": encode(public.modulus().big_endian_without_leading_zero()),
        "e": encode(public.exponent().big_endian_without_leading_zero()),
    })
}

pub(crate) fn header() -> Value {
    json!({"alg": "RS256", "typ": "JWT", "kid": "k1"})
}

pub(crate) fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "aud": PROJECT,
        "auth_time": NOW - 60,
        "user_id": "alice",
        "sub": "alice",
        "iat": NOW - 60,
        "exp": NOW + 3540,
        "email": "alice@example.com",
        "email_verified": true,
        "firebase": {"identities": {}, "sign_in_provider": "password"},
    })
}

pub(crate) fn sign_as(
    pair: usize,
    how: &'static dyn RsaEncoding,
    header: &str,
    claims: &str,
) -> String {
    let message = format!("{}.{}", encode(header), encode(claims));
    let mut signature = vec![0; PAIRS[pair].public_modulus_len()];
    let random = SystemRandom::new();
    PAIRS[pair].sign(how, &random, message.as_bytes(), &mut signature).unwrap();
    format!("{message}.{}", encode(signature))
}

/// Signs these very texts with the first pair.
pub(crate) fn sign(header: &str, claims: &str) -> String {
    sign_as(0, &RSA_PKCS1_SHA256, header, claims)
}

/// A good token but for what `edit` does to its header and claims.
pub(crate) fn token(edit: impl FnOnce(&mut Map<String, Value>, &mut Map<String, Value>)) -> String {
    let (mut header, mut claims) = (header(), claims());
    edit(header.as_object_mut().unwrap(), claims.as_object_mut().unwrap());
    sign(&header.to_string(), &claims.to_string())
}

/// A good token with one header parameter set, or taken away by `null`.
pub(crate) fn with_header(name: &str, value: Value) -> String {
    token(|header, _| set(header, name, value))
}

/// A good token with one claim set, or taken away by `null`.
pub(crate) fn with_claim(name: &str, value: Value) -> String {
    token(|_, claims| set(claims, name, value))
}

fn set(object: &mut Map<String, Value>, name: &str, value: Value) {
    match value {
        Value::Null => drop(object.remove(name)),
        value => drop(object.insert(name.to_owned(), value)),
    }
}
