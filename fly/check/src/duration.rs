//! Spans of time as Go writes them.

use std::time::Duration;

const UNITS: [(&str, f64); 7] = [
    // The longer spelling first: `m` would take `ms`.
    ("ns", 1e-9),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
];

/// Reads a span such as `1m21s`, which flyctl takes only with its units.
///
/// ```
/// assert_eq!(check::duration("1m21s").map(|span| span.as_secs()), Some(81));
/// assert_eq!(check::duration("30"), None);
/// ```
pub fn duration(text: &str) -> Option<Duration> {
    let mut secs = 0.0;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at_checked(digits)?;
        let number: f64 = number.parse().ok()?;
        let (after, unit) =
            UNITS.iter().find_map(|(name, unit)| Some((after.strip_prefix(name)?, unit)))?;
        secs += number * unit;
        rest = after;
    }
    Duration::try_from_secs_f64(secs).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_required_and_may_be_combined() {
        for (text, millis) in
            [("15s", 15_000), ("1m21s", 81_000), ("1h", 3_600_000), ("1.5s", 1500)]
        {
            assert_eq!(duration(text).map(|span| span.as_millis()), Some(millis), "{text}");
        }
        for text in ["", "15", "s", "15 s", "15sec", "-5s", "5s5", "1..s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
