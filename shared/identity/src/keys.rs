//! The public keys that tokens are checked with, read from a JWK set or from Google's other form, an
//! object of certificates by key id.
//!
//! A set is taken whole or not at all: a server that publishes one key it should not have is not
//! believed about the others.

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clock::Moment;
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde_json::{Map, Value};

use crate::{
    json,
    x509::{self, Numbers},
};

/// The most keys of a set.
pub(crate) const KEYS_MAX: usize = 100;

/// One public key.
pub(crate) struct Key {
    pub(crate) kid: String,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
    public: DecodingKey,
}

impl Key {
    /// A key of these numbers, if they make one to be trusted.
    fn of(kid: &str, numbers: Numbers) -> Result<Self, &'static str> {
        let Numbers { modulus, exponent } = numbers;
        let bits =
            modulus.len() * 8 - modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
        if !(2048..=8192).contains(&bits) {
            return Err("a key of an unsafe size");
        }
        let odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
        if !odd(&modulus) {
            return Err("a modulus that is even");
        }
        // At least 65537, the one in use: smaller ones are legal and have a history, even ones are not
        // RSA, and ones over 32 bits only make each check slower.
        if !odd(&exponent) || !(3..=4).contains(&exponent.len()) {
            return Err("a key of an unsafe exponent");
        }
        let public = DecodingKey::from_rsa_raw_components(&modulus, &exponent);
        Ok(Self { kid: kid.to_owned(), modulus, exponent, public })
    }

    /// Whether `signature`, in base64url, is this key's over `message`, by RS256.
    ///
    /// Of `jsonwebtoken` only this is used, the signature by itself. A key parsed once and kept, as
    /// `aws-lc-rs` offers, saves a seventh of the check (`examples/verify_cost.rs`).
    pub(crate) fn signed(&self, message: &[u8], signature: &str) -> bool {
        matches!(crypto::verify(signature, message, &self.public, Algorithm::RS256), Ok(true))
    }

    fn is(&self, other: &Self) -> bool {
        self.kid == other.kid && self.modulus == other.modulus && self.exponent == other.exponent
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// The keys of one fetch.
#[derive(Debug)]
pub(crate) struct KeySet {
    keys: Vec<Arc<Key>>,
    fetched: Moment,
    max_age: Duration,
}

impl KeySet {
    /// The keys as they were fetched. A key that `old` holds too stays the same object, by which
    /// the cache knows that its tokens are still good.
    pub(crate) fn new(
        keys: Vec<Key>,
        old: Option<&Self>,
        fetched: Moment,
        max_age: Duration,
    ) -> Self {
        let known = |key: &Key| old?.keys.iter().find(|have| have.is(key)).map(Arc::clone);
        let keys = keys.into_iter().map(|key| known(&key).unwrap_or_else(|| Arc::new(key)));
        Self { keys: keys.collect(), fetched, max_age }
    }

    /// The key of this name. There are a handful, so they are not indexed.
    pub(crate) fn find(&self, kid: &str) -> Option<&Arc<Key>> {
        self.keys.iter().find(|key| key.kid == kid)
    }

    /// Whether this very key is in the set.
    pub(crate) fn holds(&self, key: &Arc<Key>) -> bool {
        self.keys.iter().any(|have| Arc::ptr_eq(have, key))
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// How long ago the keys were fetched, by whichever clock has gone further.
    pub(crate) fn age(&self, now: Moment) -> Duration {
        self.fetched.age(now)
    }

    /// Whether the keys should be fetched again: they are old, or the machine has slept.
    pub(crate) fn due(&self, now: Moment) -> bool {
        self.has_slept(now) || self.age(now) >= self.max_age
    }

    /// Whether the machine has slept since they were fetched: any of them may be withdrawn by now,
    /// although none of them had the time to become old.
    pub(crate) fn has_slept(&self, now: Moment) -> bool {
        self.fetched.has_slept(now)
    }
}

/// Reads a set in either form, or says why it is refused.
pub(crate) fn parse(body: &[u8]) -> Result<Vec<Key>, &'static str> {
    let set = json::object(body).ok_or("not a plain JSON object")?;
    match set.get("keys") {
        Some(entries) => jwk_set(entries.as_array().ok_or("no list of keys")?),
        None => certificates(&set),
    }
}

/// Reads certificates by key id. A key that comes twice is no object that was read.
fn certificates(set: &Map<String, Value>) -> Result<Vec<Key>, &'static str> {
    if set.is_empty() {
        return Err("no key to check tokens with");
    }
    if set.len() > KEYS_MAX {
        return Err("too many keys");
    }
    let key = |(kid, pem): (&String, &Value)| {
        let pem = pem.as_str().ok_or("a certificate that is not text")?;
        let numbers = x509::numbers(pem).ok_or("no certificate of an RSA key")?;
        if kid.is_empty() {
            return Err("a key without an id");
        }
        Key::of(kid, numbers)
    };
    set.iter().map(key).collect()
}

fn jwk_set(entries: &[Value]) -> Result<Vec<Key>, &'static str> {
    if entries.len() > KEYS_MAX {
        return Err("too many keys");
    }
    let mut keys: Vec<Key> = Vec::with_capacity(entries.len());
    let mut kids: Vec<&str> = Vec::with_capacity(entries.len());
    for entry in entries {
        let entry = entry.as_object().ok_or("a key that is not an object")?;
        if let Some(kid) = entry.get("kid").and_then(Value::as_str) {
            if kids.contains(&kid) {
                return Err("a key id that comes twice");
            }
            kids.push(kid);
        }
        keys.extend(key(entry)?);
    }
    if keys.is_empty() {
        return Err("no key to check tokens with");
    }
    Ok(keys)
}

/// Reads one key. `None` is an RSA key that is for something else; an error refuses the set.
fn key(entry: &Map<String, Value>) -> Result<Option<Key>, &'static str> {
    let text = |name| entry.get(name).and_then(Value::as_str);
    if text("kty") != Some("RSA") {
        return Err("a key that is not RSA");
    }
    if entry.contains_key("d") {
        return Err("a private key");
    }
    let modulus = number(text("n")).ok_or("a modulus that is not a number")?;
    let exponent = number(text("e")).ok_or("an exponent that is not a number")?;
    let ours = |name, value| entry.get(name).is_none_or(|text| text.as_str() == Some(value));
    let kid = text("kid").unwrap_or_default();
    let key = Key::of(kid, Numbers { modulus, exponent })?;
    let is_ours = !kid.is_empty() && ours("alg", "RS256") && ours("use", "sig");
    Ok(is_ours.then_some(key))
}

/// A positive number as JWK writes it: big-endian, without a leading zero.
fn number(text: Option<&str>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok().filter(|bytes| bytes.first().is_some_and(|byte| *byte != 0))
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    /// Whether keys good for an hour are due when so many seconds have passed on the monotonic and
    /// on the wall clock.
    fn are_due_after(monotonic: u64, wall: i64) -> bool {
        let fetched = Moment { instant: Instant::now(), unix_micros: 0 };
        let instant = fetched.instant + Duration::from_secs(monotonic);
        let now = Moment { instant, unix_micros: wall * 1_000_000 };
        KeySet::new(Vec::new(), None, fetched, Duration::from_hours(1)).due(now)
    }

    #[test]
    fn keys_are_due_when_they_are_old() {
        assert!(!are_due_after(3599, 3599));
        assert!(are_due_after(3600, 3600));
    }

    #[test]
    fn keys_are_due_when_the_machine_has_slept() {
        assert!(!are_due_after(100, 104));
        assert!(are_due_after(100, 106));
        assert!(are_due_after(100, -100));
    }
}
