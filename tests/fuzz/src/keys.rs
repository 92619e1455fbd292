//! A key set, as JWK or as certificates: whatever is taken of it can be checked with.

use std::sync::LazyLock;

use crate::{GOOD, ISSUER, NOW, PROJECT};
use identity::fuzzing::Keys;

/// A good token of a key that the corpus publishes, with the signature of another.
static FORGED: LazyLock<String> = LazyLock::new(|| {
    let [(said, _), (_, signature)] =
        GOOD.map(|token| token.rsplit_once('.').expect("it is signed"));
    format!("{said}.{signature}")
});

pub(crate) fn run(data: &[u8]) {
    if let Some(keys) = Keys::parse(data) {
        assert!(keys.verify(&FORGED, PROJECT, ISSUER, NOW).is_err());
    }
}
