//! A key server for tests, and a verifier that asks it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use clock::Clock;
use serde_json::{Value, json};
use settings::{Env, Reader};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::task::TaskTracker;

pub(super) use super::tokens::*;
use crate::{Settings, Verifier};

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
        Self::asking(answer, "").await
    }

    /// The same, whose server is asked with this behind its path.
    pub(super) async fn asking(answer: Answer, query: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys{query}", listener.local_addr().unwrap());
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

    /// Lets time pass on both clocks, which we would otherwise wait for.
    pub(super) async fn pass(&self, span: Duration) {
        self.clock.advance(span);
        tokio::time::pause();
        tokio::time::advance(span).await;
        tokio::time::resume();
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
