//! The wall clock, as a value: whoever needs the time is given a [`Clock`], and a test sets it.
//!
//! Intervals are not measured with it: those use `tokio::time::Instant`, which no one can turn back.
//! Whoever keeps what does not survive a machine's sleep, such as connections, notes the [`Moment`].

mod moment;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

pub use moment::Moment;
use tokio::time::Instant;

/// Tells the time of day. Clones tell the same time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    /// Microseconds since 1970.
    Set(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's own clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `unix_secs` until it is moved.
    pub fn at(unix_secs: i64) -> Self {
        Self(Source::Set(Arc::new(AtomicI64::new(unix_secs * 1_000_000))))
    }

    /// Now, on this clock and on the monotonic one.
    pub fn now(&self) -> Moment {
        Moment { instant: Instant::now(), unix_micros: self.unix_micros() }
    }

    /// Microseconds since 1970, negative before.
    pub fn unix_micros(&self) -> i64 {
        match &self.0 {
            Source::System => system_micros(),
            Source::Set(micros) => micros.load(Ordering::Relaxed),
        }
    }

    /// Whole seconds since 1970, rounded down.
    pub fn unix_secs(&self) -> i64 {
        self.unix_micros().div_euclid(1_000_000)
    }

    /// Moves a clock made by [`Clock::at`]; the machine's own is nobody's to move.
    pub fn advance(&self, by: Duration) {
        if let Source::Set(micros) = &self.0 {
            let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
            micros.fetch_add(by, Ordering::Relaxed);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
fn system_micros() -> i64 {
    let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    // A clock before 1970 is wrong but must not stop a call.
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => micros(after),
        Err(before) => -micros(before.duration()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_clock_stands_until_it_is_moved() {
        let clock = Clock::at(100);
        let same = clock.clone();
        clock.advance(Duration::from_millis(1500));
        assert_eq!((same.unix_secs(), same.unix_micros()), (101, 101_500_000));
    }

    #[test]
    fn seconds_before_1970_round_down() {
        let clock = Clock::at(-1);
        clock.advance(Duration::from_micros(1));
        assert_eq!(clock.unix_secs(), -1);
    }
}
