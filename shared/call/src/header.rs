//! The headers that steer a call, read strictly: a header that cannot be read is the client's
//! fault, and is never taken for one that was not sent.

use std::{fmt, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};

/// What makes a repeated call the same call: 1 to 64 of `[A-Za-z0-9_-]`.
#[derive(Clone, Eq, PartialEq)]
pub struct IdempotencyKey(String);

/// An `idempotency-key` that is none.
#[derive(Debug, thiserror::Error)]
#[error("the idempotency key is malformed")]
pub struct IdempotencyKeyError;

impl IdempotencyKey {
    /// The header it travels in.
    pub const HEADER: &str = "idempotency-key";

    /// Reads the key out of `headers`, if there is one.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, IdempotencyKeyError> {
        let mut sent = headers.get_all(Self::HEADER).iter();
        let (Some(value), None) = (sent.next(), sent.next()) else {
            return if headers.contains_key(Self::HEADER) {
                Err(IdempotencyKeyError)
            } else {
                Ok(None)
            };
        };
        match value.to_str() {
            Ok(text) if Self::is_key(text) => Ok(Some(Self(text.to_owned()))),
            _ => Err(IdempotencyKeyError),
        }
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_key(text: &str) -> bool {
        let of_the_alphabet =
            |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        (1..=64).contains(&text.len()) && text.bytes().all(of_the_alphabet)
    }
}

/// Stored answers are sealed under it: it stays out of logs.
impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyKey(..)")
    }
}

/// A `grpc-timeout` that is none.
#[derive(Debug, thiserror::Error)]
#[error("the grpc-timeout header is malformed")]
pub struct TimeoutError;

/// Where a client says how long it waits. A constant name is not parsed anew for every call.
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Reads `grpc-timeout`: 1 to 8 digits and a unit of `HMSmun`.
pub fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, TimeoutError> {
    let mut sent = headers.get_all(TIMEOUT).iter();
    match (sent.next(), sent.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => parse_timeout(value).map(Some).ok_or(TimeoutError),
        (Some(_), Some(_)) => Err(TimeoutError),
    }
}

fn parse_timeout(value: &HeaderValue) -> Option<Duration> {
    let (unit, digits) = value.as_bytes().split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(Duration::from_secs(number * 3600)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(name: &'static str, values: &[&str]) -> HeaderMap {
        let values = values.iter().map(|value| HeaderValue::from_bytes(value.as_bytes()).unwrap());
        values.map(|value| (HeaderName::from_static(name), value)).collect()
    }

    #[test]
    fn a_timeout_has_up_to_eight_digits_and_a_unit() {
        let read = |text| timeout(&sent("grpc-timeout", &[text])).ok().flatten();
        assert_eq!(read("99999999H"), Some(Duration::from_hours(99_999_999)));
        assert_eq!(read("2S"), Some(Duration::from_secs(2)));
        assert_eq!(read("150m"), Some(Duration::from_millis(150)));
        assert_eq!(read("0n"), Some(Duration::ZERO));
        for broken in ["100x", "", "S", "123456789S", "-1S", "1.5S", "1 S", "１S", "+1S"] {
            assert!(timeout(&sent("grpc-timeout", &[broken])).is_err(), "{broken}");
        }
        assert!(timeout(&sent("grpc-timeout", &["1S", "1S"])).is_err());
        assert!(timeout(&HeaderMap::new()).unwrap().is_none());
    }

    #[test]
    fn a_key_is_of_the_alphabet_and_sent_once() {
        let read = |values: &[&str]| IdempotencyKey::of(&sent("idempotency-key", values));
        assert_eq!(read(&["my-first_1"]).unwrap().unwrap().as_str(), "my-first_1");
        assert!(read(&[]).unwrap().is_none());
        assert!(read(&[&"k".repeat(64)]).is_ok());
        for broken in ["", "a b", "é", "a/b", &"k".repeat(65)] {
            assert!(read(&[broken]).is_err(), "{broken}");
        }
        assert!(read(&["a", "a"]).is_err());
    }
}
