//! Everything that reads bytes of strangers, each by its name: `TARGET=token fuzz corpus/token`.
//! One program, since building one costs more than trying it for a while.
#![no_main]

mod token;
mod keys;
mod certificate;
mod ticket;
mod page;
mod cursor;
mod headers;
mod guard;
mod grpc_web;
mod json;
mod settings;
mod firebase;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

/// When the tokens of the corpus are good.
pub(crate) const NOW: i64 = 1_800_000_000;

/// Whom they are for.
pub(crate) const PROJECT: &str = "demo-test";

/// Who has signed them.
pub(crate) const ISSUER: &str = "https://securetoken.google.com/demo-test";

/// The key set that they are checked with. Nobody has the other half any more.
pub(crate) const KEYS: &[u8] = include_bytes!("../corpus/keys/jwk.json");

/// The good ones. Nothing else is to be believed, however alike it is.
pub(crate) const GOOD: [&str; 2] =
    [include_str!("../corpus/token/good-1"), include_str!("../corpus/token/good-2")];

/// What is tried, by its name.
static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("TARGET").unwrap_or_default();
    match name.as_str() {
        "token" => token::run,
        "keys" => keys::run,
        "certificate" => certificate::run,
        "ticket" => ticket::run,
        "page" => page::run,
        "cursor" => cursor::run,
        "headers" => headers::run,
        "guard" => guard::run,
        "grpc_web" => grpc_web::run,
        "json" => json::run,
        "settings" => settings::run,
        "firebase" => firebase::run,
        other => panic!("there is no target {other:?}: set TARGET"),
    }
});

fuzz_target!(|data: &[u8]| TARGET(data));
