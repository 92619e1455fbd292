//! What the fuzzers call. It is in no other build.

use std::time::Duration;

use http::HeaderMap;

use crate::pushback::Pushback;

/// How long a dependency asks to be left alone, over gRPC and over HTTP.
pub fn pushback(headers: &HeaderMap, now_secs: i64) -> [Option<Duration>; 2] {
    [Pushback::of_grpc(headers), Pushback::of_http(headers, now_secs)].map(|said| match said {
        Pushback::After(wait) => Some(wait),
        Pushback::None | Pushback::Never => None,
    })
}
