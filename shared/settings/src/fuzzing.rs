//! What the fuzzers call. It is in no other build.

use std::collections::BTreeMap;

use crate::{Error, env};

/// What a settings file says.
pub fn file(text: &str) -> Result<BTreeMap<String, String>, Error> {
    env::file(text)
}
