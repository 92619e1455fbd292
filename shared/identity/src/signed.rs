//! Tokens of one issuer: read, held against its keys, and remembered once they were found good.

use std::sync::Arc;

use clock::Clock;

use crate::{
    Error,
    cache::Cache,
    checks::Checks,
    source::Source,
    token::{self, is_over},
};

/// What a token says. Whatever it is, it ends.
pub(crate) trait Said {
    /// When the token ends, in seconds since 1970.
    fn expire_time(&self) -> i64;
}

/// The tokens of one issuer that say a `T`.
#[derive(Debug)]
pub(crate) struct Signed<T> {
    pub(crate) source: Arc<Source>,
    pub(crate) skew_secs: i64,
    pub(crate) clock: Clock,
    pub(crate) cache: Cache<T>,
    checks: Checks,
}

impl<T: Said + Send + Sync> Signed<T> {
    pub(crate) fn new(source: Source, skew_secs: i64, clock: Clock, checks: Checks) -> Self {
        Self { source: Arc::new(source), skew_secs, clock, cache: Cache::new(), checks }
    }

    /// What a token says, if its signature is good and `read` finds its claims good, which takes
    /// them and the time.
    pub(crate) async fn said(
        &self,
        token: &str,
        read: impl FnOnce(&[u8], i64) -> Result<T, Error> + Send,
    ) -> Result<Arc<T>, Error> {
        match self.remembered(token) {
            Some(said) => said,
            // Most tokens are remembered, and their calls need not have room for a check.
            None => Box::pin(self.checked(token, read)).await,
        }
    }

    async fn checked(
        &self,
        token: &str,
        read: impl FnOnce(&[u8], i64) -> Result<T, Error> + Send,
    ) -> Result<Arc<T>, Error> {
        // A token that cannot be read is refused without waiting for keys.
        let parts = token::parse(token)?;
        let key = self.source.key(&parts.kid).await?;
        if !self.checks.run(|| key.signed(parts.message, parts.signature)).await? {
            return Err(Error::Invalid("signature"));
        }
        let said = Arc::new(read(&parts.claims, self.clock.unix_secs())?);
        self.cache.put(token, Arc::clone(&said), key);
        Ok(said)
    }

    /// What is known of a token that was verified before, as long as keys may be used at all.
    fn remembered(&self, token: &str) -> Option<Result<Arc<T>, Error>> {
        let set = self.source.held()?;
        let said = self.cache.get(token, &set)?;
        if is_over(said.expire_time(), self.skew_secs, self.clock.unix_secs()) {
            self.cache.remove(token);
            return Some(Err(Error::Expired));
        }
        Some(Ok(said))
    }
}
