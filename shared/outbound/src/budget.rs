//! How many of the attempts may be retries: a bucket that calls fill and retries empty.
//!
//! Each hop adds a twentieth at most, so that three of them in a row, each losing whatever answers
//! it likes, stay below 1.05 x 1.05 x 1.05 = 1.16 of the calls that were made; what a full bucket
//! adds to that is constant.

use tokio::time::Instant;

/// One retry, in thousandths.
const RETRY: u64 = 1000;

/// What one call adds: a twentieth of a retry.
const PER_CALL: u64 = 50;

/// What time adds, so that a function with few calls may retry them: a retry every 10 seconds.
const PER_10_MS: u64 = 1;

/// What the bucket holds at most, and at first: 10 retries.
const FULL: u64 = 10 * RETRY;

/// The retries that one dependency may still be asked for.
#[derive(Debug)]
pub(crate) struct Budget {
    left: u64,
    filled: Instant,
}

impl Budget {
    pub(crate) fn new(now: Instant) -> Self {
        Self { left: FULL, filled: now }
    }

    /// Counts a call whose first attempt goes out.
    pub(crate) fn call(&mut self) {
        self.left = (self.left + PER_CALL).min(FULL);
    }

    /// Takes one retry, if there is one.
    pub(crate) fn retry(&mut self, now: Instant) -> bool {
        self.fill(now);
        match self.left.checked_sub(RETRY) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_millis() / 10;
        let earned = u64::try_from(passed).unwrap_or(FULL).saturating_mul(PER_10_MS);
        if earned > 0 {
            // What is less than a full step is lost, never gained.
            self.filled = now;
            self.left = self.left.saturating_add(earned).min(FULL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Event {
        Call,
        Retry,
        Pass(u64),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => Just(Event::Call),
            6 => Just(Event::Retry),
            1 => (0..5000_u64).prop_map(Event::Pass),
        ]
    }

    proptest! {
        #[test]
        fn retries_are_a_twentieth_of_the_calls_and_a_floor(
            events in prop::collection::vec(event(), 0..2000)
        ) {
            let start = Instant::now();
            let (mut budget, mut now) = (Budget::new(start), start);
            let (mut calls, mut retries) = (0_u64, 0_u64);
            for event in events {
                match event {
                    Event::Call => {
                        budget.call();
                        calls += 1;
                    }
                    Event::Retry => retries += u64::from(budget.retry(now)),
                    Event::Pass(millis) => now += Duration::from_millis(millis),
                }
                let passed = u64::try_from((now - start).as_millis()).unwrap();
                prop_assert!(retries * 1000 <= 10_000 + calls * 50 + passed / 10);
            }
        }
    }

    #[test]
    fn an_empty_budget_refills_with_calls_and_with_time() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        assert_eq!((0..100).filter(|_| budget.retry(start)).count(), 10);
        for _ in 0..19 {
            budget.call();
        }
        assert!(!budget.retry(start));
        budget.call();
        assert!(budget.retry(start));
        assert!(!budget.retry(start + Duration::from_millis(9999)));
        assert!(budget.retry(start + Duration::from_millis(10_010)));
    }
}
