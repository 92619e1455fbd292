//! Turns tokens into persons.

use std::{fmt, sync::Arc, time::Duration};

use clock::Clock;
use jsonwebtoken::crypto::aws_lc;
use tokio_util::task::TaskTracker;

use crate::{
    Error, FetchError, KeysState, Person, Settings,
    cache::Cache,
    source::Source,
    token::{self, Rules},
};

/// Verifies tokens. Clones share the keys and what was verified.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    project_id: String,
    issuer: String,
    skew_secs: i64,
    clock: Clock,
    source: Arc<Source>,
    cache: Cache,
}

impl Verifier {
    /// Makes a verifier that knows no keys yet. Fetches run on `tasks`.
    pub fn new(settings: &Settings, clock: Clock, tasks: TaskTracker) -> Self {
        // Left to itself, `jsonwebtoken` panics at the first token should another crate of the
        // build turn on its second backend. An error says that one is installed already.
        let _installed = aws_lc::DEFAULT_PROVIDER.install_default();
        Self(Arc::new(Inner {
            project_id: settings.project_id.clone(),
            issuer: settings.issuer.clone(),
            skew_secs: i64::try_from(settings.skew.as_secs()).unwrap_or(i64::MAX),
            clock: clock.clone(),
            source: Arc::new(Source::new(settings, clock, tasks)),
            cache: Cache::new(),
        }))
    }

    /// Says whose token this is.
    pub async fn verify(&self, token: &str) -> Result<Arc<Person>, Error> {
        if let Some(person) = self.remembered(token) {
            return person;
        }
        // A token that cannot be read is refused without waiting for keys.
        let parts = token::parse(token)?;
        let key = self.0.source.key(&parts.kid).await?;
        if !key.signed(parts.message, parts.signature) {
            return Err(Error::Invalid("signature"));
        }
        let person = token::person(&parts.claims, self.rules(), self.0.clock.unix_secs())?;
        let person = Arc::new(person);
        self.0.cache.put(token, Arc::clone(&person), key);
        Ok(person)
    }

    /// How long a person's token goes on being taken.
    pub fn time_left(&self, person: &Person) -> Duration {
        let end = person.expire_time.saturating_add(self.0.skew_secs);
        let left = end.saturating_sub(self.0.clock.unix_secs());
        Duration::from_secs(u64::try_from(left).unwrap_or(0))
    }

    /// Fetches the keys if there are none, so that the first caller does not wait.
    pub async fn warm(&self) {
        if let Err(error) = self.0.source.set().await {
            tracing::debug!(error = &error as &dyn std::error::Error, "no token keys yet");
        }
    }

    /// How the keys stand, for health.
    pub fn keys_state(&self) -> KeysState {
        self.0.source.state()
    }

    /// Why the last fetch of the keys failed, if it did; [`FetchError::class`] is its kind.
    pub fn keys_error(&self) -> Option<Arc<FetchError>> {
        self.0.source.error()
    }

    /// How many fetches of the keys were started.
    pub fn fetches_total(&self) -> u64 {
        self.0.source.fetches()
    }

    /// How many fetches of the keys have failed.
    pub fn fetch_failures_total(&self) -> u64 {
        self.0.source.failures()
    }

    /// What is known of a token that was verified before, as long as keys may be used at all.
    fn remembered(&self, token: &str) -> Option<Result<Arc<Person>, Error>> {
        let set = self.0.source.held()?;
        let person = self.0.cache.get(token, &set)?;
        if self.rules().expired(person.expire_time, self.0.clock.unix_secs()) {
            self.0.cache.remove(token);
            return Some(Err(Error::Expired));
        }
        Some(Ok(person))
    }

    #[cfg(test)]
    pub(crate) fn remembered_len(&self) -> usize {
        self.0.cache.len()
    }

    fn rules(&self) -> Rules<'_> {
        let Inner { project_id, issuer, skew_secs, .. } = &*self.0;
        Rules { project_id, issuer, skew_secs: *skew_secs }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("project_id", &self.0.project_id).finish_non_exhaustive()
    }
}
