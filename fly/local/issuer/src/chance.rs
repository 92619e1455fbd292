//! Random ids and tokens.

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::Error;

const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const USER_ID_CHARS: usize = 28;

/// A user id of Firebase's shape.
pub(crate) fn user_id() -> Result<String, Error> {
    let mut id = String::with_capacity(USER_ID_CHARS);
    while id.len() < USER_ID_CHARS {
        // A letter comes of six bits; the two values that stand for none are thrown again.
        let letters = bytes::<64>()?.map(|byte| ALPHABET.get(usize::from(byte & 63)).copied());
        id.extend(letters.into_iter().flatten().map(char::from).take(USER_ID_CHARS - id.len()));
    }
    Ok(id)
}

/// A token that says nothing and cannot be guessed.
pub(crate) fn token() -> Result<String, Error> {
    Ok(URL_SAFE_NO_PAD.encode(bytes::<96>()?))
}

/// A code that stands in a link.
pub(crate) fn code() -> Result<String, Error> {
    Ok(URL_SAFE_NO_PAD.encode(bytes::<40>()?))
}

pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(Error::Crypto)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_ids_are_28_letters_and_digits() {
        let (one, other) = (user_id().unwrap(), user_id().unwrap());
        assert_eq!(one.len(), 28);
        assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{one}");
        assert_ne!(one, other);
    }
}
