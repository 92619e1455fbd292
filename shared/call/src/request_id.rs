//! The id that joins an answer, its log line and its trace.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::{NoContext, Timestamp, Uuid};

/// A call's id: the client's, if it sent a valid UUID, else one of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RequestId(Uuid);

impl RequestId {
    /// The header and trailer it travels in.
    pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

    /// The id of a call that came with `headers`.
    pub fn of(headers: &HeaderMap) -> Self {
        let sent = headers.get(Self::HEADER).and_then(|value| value.to_str().ok());
        // Only the plain form: braces and URNs would be echoed in another spelling.
        let plain = sent.filter(|text| text.len() == 36);
        let sent = plain.and_then(|text| Uuid::try_parse(text).ok()).filter(|id| !id.is_nil());
        Self(sent.unwrap_or_else(ours))
    }

    /// The id itself.
    pub fn as_uuid(self) -> Uuid {
        self.0
    }

    /// The id as a header's value, which HPACK does not index: no two calls have the same, and in
    /// its table they would drive out what does repeat, and be compared with one another.
    pub fn to_value(self) -> HeaderValue {
        let mut text = Uuid::encode_buffer();
        let text = self.0.hyphenated().encode_lower(&mut text);
        let mut value = HeaderValue::from_str(text).expect("a UUID is ASCII");
        value.set_sensitive(true);
        value
    }
}

/// A new id. Those of one millisecond are in no order: to keep them in one, `Uuid::now_v7` takes a
/// lock that every call of the process would wait for.
fn ours() -> Uuid {
    Uuid::new_v7(Timestamp::now(NoContext))
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sent: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(RequestId::HEADER, HeaderValue::from_str(sent).unwrap());
        RequestId::of(&headers).to_string()
    }

    #[test]
    fn a_valid_uuid_is_kept_and_anything_else_replaced() {
        let sent = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
        assert_eq!(of(sent), sent);
        assert_eq!(of("3F2504E0-4F89-41D3-9A0C-0305E82C3301"), sent);
        for other in ["", "x", "{3f2504e0-4f89-41d3-9a0c-0305e82c3301}", &"0".repeat(36)] {
            assert_eq!(of(other).len(), 36);
            assert_ne!(of(other), other);
        }
    }
}
