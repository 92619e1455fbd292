//! What the targets share: one key, one project, one moment.

/// When the tokens of the corpus are good.
pub const NOW: i64 = 1_800_000_000;

/// Whom they are for.
pub const PROJECT: &str = "demo-test";

/// Who has signed them.
pub const ISSUER: &str = "https://securetoken.google.com/demo-test";

/// The key set that they are checked with. Nobody has the other half any more.
pub const KEYS: &[u8] = include_bytes!("../corpus/keys/jwk.json");

/// The good ones. Nothing else is to be believed, however alike it is.
pub const GOOD: [&str; 2] =
    [include_str!("../corpus/token/good-1"), include_str!("../corpus/token/good-2")];
