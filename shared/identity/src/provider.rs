//! Gets a function's own tokens, by which the functions that it calls know it.
//!
//! On Fly the machine's API signs them, over a socket that only the machine has; on one machine the
//! local issuer does. Both take `POST /v1/tokens/oidc` with the `aud` that is asked for. What the
//! machine is, Fly knows; the local issuer is told, as `sub`.

use std::{
    collections::HashMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use clock::{Clock, Moment};
use http::{StatusCode, header};
use reqwest::{Client, Url, redirect};
use serde_json::{Value, json};
use tokio::{sync::watch, time::timeout};
use tokio_util::task::TaskTracker;

use crate::{ServiceName, TOKEN_BYTES_MAX, json as strict, token};

/// How long it may take to get one.
const TIME_MAX: Duration = Duration::from_secs(3);

/// How soon after an ask that failed there is another, while the token at hand still serves.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// How long before its end a token is no longer shown: it has to arrive.
const END_MARGIN: Duration = Duration::from_secs(5);

/// Where tokens are asked for, below whatever signs them.
const PATH: &str = "/v1/tokens/oidc";

/// Whatever signs this function's tokens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TokenSource {
    /// A socket of this machine, on Fly `/.fly/api`.
    Socket(PathBuf),
    /// An issuer on this machine.
    Issuer(Url),
}

/// Why there is no token to call with.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProviderError {
    /// It does not answer, or breaks off.
    #[error("whatever signs our tokens does not answer")]
    Unreachable(#[source] Arc<reqwest::Error>),
    /// It takes too long.
    #[error("whatever signs our tokens took too long")]
    TimedOut,
    /// It answers with another status than 200.
    #[error("whatever signs our tokens answered with status {0}")]
    Status(u16),
    /// What it answers is no token.
    #[error("what was signed is no token")]
    NoToken,
    /// The ask ended without a result, as when the process stops.
    #[error("the ask for a token was given up")]
    GivenUp,
}

/// Gets tokens of one function. Each is renewed after half of its life, and serves for the other half
/// while that fails.
///
/// At most one ask for the same is under way. It is a task of its own, so that a caller who goes
/// away does not end it for the others.
pub struct Provider {
    function: ServiceName,
    source: TokenSource,
    clock: Clock,
    tasks: TaskTracker,
    /// By whom they are for: as many as there are functions.
    desks: Mutex<HashMap<ServiceName, Desk>>,
}

/// What is known of the tokens for one function.
#[derive(Default)]
struct Desk {
    kept: Option<Kept>,
    /// The last ask. It is under way for as long as its task holds the other end.
    flight: Option<Flight>,
    /// When the last ask failed, if it did.
    failed: Option<Moment>,
}

type Outcome = Result<Arc<str>, ProviderError>;
type Flight = watch::Receiver<Option<Outcome>>;

#[derive(Clone)]
struct Kept {
    token: Arc<str>,
    got: Moment,
    left: Duration,
}

impl Provider {
    /// Gets the tokens of `function` from `source`. Asks run on `tasks`.
    pub fn new(
        function: ServiceName,
        source: TokenSource,
        clock: Clock,
        tasks: TaskTracker,
    ) -> Self {
        Self { function, source, clock, tasks, desks: Mutex::default() }
    }

    /// A token to call `callee` with. Only where there is none that is good, it is waited for.
    pub async fn token(self: &Arc<Self>, callee: &ServiceName) -> Outcome {
        let mut flight = match self.kept_or_asked(callee) {
            Ok(token) => return Ok(token),
            Err(flight) => flight,
        };
        let told = flight.wait_for(Option::is_some).await;
        told.ok().and_then(|told| told.clone()).unwrap_or(Err(ProviderError::GivenUp))
    }

    /// The token at hand, or the ask for one. One that grows old is asked for behind the callers'
    /// backs.
    fn kept_or_asked(self: &Arc<Self>, callee: &ServiceName) -> Result<Arc<str>, Flight> {
        let now = self.clock.now();
        let mut desks = self.desks();
        let desk = desks.entry(callee.clone()).or_default();
        let Some(kept) = desk.kept.clone().filter(|kept| kept.is_good(now)) else {
            return Err(self.fly(callee, desk));
        };
        let rests = desk.failed.is_some_and(|failed| failed.age(now) < AGAIN_AFTER);
        if !kept.is_fresh(now) && !rests {
            self.fly(callee, desk);
        }
        Ok(kept.token)
    }

