//! One point in time on both clocks, by which a process knows that its machine has slept.

use std::time::Duration;

use tokio::time::Instant;

/// The wall clock leaving the monotonic one by more than this means that the machine has slept, or
/// that its clock was set. In a shorter sleep no network forgets a connection, and no clock that is
/// kept right is stepped so far.
const CLOCKS_APART_MICROS_MAX: u64 = 5_000_000;

/// One point in time on both clocks: nobody can turn back the first, which stands still in a
/// suspended machine, and the second goes on meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The monotonic clock.
    pub instant: Instant,
    /// The wall clock, in microseconds since 1970.
    pub unix_micros: i64,
}

impl Moment {
    /// How long ago it was, by whichever clock has gone further: neither sleep nor a clock that was
    /// set back hides an age.
    pub fn age(self, now: Self) -> Duration {
        let wall = u64::try_from(now.unix_micros.saturating_sub(self.unix_micros)).unwrap_or(0);
        self.monotonic(now).max(Duration::from_micros(wall))
    }

    /// Whether the machine has slept in between, or its clock was set, which cannot be told from
    /// it. A connection that was idle meanwhile is dead, and nobody will say so.
    pub fn has_slept(self, now: Self) -> bool {
        let wall = now.unix_micros.saturating_sub(self.unix_micros);
        let monotonic = i64::try_from(self.monotonic(now).as_micros()).unwrap_or(i64::MAX);
        wall.abs_diff(monotonic) > CLOCKS_APART_MICROS_MAX
    }

    fn monotonic(self, now: Self) -> Duration {
        now.instant.saturating_duration_since(self.instant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a machine has slept on whose clocks so many seconds have passed, and for how long
    /// one would say, in seconds.
    fn after(monotonic: u64, wall: i64) -> (bool, u64) {
        let then = Moment { instant: Instant::now(), unix_micros: 1_000_000 };
        let instant = then.instant + Duration::from_secs(monotonic);
        let unix_micros = then.unix_micros.saturating_add(wall.saturating_mul(1_000_000));
        let now = Moment { instant, unix_micros };
        (then.has_slept(now), then.age(now).as_secs())
    }

    #[test]
    fn a_machine_has_slept_when_its_clocks_have_parted() {
        assert_eq!(after(3600, 3600), (false, 3600));
        assert_eq!(after(100, 105), (false, 105));
        assert_eq!(after(100, 106), (true, 106));
        assert_eq!(after(100, 95), (false, 100));
        assert_eq!(after(100, 94), (true, 100));
    }

    #[test]
    fn a_clock_that_was_set_hides_no_age() {
        assert_eq!(after(5, 100_000), (true, 100_000));
        assert_eq!(after(100_000, -500), (true, 100_000));
        assert_eq!(after(0, i64::MIN), (true, 0));
        assert!(after(0, i64::MAX).0);
    }
}
