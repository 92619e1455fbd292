//! The questions that a rule can ask of a value, without a regular expression.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Is the longest e-mail address that mail can be sent to, in bytes.
const EMAIL_BYTES_MAX: usize = 254;
/// Is the longest name that DNS knows, in bytes.
const HOSTNAME_BYTES_MAX: usize = 253;
/// Is the longest part between two dots of such a name, in bytes.
const LABEL_BYTES_MAX: usize = 63;

/// Returns whether a text has more than so many characters, without counting those beyond.
pub(crate) fn over_chars(text: &str, max: usize) -> bool {
    text.len() > max && text.chars().nth(max).is_some()
}

/// Returns whether a text has fewer than so many characters, without counting those beyond.
pub(crate) fn under_chars(text: &str, min: usize) -> bool {
    min > 0 && text.chars().nth(min - 1).is_none()
}

/// Returns whether no item comes twice.
pub(crate) fn unique<T: Ord>(items: impl IntoIterator<Item = T>) -> bool {
    let mut seen = BTreeSet::new();
    items.into_iter().all(|item| seen.insert(item))
}

/// Returns whether a text is a UUID as ours are: random or in the order of time, and in lower case. In
/// another spelling one id would be two to whoever compares texts.
pub(crate) fn uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            14 => matches!(byte, b'4' | b'7'),
            19 => matches!(byte, b'8' | b'9' | b'a' | b'b'),
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// Returns whether a text is a UUID without its dashes.
pub(crate) fn tuuid(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns whether a text is an e-mail address as HTML's input fields know it.
pub(crate) fn email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);

    text.len() <= EMAIL_BYTES_MAX
        && !local.is_empty()
        && local.bytes().all(known)
        && domain.split('.').all(label)
}

/// Returns whether a text is a name that DNS could know; a dot may end it, digits alone may not.
pub(crate) fn hostname(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let numeric = |last: &str| last.bytes().all(|byte| byte.is_ascii_digit());

    name.len() <= HOSTNAME_BYTES_MAX
        && name.split('.').all(label)
        && !name.rsplit('.').next().is_some_and(numeric)
}

/// Returns whether a text is an IP address; one with a zone is none.
pub(crate) fn ip(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

/// Returns whether a text is an IP address of version 4.
pub(crate) fn ipv4(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok()
}

/// Returns whether a text is an IP address of version 6; one with a zone is none.
pub(crate) fn ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok()
}

/// Returns whether a timestamp lies in the years that the contract's JSON can spell.
pub(crate) fn timestamp(value: &prost_types::Timestamp) -> bool {
    (-62_135_596_800..=253_402_300_799).contains(&value.seconds)
        && (0..=999_999_999).contains(&value.nanos)
}

/// Returns whether a duration is within 10,000 years and both its parts have the same sign.
pub(crate) fn duration(value: &prost_types::Duration) -> bool {
    (-315_576_000_000..=315_576_000_000).contains(&value.seconds)
        && (-999_999_999..=999_999_999).contains(&value.nanos)
        && (value.seconds == 0 || value.nanos == 0 || (value.seconds < 0) == (value.nanos < 0))
}

fn label(text: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
