//! What a call carries that is sent on, unchanged, with the calls that it makes.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// W3C's trace context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The headers that go on to our own functions, and to nobody else.
#[derive(Clone, Default)]
pub struct Onward {
    /// The person's token, as it came; whoever is called verifies it again.
    pub authorization: Option<HeaderValue>,
    /// What joins the traces, if it is one.
    pub traceparent: Option<HeaderValue>,
}

impl Onward {
    /// What goes on of a call that came with `headers`.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut authorization = headers.get(header::AUTHORIZATION).cloned();
        if let Some(token) = &mut authorization {
            token.set_sensitive(true);
        }
        let traceparent = headers.get(TRACEPARENT).filter(|value| is_traceparent(value)).cloned();
        Self { authorization, traceparent }
    }

    /// Adds them to a call of our own.
    pub fn add_to(&self, headers: &mut HeaderMap) {
        let parts =
            [(header::AUTHORIZATION, &self.authorization), (TRACEPARENT, &self.traceparent)];
        for (name, value) in parts {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
    }
}

/// The token stays out.
impl fmt::Debug for Onward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Onward").field("traceparent", &self.traceparent).finish_non_exhaustive()
    }
}

/// Version 00: `00-<trace id>-<span id>-<flags>`, in lower-case hex, neither id zero.
fn is_traceparent(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let is_hex = |part: &str, length: usize| {
        let of_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        part.len() == length && part.bytes().all(of_hex)
    };
    let is_id = |part: &str, length| is_hex(part, length) && part.bytes().any(|byte| byte != b'0');
    let parts: Vec<_> = text.split('-').collect();
    match parts[..] {
        ["00", trace, span, flags] => is_id(trace, 32) && is_id(span, 16) && is_hex(flags, 2),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn of(traceparent: &str) -> Onward {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer hunter2"));
        headers.insert(TRACEPARENT, HeaderValue::from_str(traceparent).unwrap());
        headers.insert("cookie", HeaderValue::from_static("a=b"));
        Onward::of(&headers)
    }

    #[test]
    fn the_token_and_a_valid_trace_go_on_and_nothing_else() {
        let mut headers = HeaderMap::new();
        of(GOOD).add_to(&mut headers);
        assert_eq!(headers.len(), 2);
        assert_eq!(headers[header::AUTHORIZATION], "Bearer hunter2");
        assert_eq!(headers[TRACEPARENT], GOOD);
        assert!(!format!("{:?} {headers:?}", of(GOOD)).contains("hunter2"));
    }

    #[test]
    fn a_trace_that_is_none_does_not_go_on() {
        let zero = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        let span = "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01";
        let upper = GOOD.to_uppercase();
        let (newer, more) = (GOOD.replacen("00", "01", 1), format!("{GOOD}-more"));
        for bad in ["", "00", "a-b-c-d", zero, span, &upper, &newer, &more] {
            assert!(of(bad).traceparent.is_none(), "{bad}");
        }
    }
}
