//! What a dependency says about coming back: it knows better than any schedule.

use std::time::Duration;

use chrono::DateTime;
use http::{HeaderMap, header};

/// Where a gRPC server says it, in milliseconds.
const GRPC: &str = "grpc-retry-pushback-ms";

/// What was said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pushback {
    /// Nothing.
    None,
    /// To come back after exactly this.
    After(Duration),
    /// Not to come back.
    Never,
}

impl Pushback {
    /// What the trailers of a gRPC answer say. What cannot be read is a no, as gRPC has it.
    pub(crate) fn of_grpc(trailers: &HeaderMap) -> Self {
        let Some(value) = trailers.get(GRPC) else { return Self::None };
        let millis = value.to_str().ok().and_then(|text| text.parse::<i64>().ok());
        match millis.and_then(|millis| u64::try_from(millis).ok()) {
            Some(millis) => Self::After(Duration::from_millis(millis)),
            None => Self::Never,
        }
    }

    /// What `retry-after` says, in seconds or as a date; what cannot be read was not said.
    pub(crate) fn of_http(headers: &HeaderMap, unix_secs: i64) -> Self {
        let value = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let seconds = value.map(str::trim).and_then(|text| {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            if is_number {
                return Some(text.parse().unwrap_or(u64::MAX));
            }
            let date = DateTime::parse_from_rfc2822(text).ok()?;
            // A date that has passed asks for no wait.
            Some(u64::try_from(date.timestamp().saturating_sub(unix_secs)).unwrap_or(0))
        });
        seconds.map_or(Self::None, |seconds| Self::After(Duration::from_secs(seconds)))
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn sent(name: &'static str, value: &str) -> HeaderMap {
        let value = HeaderValue::from_str(value).unwrap();
        HeaderMap::from_iter([(HeaderName::from_static(name), value)])
    }

    #[test]
    fn a_grpc_server_names_a_time_or_says_no() {
        let of = |value| Pushback::of_grpc(&sent("grpc-retry-pushback-ms", value));
        assert_eq!(of("0"), Pushback::After(Duration::ZERO));
        assert_eq!(of("250"), Pushback::After(Duration::from_millis(250)));
        for no in ["-1", "-9223372036854775808", "soon", "", "1.5", "99999999999999999999"] {
            assert_eq!(of(no), Pushback::Never, "{no}");
        }
        assert_eq!(Pushback::of_grpc(&HeaderMap::new()), Pushback::None);
    }

    #[test]
    fn an_http_server_names_seconds_or_a_date() {
        let of = |value| Pushback::of_http(&sent("retry-after", value), 1_445_412_480);
        assert_eq!(of("0"), Pushback::After(Duration::ZERO));
        assert_eq!(of(" 120 "), Pushback::After(Duration::from_mins(2)));
        let date = "Wed, 21 Oct 2015 07:28:30 GMT";
        assert_eq!(of(date), Pushback::After(Duration::from_secs(30)));
        assert_eq!(of("Wed, 21 Oct 2015 07:27:00 GMT"), Pushback::After(Duration::ZERO));
        assert_eq!(of("99999999999999999999"), Pushback::After(Duration::from_secs(u64::MAX)));
        for unread in ["-1", "soon", "", "1.5"] {
            assert_eq!(of(unread), Pushback::None, "{unread}");
        }
    }
}
