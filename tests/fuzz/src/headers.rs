//! Headers that steer a call, ours and those of whoever we have called: a line each, by its place.

use std::time::Duration;

use call::{IdempotencyKey, Onward, RequestId, timeout};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use tonic::body::Body;

use crate::NOW;

const NAMES: [&str; 14] = [
    "grpc-timeout",
    "connect-timeout-ms",
    "idempotency-key",
    "x-request-id",
    "traceparent",
    "authorization",
    "x-mayfly-service",
    "fly-client-ip",
    "retry-after",
    "grpc-retry-pushback-ms",
    "cache-control",
    "content-type",
    "content-encoding",
    "grpc-encoding",
];

pub(crate) fn run(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(2 * NAMES.len()) {
        let Some((&place, value)) = line.split_first() else { continue };
        let name = HeaderName::from_static(NAMES[usize::from(place) % NAMES.len()]);
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    reads(&headers);
    let mut request = Request::post("/mayfly.user.v1.UserService/GetProfile")
        .body(Body::empty())
        .expect("a request");
    *request.headers_mut() = headers;
    layers::fuzzing::address(&request);
    let answered = layers::fuzzing::through_protocols(request, 1024).now_or_never();
    assert!(answered.is_some(), "nothing waits");
}

fn reads(headers: &HeaderMap) {
    let sent = |name| headers.get_all(name).iter().collect::<Vec<_>>();
    if let Ok(Some(time)) = timeout(headers) {
        assert!(time <= Duration::from_hours(99_999_999));
        assert!(matches!(sent("grpc-timeout")[..], [value] if value.len() <= 9));
    }
    if let Ok(Some(key)) = IdempotencyKey::of(headers) {
        assert_eq!(sent("idempotency-key"), [key.as_str()]);
        assert!((1..=64).contains(&key.as_str().len()));
    }
    let id = RequestId::of(headers);
    let mut echoed = HeaderMap::new();
    echoed.insert(RequestId::HEADER, id.to_value());
    assert_eq!(RequestId::of(&echoed), id, "an id that is not taken back");
    let onward = Onward::of(headers);
    if let Some(trace) = &onward.traceparent {
        assert!(trace.len() == 55 && trace.as_bytes().starts_with(b"00-"), "{trace:?}");
    }
    if let Ok(token) = identity::bearer(headers) {
        assert!(!token.is_empty() && token.len() <= 8192 && !token.contains(' '));
    }
    if let Ok(Some(token)) = identity::service_token(headers) {
        assert!(!token.is_empty() && token.len() <= 8192);
    }
    let age = identity::fuzzing::max_age(headers).as_secs();
    assert!((60..=86_400).contains(&age), "{age}");
    for wait in outbound::fuzzing::pushback(headers, NOW).into_iter().flatten() {
        // Whoever waits adds it to the time there is.
        let _end = std::time::Instant::now().checked_add(wait);
    }
}
