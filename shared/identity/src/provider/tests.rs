//! Tokens from sources that answer, hang and go away.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener},
    task::JoinSet,
    time::Instant,
};

use super::*;

const NOW: i64 = 1_800_000_000;

fn name(text: &str) -> ServiceName {
    ServiceName::parse(text).unwrap()
}

fn token(expire_time: i64) -> String {
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = encode(json!({ "alg": "RS256", "kid": "k1" }));
    format!("{header}.{}.AAAA", encode(json!({ "exp": expire_time })))
}

/// Answers one request, and tells what it asked.
async fn answer(mut peer: impl AsyncRead + AsyncWrite + Unpin, with: String) -> Value {
    let mut request = Vec::new();
    while !request.ends_with(b"}") {
        assert!(peer.read_buf(&mut request).await.unwrap() > 0);
    }
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", with.len());
    peer.write_all((head + &with).as_bytes()).await.unwrap();
    let text = String::from_utf8(request).unwrap();
    assert!(text.starts_with("POST /v1/tokens/oidc HTTP/1.1\r\n"), "{text}");
    serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap()
}

/// A provider of `data`, its clock, and the source that it asks.
struct World {
    provider: Arc<Provider>,
    clock: Clock,
    source: TcpListener,
}

impl World {
    async fn new() -> Self {
        let source = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", source.local_addr().unwrap())).unwrap();
        let clock = Clock::at(NOW);
        let provider = provider(TokenSource::Issuer(url), &clock);
        Self { provider, clock, source }
    }

    /// The same with a token for `user` that is good for ten minutes.
    async fn warm() -> (Self, Arc<str>) {
        let world = Self::new().await;
        let (told, asked) = tokio::join!(world.token(), world.answer(600));
        assert_eq!(asked, json!({ "aud": "user", "sub": "data" }));
        (world, told.unwrap())
    }

    async fn token(&self) -> Outcome {
        self.provider.token(&name("user")).await
    }

    async fn asked(&self) -> TcpStream {
        self.source.accept().await.unwrap().0
    }

    /// Answers the next ask with a token that is good for so many seconds.
    async fn answer(&self, life: i64) -> Value {
        answer(self.asked().await, token(self.clock.unix_secs() + life)).await
    }
}

fn provider(source: TokenSource, clock: &Clock) -> Arc<Provider> {
    Arc::new(Provider::new(name("data"), source, clock.clone(), TaskTracker::new()))
}

/// Waits for the asks that were begun.
async fn settle(provider: &Provider) {
    provider.tasks.close();
    provider.tasks.wait().await;
    provider.tasks.reopen();
}

#[tokio::test]
async fn a_machines_socket_signs_and_a_token_is_renewed_after_half_its_life() {
    let path = std::env::temp_dir().join(format!("mayfly-api-{}", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let asked = TaskTracker::new().spawn(async move {
        let mut asked = Vec::new();
        for life in [600, 900] {
            let (peer, _address) = listener.accept().await.unwrap();
            asked.push(answer(peer, token(NOW + life)).await);
        }
        asked
    });
    let clock = Clock::at(NOW);
    let provider = provider(TokenSource::Socket(path.clone()), &clock);
    let first = provider.token(&name("user")).await.unwrap();
    clock.advance(Duration::from_secs(299));
    assert_eq!(provider.token(&name("user")).await.unwrap(), first);
    clock.advance(Duration::from_secs(1));
    // Nobody waits for that.
    assert_eq!(provider.token(&name("user")).await.unwrap(), first);
    settle(&provider).await;
    assert_ne!(provider.token(&name("user")).await.unwrap(), first);
    assert_eq!(asked.await.unwrap(), [json!({ "aud": "user" }), json!({ "aud": "user" })]);
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn an_issuer_on_this_machine_is_told_who_asks() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let asked = TaskTracker::new().spawn(async move {
        let (peer, _address) = listener.accept().await.unwrap();
        let asked = answer(peer, token(NOW + 600)).await;
        // One that is over, and one that is none.
        for bad in [token(NOW), "{}".to_owned()] {
            let (peer, _address) = listener.accept().await.unwrap();
            answer(peer, bad).await;
        }
        asked
    });
    let provider = provider(TokenSource::Issuer(url), &Clock::at(NOW));
    provider.token(&name("user")).await.unwrap();
    for _bad in 0..2 {
        let told = provider.token(&name("file")).await;
        assert!(matches!(told, Err(ProviderError::NoToken)), "{told:?}");
    }
    assert_eq!(asked.await.unwrap(), json!({ "aud": "user", "sub": "data" }));
    let told = provider.token(&name("file")).await;
    assert!(matches!(told, Err(ProviderError::Unreachable(_))), "{told:?}");
}

#[tokio::test]
async fn a_token_serves_until_it_ends_while_its_source_is_away() {
    let (world, first) = World::warm().await;
    world.clock.advance(Duration::from_mins(5));
    let later = async |secs| {
        world.clock.advance(Duration::from_secs(secs));
        for _call in 0..50 {
            assert_eq!(world.token().await.unwrap(), first);
        }
    };
    // After an ask that failed there is none for five seconds.
    for after in [0, 5] {
        later(after).await;
        drop(world.asked().await);
        settle(&world.provider).await;
        later(4).await;
        assert!(world.provider.tasks.is_empty(), "it rests");
    }
    let World { provider, clock, source } = world;
    drop(source);
    clock.advance(Duration::from_secs(281));
    assert_eq!(provider.token(&name("user")).await.unwrap(), first);
    clock.advance(Duration::from_secs(1));
    let told = provider.token(&name("user")).await;
    assert!(matches!(told, Err(ProviderError::Unreachable(_))), "{told:?}");
}

#[tokio::test]
async fn whoever_has_a_token_does_not_wait_for_a_source_that_hangs() {
    let (world, first) = World::warm().await;
    world.clock.advance(Duration::from_mins(5));
    let started = Instant::now();
    for _call in 0..50 {
        assert_eq!(world.token().await.unwrap(), first);
    }
    assert!(started.elapsed() < TIME_MAX / 2, "{:?}", started.elapsed());
    let _hangs = world.asked().await;
    assert_eq!(world.provider.tasks.len(), 1);
}

#[tokio::test]
async fn of_many_without_a_token_one_asks_and_none_who_leaves_ends_the_ask() {
    let world = World::new().await;
    let hurried = timeout(Duration::from_millis(50), world.token());
    assert!(hurried.await.is_err());
    let mut calls = JoinSet::new();
    for _call in 0..50 {
        let provider = Arc::clone(&world.provider);
        calls.spawn(async move { provider.token(&name("user")).await.unwrap() });
    }
    tokio::task::yield_now().await;
    world.answer(600).await;
    let told = calls.join_all().await;
    assert!(told.iter().all(|token| *token == told[0]));
    assert!(world.provider.tasks.is_empty());
}
