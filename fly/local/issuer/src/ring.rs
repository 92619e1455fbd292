//! The keys: the one that signs, the one that will, and those whose tokens are still good.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Error, TOKEN_SECS, certificate, key::Key};

/// How long a key signs.
pub(crate) const SIGNS_SECS: i64 = 24 * 3600;

/// The keys of an issuer.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Ring {
    /// The one that signs.
    current: Key,
    /// The one that will: published ahead, so that whoever keeps keys for an hour has it by then.
    next: Key,
    since_secs: i64,
    retired: Vec<Retired>,
}

/// A key that signs no more.
#[derive(Clone, Serialize, Deserialize)]
struct Retired {
    key: Key,
    /// When the last of its tokens expires.
    until_secs: i64,
}

impl Ring {
    pub(crate) fn generate(now_secs: i64) -> Result<Self, Error> {
        let (current, next) = (Key::generate()?, Key::generate()?);
        Ok(Self { current, next, since_secs: now_secs, retired: Vec::new() })
    }

    /// The key that signs.
    pub(crate) fn current(&self) -> &Key {
        &self.current
    }

    /// Whether the key has signed for long enough.
    pub(crate) fn is_due(&self, now_secs: i64) -> bool {
        now_secs.saturating_sub(self.since_secs) >= SIGNS_SECS
    }

    /// Lets the next key sign, and takes `fresh` for the one after it.
    pub(crate) fn rotate(&mut self, fresh: Key, now_secs: i64) {
        self.retired.retain(|retired| now_secs < retired.until_secs);
        let next = std::mem::replace(&mut self.next, fresh);
        let key = std::mem::replace(&mut self.current, next);
        self.retired.push(Retired { key, until_secs: now_secs + TOKEN_SECS });
        self.since_secs = now_secs;
    }

    /// What is published. A key that is not, is believed by nobody.
    pub(crate) fn jwk_set(&self, now_secs: i64) -> Value {
        let keys: Vec<_> = self.published(now_secs).map(Key::jwk).collect();
        json!({ "keys": keys })
    }

    /// The same keys as certificates, by their ids.
    pub(crate) fn certificates(&self, now_secs: i64) -> Result<Value, Error> {
        let certificate = |key: &Key| Ok((key.id().to_owned(), certificate::pem(key)?.into()));
        self.published(now_secs).map(certificate).collect::<Result<_, _>>().map(Value::Object)
    }

    /// The claims of a token that a published key signed.
    pub(crate) fn verify(&self, token: &str, now_secs: i64) -> Option<Value> {
        self.published(now_secs).find_map(|key| key.verify(token))
    }

    fn published(&self, now_secs: i64) -> impl Iterator<Item = &Key> {
        let retired = self.retired.iter().filter(move |retired| now_secs < retired.until_secs);
        [&self.current, &self.next].into_iter().chain(retired.map(|retired| &retired.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_published_before_it_signs_and_until_its_last_token_expires() {
        let mut ring = Ring::generate(0).unwrap();
        let first = ring.current().id().to_owned();
        let second = ring.next.id().to_owned();
        assert_eq!(ids(&ring, 0), [first.as_str(), second.as_str()]);
        assert!((ring.is_due(SIGNS_SECS - 1), ring.is_due(SIGNS_SECS)) == (false, true));

        let third = Key::generate().unwrap();
        let third_id = third.id().to_owned();
        ring.rotate(third, 100);
        assert_eq!(ring.current().id(), second);
        assert_eq!(ids(&ring, 100 + TOKEN_SECS - 1), [&*second, &*third_id, &*first]);
        assert_eq!(ids(&ring, 100 + TOKEN_SECS), [second.as_str(), third_id.as_str()]);
        assert!(!ring.is_due(100 + SIGNS_SECS - 1));
    }

    fn ids(ring: &Ring, now_secs: i64) -> Vec<&str> {
        ring.published(now_secs).map(Key::id).collect()
    }
}