    /// Joins the ask that is under way, or begins one.
    fn fly(self: &Arc<Self>, callee: &ServiceName, desk: &mut Desk) -> Flight {
        if let Some(flight) = &desk.flight
            && flight.has_changed().is_ok()
        {
            return flight.clone();
        }
        let (landing, flight) = watch::channel(None);
        desk.flight = Some(flight.clone());
        let (provider, callee) = (Arc::clone(self), callee.clone());
        self.tasks.spawn(async move {
            let asked = timeout(TIME_MAX, provider.ask(&callee)).await;
            let text = asked.unwrap_or(Err(ProviderError::TimedOut));
            let fresh = text.and_then(|text| provider.kept(&text).ok_or(ProviderError::NoToken));
            landing.send_replace(Some(provider.land(&callee, fresh)));
        });
        flight
    }

    /// Takes in what an ask has brought. The old token stays unless there is a new one.
    fn land(&self, callee: &ServiceName, fresh: Result<Kept, ProviderError>) -> Outcome {
        let now = self.clock.now();
        let mut desks = self.desks();
        let desk = desks.entry(callee.clone()).or_default();
        match fresh {
            Ok(fresh) => {
                let token = Arc::clone(&fresh.token);
                (desk.kept, desk.failed) = (Some(fresh), None);
                Ok(token)
            }
            Err(error) => {
                desk.failed = Some(now);
                // Where there is none that serves, whoever waited tells of it.
                if desk.kept.as_ref().is_some_and(|kept| kept.is_good(now)) {
                    tracing::warn!(
                        callee = callee.as_str(),
                        error = fault::chain(&error),
                        "our token was not renewed"
                    );
                }
                Err(error)
            }
        }
    }

    fn desks(&self) -> MutexGuard<'_, HashMap<ServiceName, Desk>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, callee: &ServiceName) -> Result<String, ProviderError> {
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            // Neither leaves the machine, so there is nobody to have a certificate.
            .tls_certs_only([])
            .pool_max_idle_per_host(0);
        let mut wanted = json!({ "aud": callee.as_str() });
        let (client, url) = match &self.source {
            TokenSource::Socket(path) => {
                (client.unix_socket(path.as_path()), format!("http://localhost{PATH}"))
            }
            TokenSource::Issuer(url) => {
                wanted["sub"] = self.function.as_str().into();
                (client, format!("{}{PATH}", url.as_str().trim_end_matches('/')))
            }
        };
        let client = client.build().map_err(unreachable)?;
        let request = client.post(url).header(header::CONTENT_TYPE, "application/json");
        let answer = request.body(wanted.to_string()).send().await;
        let mut answer = answer.map_err(unreachable)?;
        if answer.status() != StatusCode::OK {
            return Err(ProviderError::Status(answer.status().as_u16()));
        }
        let mut text = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            if text.len() + chunk.len() > TOKEN_BYTES_MAX {
                return Err(ProviderError::NoToken);
            }
            text.extend_from_slice(&chunk);
        }
        String::from_utf8(text).map_err(|_not_text| ProviderError::NoToken)
    }

    /// What was answered, if it is a token that is still good for a while.
    fn kept(&self, text: &str) -> Option<Kept> {
        let text = text.trim();
        let parts = token::parse(text).ok()?;
        let expire_time = strict::object(&parts.claims)?.get("exp").and_then(Value::as_i64)?;
        let left = expire_time.checked_sub(self.clock.unix_secs()).filter(|left| *left > 0)?;
        let left = Duration::from_secs(left.unsigned_abs());
        Some(Kept { token: text.into(), got: self.clock.now(), left })
    }
}

fn unreachable(error: reqwest::Error) -> ProviderError {
    ProviderError::Unreachable(Arc::new(error))
}

// === impl Kept ===

impl Kept {
    /// Whether nothing newer is needed.
    fn is_fresh(&self, now: Moment) -> bool {
        self.got.age(now) < self.left / 2
    }

    /// Whether it may be shown.
    fn is_good(&self, now: Moment) -> bool {
        self.is_fresh(now) || self.got.age(now) + END_MARGIN < self.left
    }
}

// Written by hand: tokens are not for logs.
impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("function", &self.function).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
