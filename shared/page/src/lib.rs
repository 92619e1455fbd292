//! Pages of a list: how long they are, and the token that asks for the next one.
//!
//! A token is signed, and bound to the RPC, the caller and the query it came from; it is good for
//! a day. It holds the place where the page ended, never a number of rows: rows that come and go
//! meanwhile make no page repeat or skip others. The key is the database's, so that any machine
//! reads what another wrote.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use call::Call;
use clock::Clock;
use database::Pool;
use fault::Fault;
use prost::Message;

/// Rows of a page whose request does not say.
pub const SIZE_DEFAULT: usize = 50;

/// Rows of the longest page; more is clamped (AIP-158).
pub const SIZE_MAX: usize = 200;

/// How long a token is good for.
pub const TOKEN_AGE_MAX: Duration = Duration::from_hours(24);

const VERSION: u8 = 1;
const EXPIRY_BYTES: usize = 8;
const TAG_BYTES: usize = 32;

/// One page that was asked for.
#[derive(Debug)]
pub struct Page {
    size: usize,
    after: Option<String>,
    signer: Signer,
}

/// Signs and reads the tokens of one query.
#[derive(Debug)]
struct Signer {
    key: Arc<[u8]>,
    /// The RPC, the caller and the query.
    binding: Vec<u8>,
    now_secs: i64,
}

impl Page {
    /// Reads what a request asks for. `query` is the request without its size and its token.
    pub async fn read(
        (pool, clock): (&Pool, &Clock),
        call: &Call,
        query: &impl Message,
        (size, token): (i32, &str),
    ) -> Result<Self, Fault> {
        let signer = Signer {
            key: pool.secret("page").await?,
            binding: binding(call, query),
            now_secs: clock.unix_secs(),
        };
        let after = match token {
            "" => None,
            token => Some(signer.open(token).ok_or_else(|| {
                Fault::invalid("page_token", "is not a token of this list, or is older than a day")
            })?),
        };
        let size = match usize::try_from(size) {
            Ok(0) | Err(_) => SIZE_DEFAULT,
            Ok(size) => size.min(SIZE_MAX),
        };
        Ok(Self { size, after, signer })
    }

    /// The place the last page ended at, if there was one.
    pub fn after(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// How many rows to read: one more than the page holds, which tells whether there is another.
    pub fn rows_max(&self) -> i64 {
        i64::try_from(self.size + 1).unwrap_or(i64::MAX)
    }

    /// Cuts the rows that were read to the page, and makes the token for the next one. `place`
    /// tells where a row stands in the list's order.
    pub fn cut<T>(&self, mut rows: Vec<T>, place: impl Fn(&T) -> &str) -> (Vec<T>, String) {
        let is_last = rows.len() <= self.size;
        rows.truncate(self.size);
        let token = match rows.last() {
            Some(last) if !is_last => self.signer.seal(place(last)),
            _ => String::new(),
        };
        (rows, token)
    }
}

impl Signer {
    fn seal(&self, place: &str) -> String {
        let age_max = i64::try_from(TOKEN_AGE_MAX.as_secs()).unwrap_or(i64::MAX);
        let mut token = vec![VERSION];
        token.extend((self.now_secs + age_max).to_be_bytes());
        token.extend(place.as_bytes());
        let tag = hmac::sign(&self.hmac_key(), &self.signed(&token));
        token.extend(tag.as_ref());
        URL_SAFE_NO_PAD.encode(token)
    }

    fn open(&self, token: &str) -> Option<String> {
        let token = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (content, tag) = token.split_at_checked(token.len().checked_sub(TAG_BYTES)?)?;
        hmac::verify(&self.hmac_key(), &self.signed(content), tag).ok()?;
        let (version, rest) = content.split_first()?;
        let (expiry, place) = rest.split_first_chunk::<EXPIRY_BYTES>()?;
        let is_good = *version == VERSION && i64::from_be_bytes(*expiry) > self.now_secs;
        is_good.then(|| String::from_utf8(place.to_vec()).ok())?
    }

    /// What the tag stands for: the token's content, in the place it belongs to.
    fn signed(&self, content: &[u8]) -> Vec<u8> {
        let length = u64::try_from(content.len()).unwrap_or(u64::MAX);
        [&length.to_be_bytes()[..], content, &self.binding].concat()
    }

    fn hmac_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.key)
    }
}

/// The RPC, the caller and the query, each with its length before it.
fn binding(call: &Call, query: &impl Message) -> Vec<u8> {
    let rpc = call.method.map_or("", |method| method.path);
    let caller = call.caller.key();
    let query = query.encode_to_vec();
    let mut binding = Vec::new();
    for part in [rpc.as_bytes(), caller.as_bytes(), &query] {
        binding.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        binding.extend(part);
    }
    binding
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(binding: &str, now_secs: i64) -> Signer {
        Signer { key: Arc::from(*b"key"), binding: binding.as_bytes().to_vec(), now_secs }
    }

    #[test]
    fn a_token_is_good_for_its_own_query_for_a_day() {
        let token = signer("ada", 1000).seal("grace");
        assert_eq!(signer("ada", 1000).open(&token).as_deref(), Some("grace"));
        assert_eq!(signer("ada", 1000 + 86_399).open(&token).as_deref(), Some("grace"));
        assert_eq!(signer("ada", 1000 + 86_400).open(&token), None);
        assert_eq!(signer("bob", 1000).open(&token), None);
    }

    #[test]
    fn no_changed_byte_passes() {
        let token = signer("ada", 1000).seal("grace");
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert_eq!(signer("ada", 1000).open(&URL_SAFE_NO_PAD.encode(changed)), None);
        }
        for broken in ["", "x", "AAAA", "=", "ä"] {
            assert_eq!(signer("ada", 1000).open(broken), None, "{broken}");
        }
    }

    #[test]
    fn the_last_page_has_no_token() {
        let page = Page { size: 2, after: None, signer: signer("ada", 1000) };
        let (rows, token) = page.cut(vec!["a", "b"], |row| row);
        assert_eq!((rows.len(), token.as_str()), (2, ""));
        let (rows, token) = page.cut(vec!["a", "b", "c"], |row| row);
        assert_eq!(rows, ["a", "b"]);
        assert_eq!(page.signer.open(&token).as_deref(), Some("b"));
    }
}
