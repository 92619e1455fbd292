//! Calls to an HTTP service of somebody else's.
//!
//! Nothing of our own caller is sent along: neither their token nor their trace is for others.

use std::{fmt, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use call::Call;
use clock::Clock;
use http::{HeaderMap, StatusCode};
use reqwest::{Client, Url, redirect};

use crate::{
    Error, Request,
    breaker::Verdict,
    dependency::{Again, Attempt, Dependency, Errand, Failed},
    error::Unable,
    kept::Kept,
    pushback::Pushback,
};

/// The most bytes of an answer's body.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;

/// How long a connection is kept that nobody uses: shorter than those in between keep it.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// A client of one HTTP service. Clones share its connections.
#[derive(Clone)]
pub struct Http {
    dependency: Arc<Dependency>,
    base: Url,
    clock: Clock,
    /// Made at the first call: it reads the machine's root certificates, which is slow and can
    /// fail. A failure is not kept, so that the next call tries again.
    client: Arc<Kept<Client>>,
}

/// What an HTTP service answered.
#[derive(Clone)]
pub struct Answer {
    /// The status: any but those that say to come back later, which are [`Error::Unavailable`].
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Bytes,
}

impl Http {
    pub(crate) fn new(dependency: Arc<Dependency>, base: Url, clock: Clock) -> Self {
        let client = Arc::new(Kept::new(clock.clone()));
        Self { dependency, base, clock, client }
    }

    /// Sends `request` within the deadline of `call`, again if it may be and that can help.
    pub async fn call(&self, call: &Call, request: &Request) -> Result<Answer, Error> {
        let exchange = Exchange { http: self, url: self.url(request), request };
        self.dependency.call(call, &exchange).await
    }

    /// Where the request goes. Only path and query are its own, whatever stands in them.
    fn url(&self, request: &Request) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{}", self.base.path().trim_end_matches('/'), request.path));
        for (name, value) in &request.query {
            url.query_pairs_mut().append_pair(name, value);
        }
        url
    }

    async fn client(&self) -> Result<Client, Failed> {
        let (url, connect_max) = (self.base.clone(), self.dependency.settings.connect_max);
        // Reading certificates blocks; other calls must not wait behind it.
        let made = self.client.get_or_make(move || client(&url, connect_max)).await;
        // A failure is this machine's, not the dependency's.
        let failed = |cause| self.dependency.unavailable(Verdict::Unknown, Again::Never, cause);
        made.map_err(|cause| failed(cause).unsent())
    }
}

/// One request, as often as it takes.
struct Exchange<'c> {
    http: &'c Http,
    url: Url,
    request: &'c Request,
}

// === impl Exchange ===

impl Errand for Exchange<'_> {
    type Answer = Answer;

    async fn attempt(&self, _attempt: Attempt) -> Result<Answer, Failed> {
        let answer = self.send().await?;
        let said = || Pushback::of_http(&answer.headers, self.http.clock.unix_secs());
        let (verdict, again) = match answer.status.as_u16() {
            // It is well, and wants less of us: without its word on when, it is not asked again.
            429 => match said() {
                Pushback::None => (Verdict::Well, Again::Never),
                said => (Verdict::Well, said.into()),
            },
            500 | 502..=504 => (Verdict::Ill, said().into()),
            _ => return Ok(answer),
        };
        let unable = Unable(answer.status.as_u16());
        Err(self.http.dependency.unavailable(verdict, again, unable))
    }

    fn is_repeatable(&self) -> bool {
        self.request.is_repeatable
    }
}

impl Exchange<'_> {
    async fn send(&self) -> Result<Answer, Failed> {
        let Request { method, headers, body, .. } = self.request;
        let sending = self.http.client().await?.request(method.clone(), self.url.clone());
        let sending = sending.headers(headers.clone()).body(body.clone());
        let broken = |error| self.broken(error);
        let mut answer = sending.send().await.map_err(broken)?;
        let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(broken)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                let error = Error::TooLarge { dependency: self.http.dependency.name };
                return Err(Failed { error, verdict: Verdict::Well, again: Again::Never });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body: body.freeze() })
    }

    /// There was no answer, or not all of it.
    fn broken(&self, error: reqwest::Error) -> Failed {
        // A URL can hold a key.
        let error = error.without_url();
        let dependency = &self.http.dependency;
        if error.is_builder() {
            let error = Error::Unsendable { dependency: dependency.name, cause: error.into() };
            return Failed { error, verdict: Verdict::Unknown, again: Again::Never };
        }
        let is_connected = !error.is_connect();
        let failed = dependency.unavailable(Verdict::Ill, Again::Scheduled, error);
        if is_connected { failed } else { failed.unsent() }
    }
}

fn client(base: &Url, connect_max: Duration) -> Result<Client, reqwest::Error> {
    // Fails when the process has chosen one already, which is as good.
    let _chosen = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let secure = base.scheme() == "https";
    let client = Client::builder()
        .user_agent("mayfly")
        .redirect(redirect::Policy::none())
        // What is sent again, and how often, is decided above.
        .retry(reqwest::retry::never())
        .no_proxy()
        .https_only(secure)
        .connect_timeout(connect_max)
        .tcp_nodelay(true)
        .pool_idle_timeout(IDLE_MAX);
    // Unless told otherwise the builder wants the machine's certificates, which an image without
    // any use for them may lack.
    if secure { client.build() } else { client.tls_certs_only([]).build() }
}

/// Where it is stays out: a base can hold a key.
impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("dependency", &self.dependency.name).finish_non_exhaustive()
    }
}

/// Headers and body can hold tokens: they stay out.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}
