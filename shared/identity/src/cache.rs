//! Tokens that were found good, so that a caller's next call costs no signature check.
//!
//! Only verified tokens enter: a flood of forged ones neither grows the cache nor evicts from it.

use std::{
    hash::{BuildHasher, Hasher},
    sync::Arc,
};

use quick_cache::{UnitWeighter, sync};

use crate::keys::{Key, KeySet};

/// The most tokens that are kept.
const TOKENS_MAX: usize = 10_000;

/// What a verified token says, and the key it was verified with.
#[derive(Debug)]
struct Entry<T> {
    said: Arc<T>,
    key: Arc<Key>,
}

// Written by hand: what is said need not be cloned.
impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self { said: Arc::clone(&self.said), key: Arc::clone(&self.key) }
    }
}

/// Verified tokens, found by their whole text.
#[derive(Debug)]
pub(crate) struct Cache<T> {
    tokens: sync::Cache<Box<str>, Entry<T>, UnitWeighter, TailHash>,
}

impl<T> Cache<T> {
    pub(crate) fn new() -> Self {
        let tokens = sync::Cache::with(
            TOKENS_MAX,
            TOKENS_MAX as u64,
            UnitWeighter,
            TailHash,
            sync::DefaultLifecycle::default(),
        );
        Self { tokens }
    }

    /// What a token says, if it was verified with a key that is still in `set`. Whether its time is
    /// over is the caller's to check.
    pub(crate) fn get(&self, token: &str, set: &KeySet) -> Option<Arc<T>> {
        let entry = self.tokens.get(token)?;
        if set.holds(&entry.key) {
            return Some(entry.said);
        }
        // The key was withdrawn, and its tokens with it.
        self.remove(token);
        None
    }

    /// Keeps a token that was verified with `key`.
    pub(crate) fn put(&self, token: &str, said: Arc<T>, key: Arc<Key>) {
        self.tokens.insert(token.into(), Entry { said, key });
    }

    /// Forgets a token.
    pub(crate) fn remove(&self, token: &str) {
        drop(self.tokens.remove(token));
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }
}

/// Hashes the last [`TAIL_BYTES`] of a text.
///
/// The end of a token is the end of its RSA signature, which is as good as random and which nobody
/// without the private key can choose: among verified tokens collisions are chance. A forged token
/// that borrows a good one's tail finds its entry and is told apart by the comparison of the whole.
/// So neither a secret nor a pass over a kilobyte is needed.
#[derive(Clone, Copy, Debug, Default)]
struct TailHash;

const TAIL_BYTES: usize = 32;

impl BuildHasher for TailHash {
    type Hasher = TailHasher;

    fn build_hasher(&self) -> TailHasher {
        TailHasher(0x9e37_79b9_7f4a_7c15)
    }
}

#[derive(Debug)]
struct TailHasher(u64);

impl Hasher for TailHasher {
    fn write(&mut self, bytes: &[u8]) {
        let tail = bytes.last_chunk::<TAIL_BYTES>().map_or(bytes, |tail| tail.as_slice());
        for chunk in tail.chunks(8) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            // A folded multiplication carries each bit of base64 to the whole of the hash.
            let wide = u128::from(self.0 ^ u64::from_le_bytes(word)) * 0xa076_1d64_78bd_642f_u128;
            #[expect(clippy::cast_possible_truncation, reason = "both halves are folded together")]
            {
                self.0 = (wide as u64) ^ ((wide >> 64) as u64);
            }
        }
    }

    /// Ends a text, in `str`'s own hash; there is nothing to tell apart here.
    fn write_u8(&mut self, _end: u8) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
