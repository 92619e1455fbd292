//! Pages of a list: how long they are, and the token that asks for the next one.
//!
//! A token is a [ticket] of its query, and is good for a day. It holds the place where the page
//! ended, never a number of rows: rows that come and go meanwhile make no page repeat or skip
//! others.

#[cfg(fuzzing)]
pub mod fuzzing;

use std::{mem, time::Duration};

use call::Call;
use clock::Clock;
use database::Pool;
use fault::Fault;
use prost::Message;
use ticket::Signer;

/// Rows of a page whose request does not say.
pub const SIZE_DEFAULT: usize = 50;

/// Rows of the longest page; more is clamped (AIP-158).
pub const SIZE_MAX: usize = 200;

/// How long a token is good for.
pub const TOKEN_AGE_MAX: Duration = Duration::from_hours(24);

const VERSION: u8 = 2;
const EXPIRY_BYTES: usize = 8;

/// What a request says of its page, beside its query (AIP-158).
#[derive(Debug)]
pub struct Asked {
    size: i32,
    token: String,
}

/// One page that was asked for.
#[derive(Debug)]
pub struct Page {
    size: usize,
    after: Option<String>,
    tokens: Tokens,
}

/// Writes and reads the tokens of one query.
#[derive(Debug)]
struct Tokens {
    signer: Signer,
    now_secs: i64,
}

impl Asked {
    /// Takes it out of a request, and leaves the query.
    pub fn take(page_size: &mut i32, page_token: &mut String) -> Self {
        Self { size: mem::take(page_size), token: mem::take(page_token) }
    }

    /// The page of `query` that it asks for.
    pub async fn page(
        &self,
        pool: &Pool,
        clock: &Clock,
        call: &Call,
        query: &impl Message,
    ) -> Result<Page, Fault> {
        let signer = Signer::of(pool, "page", call, &[&query.encode_to_vec()]).await?;
        let tokens = Tokens { signer, now_secs: clock.unix_secs() };
        let after = match self.token.as_str() {
            "" => None,
            token => Some(tokens.read(token).ok_or_else(|| {
                Fault::invalid("page_token", "is not a token of this list, or is older than a day")
            })?),
        };
        let size = match usize::try_from(self.size) {
            Ok(0) | Err(_) => SIZE_DEFAULT,
            Ok(size) => size.min(SIZE_MAX),
        };
        Ok(Page { size, after, tokens })
    }
}

impl Page {
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
            Some(last) if !is_last => self.tokens.write(place(last)),
            _ => String::new(),
        };
        (rows, token)
    }
}

impl Tokens {
    fn write(&self, place: &str) -> String {
        let age_max = i64::try_from(TOKEN_AGE_MAX.as_secs()).unwrap_or(i64::MAX);
        let expiry = (self.now_secs + age_max).to_be_bytes();
        self.signer.seal(&[&[VERSION], &expiry[..], place.as_bytes()].concat())
    }

    fn read(&self, token: &str) -> Option<String> {
        let content = self.signer.open(token)?;
        let (version, rest) = content.split_first()?;
        let (expiry, place) = rest.split_first_chunk::<EXPIRY_BYTES>()?;
        let is_good = *version == VERSION && i64::from_be_bytes(*expiry) > self.now_secs;
        is_good.then(|| String::from_utf8(place.to_vec()).ok())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(binding: &str, now_secs: i64) -> Tokens {
        Tokens { signer: Signer::new(b"key", &[binding.as_bytes()]), now_secs }
    }

    #[test]
    fn a_token_is_good_for_its_own_query_for_a_day() {
        let token = tokens("ada", 1000).write("grace");
        assert_eq!(tokens("ada", 1000).read(&token).as_deref(), Some("grace"));
        assert_eq!(tokens("ada", 1000 + 86_399).read(&token).as_deref(), Some("grace"));
        assert_eq!(tokens("ada", 1000 + 86_400).read(&token), None);
        assert_eq!(tokens("bob", 1000).read(&token), None);
    }

    #[test]
    fn the_last_page_has_no_token() {
        let page = Page { size: 2, after: None, tokens: tokens("ada", 1000) };
        let (rows, token) = page.cut(vec!["a", "b"], |row| row);
        assert_eq!((rows.len(), token.as_str()), (2, ""));
        let (rows, token) = page.cut(vec!["a", "b", "c"], |row| row);
        assert_eq!(rows, ["a", "b"]);
        assert_eq!(page.tokens.read(&token).as_deref(), Some("b"));
    }
}
