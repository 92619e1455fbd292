//! Prints what a verification costs, with and without the cache: run it with `--release`.

use std::{hint::black_box, time::Duration};

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clock::Clock;
use identity::{Settings, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::json;
use settings::{Env, Reader};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::Instant,
};
use tokio_util::task::TaskTracker;

type Failure = Box<dyn std::error::Error>;

const NOW: i64 = 1_800_000_000;
const TOKENS: usize = 2_000;

fn main() -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure())
}

async fn measure() -> Result<(), Failure> {
    let pair = KeyPair::generate(KeySize::Rsa2048)?;
    let public = pair.public_key();
    let n = URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero());
    let key = json!({"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "k1", "e": "AQAB", "n": n});
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/keys", listener.local_addr()?);
    let tasks = TaskTracker::new();
    tasks.spawn(serve(listener, json!({"keys": [key]}).to_string()));

    let env = Env::of([("FIREBASE_PROJECT_ID", "demo-cost")]).with("JWKS_URL", url);
    let settings = Reader::new(&env).finish(Settings::read)?;
    let verifier = Verifier::new(&settings, Clock::at(NOW), tasks);
    verifier.warm().await;
    let tokens: Vec<String> =
        (0..TOKENS).map(|which| token(&pair, which)).collect::<Result<_, _>>()?;

    let started = Instant::now();
    for token in &tokens {
        black_box(verifier.verify(token).await?);
    }
    print("uncached, a signature check each", started.elapsed(), TOKENS);

    let rounds = 200;
    let started = Instant::now();
    for _round in 0..rounds {
        for token in &tokens {
            black_box(verifier.verify(token).await?);
        }
    }
    print("cached, 2,000 tokens in turn", started.elapsed(), TOKENS * rounds);

    let hot = &tokens[..1];
    let started = Instant::now();
    for _round in 0..TOKENS * rounds {
        black_box(verifier.verify(&hot[0]).await?);
    }
    print("cached, one token", started.elapsed(), TOKENS * rounds);

    let forged: Vec<String> = tokens.iter().map(|token| forge(token)).collect();
    let started = Instant::now();
    for token in &forged {
        black_box(verifier.verify(token).await.is_err());
    }
    print("forged, a signature check each", started.elapsed(), TOKENS);

    compare(&pair, &tokens, &n)?;
    Ok(())
}

/// The same signature check by two libraries: the one with the key parsed once, and the one that
/// builds the key for each token.
fn compare(pair: &KeyPair, tokens: &[String], n: &str) -> Result<(), Failure> {
    let der = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key())?;
    let parsed = aws_lc_rs::signature::ParsedPublicKey::new(
        &aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256,
        der.as_ref(),
    )?;
    let built = DecodingKey::from_rsa_components(n, "AQAB")?;
    let parts = || tokens.iter().filter_map(|token| token.rsplit_once('.'));
    for _round in 0..2 {
        let started = Instant::now();
        for (message, signature) in parts() {
            parsed.verify_sig(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature)?)?;
        }
        print("signature alone, aws-lc-rs parsed key", started.elapsed(), TOKENS);
        let started = Instant::now();
        for (message, signature) in parts() {
            let message = message.as_bytes();
            let good = jsonwebtoken::crypto::verify(signature, message, &built, Algorithm::RS256)?;
            assert!(good, "a good signature");
        }
        print("signature alone, jsonwebtoken", started.elapsed(), TOKENS);
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "printing is what this program is for")]
fn print(what: &str, took: Duration, times: usize) {
    println!("{:>9} ns  {what}", took.as_nanos() / times as u128);
}

fn token(pair: &KeyPair, which: usize) -> Result<String, Failure> {
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}).to_string();
    let claims = json!({
        "iss": "https://securetoken.google.com/demo-cost",
        "aud": "demo-cost",
        "auth_time": NOW - 60,
        "user_id": format!("person-{which:028}"),
        "sub": format!("person-{which:028}"),
        "iat": NOW - 60,
        "exp": NOW + 3540,
        "email": "somebody@example.com",
        "email_verified": true,
        "roles": ["member"],
        "firebase": {
            "identities": {"email": ["somebody@example.com"]},
            "sign_in_provider": "password",
        },
    });
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", encode(&header), encode(&claims.to_string()));
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)?;
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Another body under the same signature.
fn forge(token: &str) -> String {
    let (message, signature) = token.rsplit_once('.').unwrap_or_default();
    let (header, _claims) = message.split_once('.').unwrap_or_default();
    format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(r#"{"sub":"mallory"}"#))
}

async fn serve(listener: TcpListener, keys: String) {
    while let Ok((mut peer, _address)) = listener.accept().await {
        let mut request = [0; 4096];
        let _read = peer.read(&mut request).await;
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{keys}",
            keys.len()
        );
        let _written = peer.write_all(answer.as_bytes()).await;
    }
}
