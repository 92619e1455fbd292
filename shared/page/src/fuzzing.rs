//! What the fuzzers call. It is in no other build.

use ticket::Signer;

use crate::Tokens;

/// The place that a token names whose content is this, as if we had sealed it; and a token of that
/// place, read again.
pub fn place(content: &[u8], now_secs: i64) -> Option<(String, Option<String>)> {
    let tokens = Tokens { signer: Signer::new(b"key", &[b"query"]), now_secs };
    let place = tokens.read(&tokens.signer.seal(content))?;
    let again = tokens.read(&tokens.write(&place));
    Some((place, again))
}
