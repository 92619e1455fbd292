//! The issuer behind something that notes what it is asked, and answers itself when it is told to.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header},
};
use serde_json::{Value, json};
use tests::world;
use tokio::{net::TcpListener, sync::oneshot, time::sleep};
use tokio_util::task::TaskTracker;

/// A way to the issuer of the tests.
pub(crate) struct Front {
    address: SocketAddr,
    told: Arc<Told>,
}

/// What is said instead of the issuer.
#[derive(Clone)]
struct Word {
    status: StatusCode,
    body: Bytes,
}

/// A request that waits until it is let go.
pub(crate) struct Held {
    came: oneshot::Receiver<()>,
    go: oneshot::Sender<()>,
}

/// The other ends of it.
struct Holder {
    end: &'static str,
    came: oneshot::Sender<()>,
    go: oneshot::Receiver<()>,
}

#[derive(Default)]
struct Told {
    asked: Mutex<Vec<String>>,
    /// What paths that end so are answered with, and how often still.
    answers: Mutex<Option<(&'static str, Word, usize)>>,
    holds: Mutex<Option<Holder>>,
    /// What takes longer where it goes well, and by how much.
    lingers: Mutex<(&'static [&'static str], Duration)>,
}

impl Front {
    pub(crate) async fn open() -> Self {
        let told = Arc::<Told>::default();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let router = Router::new().fallback(pass).with_state((Arc::clone(&told), client));
        TaskTracker::new().spawn(async move { axum::serve(listener, router).await });
        Self { address, told }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The key file of the issuer's account, with this for where its tokens are had.
    pub(crate) fn service_account(&self) -> String {
        world().issuer.service_account(&self.url()).unwrap()
    }

    /// Has so many of the next requests for paths that end so answered with a status.
    pub(crate) fn answers(&self, end: &'static str, status: u16, times: usize) {
        self.has_said(end, (status, Bytes::new()), times);
    }

    /// Has the next request for a path that ends so refused with one of Firebase's words.
    pub(crate) fn refuses(&self, end: &'static str, word: &str) {
        let error = json!({ "error": { "code": 400, "message": word } });
        self.has_said(end, (400, error.to_string().into()), 1);
    }

    /// Has the next request for a path that ends so go well, with this for an answer.
    pub(crate) fn grants(&self, end: &'static str, answer: &Value) {
        self.has_said(end, (200, answer.to_string().into()), 1);
    }

    fn has_said(&self, end: &'static str, (status, body): (u16, Bytes), times: usize) {
        let status = StatusCode::from_u16(status).unwrap();
        *self.told.answers.lock().unwrap() = Some((end, Word { status, body }, times));
    }

    /// Has the next request for a path that ends so wait.
    pub(crate) fn holds(&self, end: &'static str) -> Held {
        let (comes, came) = oneshot::channel();
        let (go, goes) = oneshot::channel();
        *self.told.holds.lock().unwrap() = Some(Holder { end, came: comes, go: goes });
        Held { came, go }
    }

    /// Has requests for paths that end so take longer where they go well.
    pub(crate) fn lingers(&self, ends: &'static [&'static str], by: Duration) {
        *self.told.lingers.lock().unwrap() = (ends, by);
    }

    /// How often a path that ends so was asked for.
    pub(crate) fn asked(&self, end: &str) -> usize {
        self.told.asked.lock().unwrap().iter().filter(|path| path.ends_with(end)).count()
    }
}

impl Held {
    /// Waits until it is there.
    pub(crate) async fn came(&mut self) {
        (&mut self.came).await.unwrap();
    }

    /// Waits until nobody waits for its answer any more.
    pub(crate) async fn left(&mut self) {
        self.go.closed().await;
    }

    /// Lets it go on.
    pub(crate) fn goes(self) {
        drop(self.go);
    }
}

impl Told {
    async fn hold(&self, path: &str) {
        let holder = self.holds.lock().unwrap().take_if(|holder| path.ends_with(holder.end));
        let Some(Holder { came, go, .. }) = holder else { return };
        came.send(()).unwrap_or_default();
        let _gone = go.await;
    }

    async fn linger(&self, path: &str) {
        let (ends, by) = *self.lingers.lock().unwrap();
        if ends.iter().any(|end| path.ends_with(end)) {
            sleep(by).await;
        }
    }

    fn answer(&self, path: &str) -> Option<Word> {
        let mut answers = self.answers.lock().unwrap();
        let (end, word, times) = answers.as_mut()?;
        if !path.ends_with(*end) || *times == 0 {
            return None;
        }
        *times -= 1;
        Some(word.clone())
    }
}

async fn pass(
    State((told, client)): State<(Arc<Told>, reqwest::Client)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(HeaderName, &'static str); 1], Bytes) {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    told.asked.lock().unwrap().push(uri.path().to_owned());
    told.hold(uri.path()).await;
    if let Some(Word { status, body }) = told.answer(uri.path()) {
        return (status, kind, body);
    }
    let mut request = client.request(method, format!("http://{}{uri}", world().issuer_address));
    request = request.body(body);
    // The host as well: assertions are for where they are shown.
    for name in [header::HOST, header::AUTHORIZATION, header::CONTENT_TYPE] {
        if let Some(value) = headers.get(&name) {
            request = request.header(name, value);
        }
    }
    let answer = request.send().await.unwrap();
    if answer.status().is_success() {
        told.linger(uri.path()).await;
    }
    (answer.status(), kind, answer.bytes().await.unwrap())
}
