//! How often the keys may be asked for, whoever asks and however often.

use std::time::Duration;

use tokio::time::Instant;

/// Why the keys are asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Why {
    /// There are none that may be used, and a caller waits.
    None,
    /// Those at hand are old, but still used.
    Due,
    /// A token names a key that is not among them. Anybody can make such a token.
    Unknown,
}

/// Decides whether a fetch may start.
///
/// While there are keys, no flood makes more than two fetches in [`Pace::UNKNOWN_EVERY`]: one for
/// unknown keys and one for old ones.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    failed: Option<Instant>,
    unknown: Option<Instant>,
}

impl Pace {
    /// After a failure without keys: callers fail in the meantime, so this is short.
    pub(crate) const AGAIN_AFTER: Duration = Duration::from_secs(1);
    /// After a failure with old keys, which still serve.
    pub(crate) const DUE_AGAIN_AFTER: Duration = Duration::from_secs(30);
    /// Between fetches for unknown keys.
    pub(crate) const UNKNOWN_EVERY: Duration = Duration::from_secs(30);

    /// Whether a fetch may start now for this reason. A fetch for an unknown key is then counted.
    pub(crate) fn start(&mut self, why: Why, now: Instant) -> bool {
        let passed = |since: Option<Instant>, least| {
            since.is_none_or(|since| now.saturating_duration_since(since) >= least)
        };
        match why {
            Why::None => passed(self.failed, Self::AGAIN_AFTER),
            Why::Due => passed(self.failed, Self::DUE_AGAIN_AFTER),
            Why::Unknown => {
                let may = passed(self.unknown, Self::UNKNOWN_EVERY);
                if may {
                    self.unknown = Some(now);
                }
                may
            }
        }
    }

    /// Notes that a fetch failed.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.failed = Some(now);
    }

    /// Notes that a fetch brought keys.
    pub(crate) fn succeeded(&mut self) {
        self.failed = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_flood_of_unknown_keys_starts_one_fetch_in_30_seconds() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let started = (0..90_000).filter(|at| pace.start(Why::Unknown, start + MS * *at)).count();
        assert_eq!(started, 3);
    }

    #[test]
    fn without_keys_a_failure_is_followed_by_a_second_of_rest() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert!(pace.start(Why::None, start));
        pace.failed(start);
        assert!(!pace.start(Why::None, start + MS * 999));
        assert!(pace.start(Why::None, start + MS * 1000));
    }

    #[test]
    fn with_old_keys_a_failure_is_followed_by_30_seconds_of_rest() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.failed(start);
        assert!(!pace.start(Why::Due, start + MS * 29_999));
        assert!(pace.start(Why::Due, start + MS * 30_000));
        pace.succeeded();
        assert!(pace.start(Why::Due, start));
    }
}
