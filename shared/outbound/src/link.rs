//! What a generated client is made from for one attempt: the channel, and what goes along.

use std::{
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use call::IdempotencyKey;
use http::{HeaderMap, HeaderName, HeaderValue};
use proto::{Method, Mutation};
use tokio::time::Instant;
use tonic::{body::Body, transport::Channel};
use tower::Service;

use crate::dependency::Attempt;

/// Where a function shows its own token to another.
const SERVICE_TOKEN: HeaderName = HeaderName::from_static("x-mayfly-service");
const PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const KEY: HeaderName = HeaderName::from_static(IdempotencyKey::HEADER);

/// `grpc-timeout` has eight digits at most.
const TIMEOUT_DIGITS: u128 = 99_999_999;

/// What is the same for every attempt of a call, and what the first has shown.
#[derive(Debug)]
pub(crate) struct Sent {
    headers: HeaderMap,
    key: Option<IdempotencyKey>,
    method: OnceLock<Option<&'static Method>>,
}

/// The channel of one attempt. Generated clients are made from it, and used once.
#[derive(Clone, Debug)]
pub struct Link {
    channel: Channel,
    sent: Arc<Sent>,
    attempt: Attempt,
    token: Option<HeaderValue>,
}

impl Sent {
    pub(crate) fn new(headers: HeaderMap, key: Option<IdempotencyKey>) -> Self {
        Self { headers, key, method: OnceLock::new() }
    }

    /// The RPC, once it has been called.
    pub(crate) fn method(&self) -> Option<&'static Method> {
        self.method.get().copied().flatten()
    }

    /// Whether there is a key to make a repeated call the same call.
    pub(crate) fn has_key(&self) -> bool {
        self.key.is_some()
    }
}

impl Link {
    pub(crate) fn new(channel: Channel, sent: Arc<Sent>, attempt: Attempt) -> Self {
        Self { channel, sent, attempt, token: None }
    }

    /// The same with our own token shown.
    pub(crate) fn showing(self, token: Option<HeaderValue>) -> Self {
        Self { token, ..self }
    }

    /// Adds what goes along to the headers of a request to `path`.
    fn complete(&self, path: &str, headers: &mut HeaderMap) {
        let method = *self.sent.method.get_or_init(|| proto::method(path));
        headers.extend(self.sent.headers.clone());
        let is_once = method.is_some_and(|method| method.rule.mutation == Mutation::ExactlyOnce);
        if let Some(key) = self.sent.key.as_ref().filter(|_| is_once) {
            let key = HeaderValue::from_str(key.as_str()).expect("a key is ASCII");
            headers.insert(KEY, key);
        }
        if self.attempt.previous > 0 {
            headers.insert(PREVIOUS_ATTEMPTS, HeaderValue::from(self.attempt.previous));
        }
        if let Some(token) = &self.token {
            headers.insert(SERVICE_TOKEN, token.clone());
        }
        let left = self.attempt.end.saturating_duration_since(Instant::now());
        headers.insert(TIMEOUT, timeout(left));
    }
}

/// The time left as `grpc-timeout` has it, rounded down: the next hop has no more than we.
fn timeout(left: Duration) -> HeaderValue {
    let (number, unit) = match left.as_micros() {
        micros if micros <= TIMEOUT_DIGITS => (micros, 'u'),
        _ => (left.as_millis().min(TIMEOUT_DIGITS), 'm'),
    };
    HeaderValue::from_str(&format!("{number}{unit}")).expect("digits and a letter are ASCII")
}

// === impl Link ===

impl Service<http::Request<Body>> for Link {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = <Channel as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path().to_owned();
        self.complete(&path, request.headers_mut());
        self.channel.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_written_in_eight_digits_and_never_rounded_up() {
        let written = |left| timeout(left).to_str().unwrap().to_owned();
        assert_eq!(written(Duration::ZERO), "0u");
        assert_eq!(written(Duration::from_nanos(1_234_999)), "1234u");
        assert_eq!(written(Duration::from_micros(99_999_999)), "99999999u");
        assert_eq!(written(Duration::from_secs(100)), "100000m");
        assert_eq!(written(Duration::from_micros(100_000_999)), "100000m");
        assert_eq!(written(Duration::MAX), "99999999m");
    }
}
