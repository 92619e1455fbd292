//! How long to wait before each retry, unless the dependency has named a time itself.

use std::time::Duration;

use backoff::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// How often a call is tried, the first time included.
pub(crate) const ATTEMPTS_MAX: usize = 4;

/// The wait before the first retry; each one after that doubles it.
pub(crate) const WAIT_MIN: Duration = Duration::from_millis(50);

/// The longest wait of the schedule.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(1);

/// The waits of one call: 50 ms, 100 ms, .., each a fifth shorter or longer by chance.
#[derive(Debug)]
pub(crate) struct Schedule {
    plain: ExponentialBackoff,
    jittered: ExponentialBackoff,
}

impl Schedule {
    pub(crate) fn new() -> Self {
        Self::of(ExponentialBuilder::new().with_jitter())
    }

    fn of(jittered: ExponentialBuilder) -> Self {
        let bounded = |waits: ExponentialBuilder| {
            let waits = waits.with_min_delay(WAIT_MIN).with_max_delay(WAIT_MAX);
            waits.with_factor(2.0).with_max_times(ATTEMPTS_MAX - 1).build()
        };
        Self { plain: bounded(ExponentialBuilder::new()), jittered: bounded(jittered) }
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // The crate's jitter adds up to the whole wait once more; the mean of both, scaled, is the
        // wait give or take a fifth.
        let both = self.plain.next()? + self.jittered.next()?;
        Some(both.mul_f64(0.4))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_are_within_a_fifth_of_the_schedule(seed in any::<u64>()) {
            let jittered = ExponentialBuilder::new().with_jitter().with_jitter_seed(seed);
            let waits: Vec<_> = Schedule::of(jittered).collect();
            prop_assert_eq!(waits.len(), ATTEMPTS_MAX - 1);
            for (wait, step) in waits.into_iter().zip([50_u64, 100, 200]) {
                let step = Duration::from_millis(step);
                let within = step.mul_f64(0.799)..step.mul_f64(1.201);
                prop_assert!(within.contains(&wait), "{:?} of {:?}", wait, step);
            }
        }
    }

    #[test]
    fn no_two_callers_wait_in_step() {
        let firsts: Vec<_> = (0..50).filter_map(|_| Schedule::new().next()).collect();
        let (least, most) = (firsts.iter().min().unwrap(), firsts.iter().max().unwrap());
        assert!(*most > *least + WAIT_MIN / 10, "{least:?} to {most:?}");
    }
}
