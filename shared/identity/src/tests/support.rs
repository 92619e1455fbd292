//! Keys, tokens and a key server for tests.

use std::sync::{
    Arc, LazyLock, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaEncoding},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clock::Clock;
use serde_json::{Map, Value, json};
use settings::{Env, Reader};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::task::TaskTracker;

use crate::{Settings, Verifier};

pub(super) const NOW: i64 = 1_800_000_000;
pub(super) const PROJECT: &str = "demo-test";
pub(super) const ISSUER: &str = "https://securetoken.google.com/demo-test";

/// Two pairs, made once: the first is published as `k1`, the second usually not at all.
pub(super) static PAIRS: LazyLock<[KeyPair; 2]> =
    LazyLock::new(|| [0, 1].map(|_| KeyPair::generate(KeySize::Rsa2048).unwrap()));

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn jwk(pair: usize, kid: &str) -> Value {
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

pub(super) fn header() -> Value {
    json!({"alg": "RS256", "typ": "JWT", "kid": "k1"})
}

pub(super) fn claims() -> Value {
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

pub(super) fn sign_as(
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
pub(super) fn sign(header: &str, claims: &str) -> String {
    sign_as(0, &RSA_PKCS1_SHA256, header, claims)
}

/// A good token but for what `edit` does to its header and claims.
pub(super) fn token(edit: impl FnOnce(&mut Map<String, Value>, &mut Map<String, Value>)) -> String {
    let (mut header, mut claims) = (header(), claims());
    edit(header.as_object_mut().unwrap(), claims.as_object_mut().unwrap());
    sign(&header.to_string(), &claims.to_string())
}

/// A good token with one header parameter set, or taken away by `null`.
pub(super) fn with_header(name: &str, value: Value) -> String {
    token(|header, _| set(header, name, value))
}

/// A good token with one claim set, or taken away by `null`.
pub(super) fn with_claim(name: &str, value: Value) -> String {
    token(|_, claims| set(claims, name, value))
}

fn set(object: &mut Map<String, Value>, name: &str, value: Value) {
    match value {
        Value::Null => drop(object.remove(name)),
        value => drop(object.insert(name.to_owned(), value)),
    }
}

/// What a key server does with a request.
#[derive(Clone)]
pub(super) enum Answer {
    Raw(Vec<u8>),
    /// Answers once it is let.
    Held(Arc<Semaphore>, Box<Answer>),
    /// Accepts and never answers.
    Hang,
    /// Closes at once.
    Close,
}

impl Answer {
    pub(super) fn of(status: &str, headers: &str, body: &[u8]) -> Self {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n");
        Self::Raw([head.as_bytes(), body].concat())
    }

    pub(super) fn json(body: &[u8]) -> Self {
        Self::of("200 OK", "Content-Type: application/json; charset=UTF-8\r\n", body)
    }

    pub(super) fn keys(keys: &[Value]) -> Self {
        Self::json(json!({"keys": keys}).to_string().as_bytes())
    }
}

/// A key server, its clock, and a verifier that asks it.
pub(super) struct World {
    pub(super) verifier: Verifier,
    pub(super) clock: Clock,
    pub(super) tasks: TaskTracker,
    pub(super) url: String,
    answer: Arc<Mutex<Answer>>,
    requests: Arc<AtomicUsize>,
}

impl World {
    /// A world that publishes the first pair as `k1`, with the keys at hand.
    pub(super) async fn warm() -> Self {
        let world = Self::new(Answer::keys(&[jwk(0, "k1")])).await;
        world.verifier.warm().await;
        assert_eq!(world.requests(), 1);
        world
    }

    pub(super) async fn new(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let answer = Arc::new(Mutex::new(answer));
        let requests = Arc::new(AtomicUsize::default());
        let (said, seen) = (Arc::clone(&answer), Arc::clone(&requests));
        TaskTracker::new().spawn(async move {
            while let Ok((peer, _address)) = listener.accept().await {
                seen.fetch_add(1, Ordering::SeqCst);
                let answer = said.lock().unwrap().clone();
                TaskTracker::new().spawn(serve(peer, answer));
            }
        });
        let (clock, tasks) = (Clock::at(NOW), TaskTracker::new());
        let env = Env::of([("FIREBASE_PROJECT_ID", PROJECT)]).with("JWKS_URL", url.clone());
        let settings = Reader::new(&env).finish(Settings::read).unwrap();
        let verifier = Verifier::new(&settings, clock.clone(), tasks.clone());
        Self { verifier, clock, tasks, url, answer, requests }
    }

    /// What the server does from now on.
    pub(super) fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    /// How many connections the server has seen.
    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Waits for the fetches that were started.
    pub(super) async fn settle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }
}

async fn serve(mut peer: TcpStream, answer: Answer) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") && peer.read_buf(&mut request).await.unwrap_or(0) > 0 {}
    let answer = match answer {
        Answer::Held(gate, answer) => {
            gate.acquire().await.unwrap().forget();
            *answer
        }
        answer => answer,
    };
    match answer {
        // The client may have had enough before the end.
        Answer::Raw(bytes) => drop(peer.write_all(&bytes).await),
        Answer::Hang => std::future::pending().await,
        Answer::Close | Answer::Held(..) => {}
    }
}
