//! Fetches the key set over HTTP, from a server that may be slow, broken or hostile.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{HeaderMap, StatusCode, header};
use reqwest::{Client, Url, redirect};

use crate::keys::{self, Key};

/// The most bytes of a key set.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long a fetch may take, from the first lookup to the last byte.
const FETCH_TIME_MAX: Duration = Duration::from_secs(3);

/// How long a key set is used when its server does not say.
const MAX_AGE_DEFAULT: Duration = Duration::from_hours(1);
const MAX_AGE_SECS_LEAST: u64 = 60;
const MAX_AGE_SECS_MOST: u64 = 24 * 3600;

/// Why there is no new key set.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The HTTP client cannot be made, as on a machine without root certificates.
    #[error("the HTTP client for token keys cannot be made")]
    Client(#[source] reqwest::Error),
    /// The server did not answer in time.
    #[error("the key server took too long")]
    TimedOut,
    /// The server cannot be reached, or broke off.
    #[error("the key server does not answer")]
    Unreachable(#[source] reqwest::Error),
    /// The server answered with another status than 200; redirects are not followed.
    #[error("the key server answered with status {0}")]
    Status(u16),
    /// The answer is not JSON, by its own word.
    #[error("the key server's answer is not JSON")]
    NotJson,
    /// The answer is larger than any key set.
    #[error("the key server's answer is too large")]
    TooLarge,
    /// The answer is not a key set to be trusted.
    #[error("the key set is refused: {0}")]
    Refused(&'static str),
    /// There is no place to wait for the fetch.
    #[error("too many wait for the token keys")]
    Crowded,
    /// The fetch ended without a result, as when the process stops.
    #[error("the fetch of the token keys was given up")]
    GivenUp,
}

impl FetchError {
    /// The kind of failure, for metrics and health.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Client(_) => "client",
            Self::TimedOut => "timeout",
            Self::Unreachable(_) => "unreachable",
            Self::Status(_) => "status",
            Self::NotJson => "content_type",
            Self::TooLarge => "too_large",
            Self::Refused(_) => "refused",
            Self::Crowded => "crowded",
            Self::GivenUp => "given_up",
        }
    }
}

/// A key set's keys, and how long its server says they are good.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) keys: Vec<Key>,
    pub(crate) max_age: Duration,
}

/// Fetches from one URL.
#[derive(Debug)]
pub(crate) struct Fetcher {
    url: Url,
    /// Made at the first fetch: it reads the machine's root certificates, which is slow and can
    /// fail. A failure is not kept, so that the next fetch tries again.
    client: Arc<OnceLock<Client>>,
}

impl Fetcher {
    pub(crate) fn new(url: Url) -> Self {
        Self { url, client: Arc::default() }
    }

    /// Fetches the keys once. The one limit on time is here, over all of it.
    pub(crate) async fn fetch(&self) -> Result<Fetched, FetchError> {
        match tokio::time::timeout(FETCH_TIME_MAX, self.ask()).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(FetchError::TimedOut),
        }
    }

    async fn ask(&self) -> Result<Fetched, FetchError> {
        let request = self.client().await?.get(self.url.clone());
        let mut answer =
            request.header(header::ACCEPT, "application/json").send().await.map_err(unreachable)?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        if !is_json(answer.headers()) {
            return Err(FetchError::NotJson);
        }
        let max_age = max_age(answer.headers());
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Fetched { keys: keys::parse(&body).map_err(FetchError::Refused)?, max_age })
    }

    async fn client(&self) -> Result<Client, FetchError> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let (cell, url) = (Arc::clone(&self.client), self.url.clone());
        // Reading certificates blocks; calls whose keys are known must not wait behind it.
        let made = tokio::task::spawn_blocking(move || {
            client(&url).map(|client| cell.get_or_init(|| client).clone())
        });
        match made.await {
            Ok(made) => made.map_err(FetchError::Client),
            Err(_stopped) => Err(FetchError::GivenUp),
        }
    }
}

/// The URL stays out: what it asks with may be secret, and errors are logged.
fn unreachable(error: reqwest::Error) -> FetchError {
    FetchError::Unreachable(error.without_url())
}

fn client(url: &Url) -> Result<Client, reqwest::Error> {
    // Fails when the process has chosen one already, which is as good.
    let _chosen = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let secure = url.scheme() == "https";
    let client = Client::builder()
        .user_agent("mayfly")
        .redirect(redirect::Policy::none())
        .no_proxy()
        .https_only(secure)
        // Fetches are an hour apart: a kept connection would only be a dead one.
        .pool_max_idle_per_host(0);
    // Unless told otherwise the builder wants the machine's certificates, which an image without
    // any use for them may lack.
    if secure { client.build() } else { client.tls_certs_only([]).build() }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = kind.split(';').next().unwrap_or_default().trim();
    ["application/json", "application/jwk-set+json"]
        .iter()
        .any(|json| essence.eq_ignore_ascii_case(json))
}

/// How long the answer may be used, within bounds: neither a fetch per call nor one a year.
pub(crate) fn max_age(headers: &HeaderMap) -> Duration {
    let values = headers.get_all(header::CACHE_CONTROL).iter();
    let mut directives = values.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    let seconds = directives.find_map(|directive| {
        let (name, value) = directive.split_once('=')?;
        let seconds = value.trim().trim_matches('"').parse::<u64>().ok()?;
        name.trim().eq_ignore_ascii_case("max-age").then_some(seconds)
    });
    seconds.map_or(MAX_AGE_DEFAULT, |seconds| {
        Duration::from_secs(seconds.clamp(MAX_AGE_SECS_LEAST, MAX_AGE_SECS_MOST))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn with(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn the_servers_word_on_age_is_taken_within_bounds() {
        let age = |value| max_age(&with(header::CACHE_CONTROL, value)).as_secs();
        assert_eq!(age("public, max-age=19306, must-revalidate, no-transform"), 19_306);
        assert_eq!(age("Max-Age = \"600\""), 600);
        assert_eq!(age("max-age=0"), 60);
        assert_eq!(age("max-age=99999999999"), 86_400);
        for unsaid in ["no-store", "s-maxage=7", "max-age=-1", "max-age=x", "max-age", ""] {
            assert_eq!(age(unsaid), 3600, "{unsaid}");
        }
        assert_eq!(max_age(&HeaderMap::new()).as_secs(), 3600);
    }

    #[test]
    fn json_says_that_it_is_json() {
        let json = |value| is_json(&with(header::CONTENT_TYPE, value));
        assert!(json("application/json; charset=UTF-8") && json("Application/JWK-Set+JSON"));
        assert!(!json("text/html") && !json("application/jsonp") && !json("text/json"));
        assert!(!is_json(&HeaderMap::new()));
    }
}
