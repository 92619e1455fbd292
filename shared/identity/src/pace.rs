//! How often the keys may be asked for, whoever asks and however often.

use std::time::Duration;

use clock::Moment;

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
    unknown: Option<Moment>,
}

impl Pace {
    /// After a failure without keys: callers fail in the meantime, so this is short.
    pub(crate) const AGAIN_AFTER: Duration = Duration::from_secs(1);
    /// After a failure with old keys, which still serve.
    pub(crate) const DUE_AGAIN_AFTER: Duration = Duration::from_secs(30);
    /// Between fetches for unknown keys.
    pub(crate) const UNKNOWN_EVERY: Duration = Duration::from_secs(30);

    /// Whether a fetch may start now for this reason, the last one having failed then, if it did. A
    /// fetch for an unknown key is then counted.
    pub(crate) fn start(&mut self, why: Why, failed: Option<Moment>, now: Moment) -> bool {
        let passed =
            |since: Option<Moment>, least| since.is_none_or(|since| since.age(now) >= least);
        match why {
            Why::None => passed(failed, Self::AGAIN_AFTER),
            Why::Due => passed(failed, Self::DUE_AGAIN_AFTER),
            Why::Unknown => {
                let may = passed(self.unknown, Self::UNKNOWN_EVERY);
                if may {
                    self.unknown = Some(now);
                }
                may
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    /// So many milliseconds after the start.
    fn at(start: Instant, millis: u32) -> Moment {
        let instant = start + Duration::from_millis(millis.into());
        Moment { instant, unix_micros: i64::from(millis) * 1000 }
    }

    #[test]
    fn a_flood_of_unknown_keys_starts_one_fetch_in_30_seconds() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let starts = |millis: &u32| pace.start(Why::Unknown, None, at(start, *millis));
        assert_eq!((0..90_000).filter(starts).count(), 3);
    }

    #[test]
    fn without_keys_a_failure_is_followed_by_a_second_of_rest() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let mut starts =
            |failed: Option<Moment>, millis| pace.start(Why::None, failed, at(start, millis));
        assert!(starts(None, 0));
        let failed = Some(at(start, 0));
        assert!(!starts(failed, 999));
        assert!(starts(failed, 1000));
    }

    #[test]
    fn with_old_keys_a_failure_is_followed_by_30_seconds_of_rest() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let mut starts =
            |failed: Option<Moment>, millis| pace.start(Why::Due, failed, at(start, millis));
        let failed = Some(at(start, 0));
        assert!(!starts(failed, 29_999));
        assert!(starts(failed, 30_000));
        assert!(starts(None, 0));
    }
}
