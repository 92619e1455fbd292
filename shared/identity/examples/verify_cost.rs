//! Prints what a verification costs, with and without the cache, and ends with 1 where that is more
//! than it may: run it with `--release`.

use std::{hint::black_box, process::ExitCode, time::Duration};

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

/// What a token may cost that was never seen, one that was, and all but one in a hundred of either.
const UNCACHED_MAX: Duration = Duration::from_micros(30);
const CACHED_MAX: Duration = Duration::from_micros(1);
const P99_MAX: Duration = Duration::from_micros(500);

fn main() -> Result<ExitCode, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure())
}

async fn measure() -> Result<ExitCode, Failure> {
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

    let uncached = each(&verifier, &tokens).await?;
    print("uncached, a signature check each", uncached.iter().sum(), TOKENS);

    let rounds = 200;
    let in_turn = rounds_of(&verifier, &tokens, rounds).await?;
    print("cached, 2,000 tokens in turn", in_turn, TOKENS * rounds);
    let hot = rounds_of(&verifier, &tokens[..1], TOKENS * rounds).await?;
    print("cached, one token", hot, TOKENS * rounds);
    let cached = each(&verifier, &tokens).await?;

    let forged: Vec<String> = tokens.iter().map(|token| forge(token)).collect();
    let started = Instant::now();
    for token in &forged {
        black_box(verifier.verify(token).await.is_err());
    }
    print("forged, a signature check each", started.elapsed(), TOKENS);

    compare(&pair, &tokens, &n)?;
    let holds = [
        holds("uncached, the mean", mean(&uncached), UNCACHED_MAX),
        holds("cached, the mean in turn", in_turn / u32::try_from(TOKENS * rounds)?, CACHED_MAX),
        holds("uncached, p99", p99(uncached), P99_MAX),
        holds("cached, p99", p99(cached), P99_MAX),
    ];
    let all_hold = holds.into_iter().all(|holds| holds);
    Ok(if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How long each of the tokens takes.
async fn each(verifier: &Verifier, tokens: &[String]) -> Result<Vec<Duration>, Failure> {
    let mut took = Vec::with_capacity(tokens.len());
    for token in tokens {
        let started = Instant::now();
        black_box(verifier.verify(token).await?);
        took.push(started.elapsed());
    }
    Ok(took)
}

/// How long all of them take so often.
async fn rounds_of(
    verifier: &Verifier,
    tokens: &[String],
    rounds: usize,
) -> Result<Duration, Failure> {
    let started = Instant::now();
    for _round in 0..rounds {
        for token in tokens {
            black_box(verifier.verify(token).await?);
        }
    }
    Ok(started.elapsed())
}

fn mean(took: &[Duration]) -> Duration {
    let times = u32::try_from(took.len()).unwrap_or(u32::MAX);
    took.iter().sum::<Duration>() / times
}

fn p99(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

/// Whether something costs no more than it may.
#[expect(clippy::print_stdout, reason = "printing is what this program is for")]
fn holds(what: &str, took: Duration, max: Duration) -> bool {
    let holds = took <= max;
    let verdict = if holds { "holds" } else { "FAILED" };
    println!("{:>9} ns  {what}: at most {max:?}, {verdict}", took.as_nanos());
    holds
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
