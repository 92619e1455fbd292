//! Turns tokens into persons and services.

use std::{fmt, sync::Arc, time::Duration};

use clock::Clock;
use jsonwebtoken::crypto::aws_lc;
use tokio_util::task::TaskTracker;

use crate::{
    Error, FetchError, KeysState, Person, ServiceName, Settings,
    checks::Checks,
    service::{self, Visit},
    signed::{Said, Signed},
    source::Source,
    token::{self, Rules},
};

/// Verifies tokens. Clones share the keys and what was verified.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    project_id: String,
    issuer: String,
    persons: Signed<Person>,
    services: Option<Services>,
}

/// The tokens of our own functions, where there are any.
struct Services {
    issuer: String,
    app_prefix: Option<String>,
    visits: Signed<Visit>,
}

impl Said for Person {
    fn expire_time(&self) -> i64 {
        self.expire_time
    }
}

impl Verifier {
    /// Makes a verifier that knows no keys yet. Fetches run on `tasks`.
    pub fn new(settings: &Settings, clock: Clock, tasks: TaskTracker) -> Self {
        // Left to itself, `jsonwebtoken` panics at the first token should another crate of the
        // build turn on its second backend. An error says that one is installed already.
        let _installed = aws_lc::DEFAULT_PROVIDER.install_default();
        let skew_secs = i64::try_from(settings.skew.as_secs()).unwrap_or(i64::MAX);
        let checks = Checks::new();
        let stale_max = settings.stale_max;
        let services = settings.services.as_ref().map(|services| Services {
            issuer: services.issuer.clone(),
            app_prefix: services.app_prefix.clone(),
            visits: Signed::new(
                Source::new(services.keys_url.clone(), stale_max, clock.clone(), tasks.clone()),
                skew_secs,
                clock.clone(),
                checks.clone(),
            ),
        });
        let source = Source::new(settings.keys_url.clone(), stale_max, clock.clone(), tasks);
        Self(Arc::new(Inner {
            project_id: settings.project_id.clone(),
            issuer: settings.issuer.clone(),
            persons: Signed::new(source, skew_secs, clock, checks),
            services,
        }))
    }

    /// The project whose people may sign in.
    pub fn project_id(&self) -> &str {
        &self.0.project_id
    }

    /// Says whose token this is.
    pub async fn verify(&self, token: &str) -> Result<Arc<Person>, Error> {
        let Inner { project_id, issuer, persons, .. } = &*self.0;
        let rules = Rules { audience: project_id, issuer, skew_secs: persons.skew_secs };
        persons.said(token, |claims, now| token::person(claims, rules, now)).await
    }

    /// Says which of our functions calls `callee` with this token.
    pub async fn verify_service(&self, token: &str, callee: &str) -> Result<ServiceName, Error> {
        let Some(Services { issuer, app_prefix, visits }) = &self.0.services else {
            return Err(Error::Invalid("no service is known"));
        };
        let rules = Rules { audience: callee, issuer, skew_secs: visits.skew_secs };
        let read = |claims: &[u8], now| service::visit(claims, rules, app_prefix.as_deref(), now);
        let visit = visits.said(token, read).await?;
        // One that was remembered may have been for another function of this process.
        if visit.callee.as_str() != callee {
            return Err(Error::Invalid("aud is not ours"));
        }
        Ok(visit.caller.clone())
    }

    /// How long a person's token goes on being taken.
    pub fn time_left(&self, person: &Person) -> Duration {
        let persons = &self.0.persons;
        let end = person.expire_time.saturating_add(persons.skew_secs);
        let left = end.saturating_sub(persons.clock.unix_secs());
        Duration::from_secs(u64::try_from(left).unwrap_or(0))
    }

    /// Fetches the keys if there are none, so that the first caller does not wait.
    pub async fn warm(&self) {
        let services = self.0.services.as_ref().map(|services| &services.visits.source);
        for source in [&self.0.persons.source].into_iter().chain(services) {
            if let Err(error) = source.set().await {
                tracing::debug!(error = fault::chain(&error), "no token keys yet");
            }
        }
    }

    /// How the keys stand, for health.
    pub fn keys_state(&self) -> KeysState {
        self.0.persons.source.state()
    }

    /// How the keys of our own functions stand, where there are any.
    pub fn service_keys_state(&self) -> Option<KeysState> {
        Some(self.0.services.as_ref()?.visits.source.state())
    }

    /// Why the last fetch of the keys failed, if it did; [`FetchError::class`] is its kind.
    pub fn keys_error(&self) -> Option<Arc<FetchError>> {
        self.0.persons.source.error()
    }

    /// The same of the keys of our own functions.
    pub fn service_keys_error(&self) -> Option<Arc<FetchError>> {
        self.0.services.as_ref()?.visits.source.error()
    }

    /// How many fetches of the keys were started.
    pub fn fetches_total(&self) -> u64 {
        self.0.persons.source.fetches()
    }

    /// How many fetches of the keys have failed.
    pub fn fetch_failures_total(&self) -> u64 {
        self.0.persons.source.failures()
    }

    #[cfg(test)]
    pub(crate) fn remembered_len(&self) -> usize {
        self.0.persons.cache.len()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("project_id", &self.0.project_id).finish_non_exhaustive()
    }
}
