//! Passwords, of which only hashes are kept.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA256};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::{Error, Refusal, chance};

/// The fewest characters of a password.
pub(crate) const CHARS_MIN: usize = 6;

/// Fewer than a server on the internet would take: this one stays at home, and tests sign up often.
const ROUNDS: NonZeroU32 = NonZeroU32::new(60_000).expect("60,000 is not zero");

/// A salted hash of a password.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Hash {
    rounds: NonZeroU32,
    salt: String,
    derived: String,
}

/// Refuses what Firebase refuses.
pub(crate) fn check(password: &str) -> Result<(), Refusal> {
    // It counts as JavaScript does.
    match password.encode_utf16().count() {
        0 => Err(Refusal::MissingPassword),
        chars if chars < CHARS_MIN => Err(Refusal::WeakPassword),
        _ => Ok(()),
    }
}

// === impl Hash ===

impl Hash {
    pub(crate) fn of(password: &str) -> Result<Self, Error> {
        let salt: [u8; 16] = chance::bytes()?;
        let mut derived = [0; 32];
        pbkdf2::derive(PBKDF2_HMAC_SHA256, ROUNDS, &salt, password.as_bytes(), &mut derived);
        Ok(Self { rounds: ROUNDS, salt: STANDARD.encode(salt), derived: STANDARD.encode(derived) })
    }

    /// Whether this is the hash of `password`.
    pub(crate) fn is_of(&self, password: &str) -> bool {
        let Self { rounds, salt, derived } = self;
        // A hash that somebody edited is nobody's.
        let (Ok(salt), Ok(derived)) = (STANDARD.decode(salt), STANDARD.decode(derived)) else {
            return false;
        };
        pbkdf2::verify(PBKDF2_HMAC_SHA256, *rounds, &salt, password.as_bytes(), &derived).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_its_password_alone_and_salted() {
        let hash = Hash::of("correct horse").unwrap();
        assert!(hash.is_of("correct horse"));
        assert!(!hash.is_of("correct horsE"));
        assert_ne!(hash.derived, Hash::of("correct horse").unwrap().derived);
    }

    #[test]
    fn short_passwords_are_refused_by_characters_not_bytes() {
        assert_eq!(check(""), Err(Refusal::MissingPassword));
        assert_eq!(check("äöüäö"), Err(Refusal::WeakPassword));
        assert_eq!(check("äöüäöü"), Ok(()));
    }
}
