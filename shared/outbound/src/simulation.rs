//! Hops in a row, each with its own budget, of which any may lose any answer.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use crate::{budget::Budget, schedule::ATTEMPTS_MAX};

/// Functions that call each other in a row; the last one calls nobody.
struct Chain {
    budgets: Vec<Budget>,
    /// How many attempts each hop has made.
    attempts: Vec<u64>,
    now: Instant,
}

impl Chain {
    fn new(hops: usize) -> Self {
        let now = Instant::now();
        let budgets = (0..hops).map(|_| Budget::new(now)).collect();
        Self { budgets, attempts: vec![0; hops], now }
    }

    /// A call from `hop` on, and whether its answer came back. An answer is lost after its work was
    /// done, which is the worst that can happen: everything below is done again.
    fn call(&mut self, hop: usize, is_lost: &mut impl FnMut(usize) -> bool) -> bool {
        let Some(budget) = self.budgets.get_mut(hop) else { return true };
        budget.call();
        for attempt in 0..ATTEMPTS_MAX {
            if attempt > 0 && !self.budgets[hop].retry(self.now) {
                return false;
            }
            self.attempts[hop] += 1;
            if self.call(hop + 1, is_lost) && !is_lost(hop) {
                return true;
            }
        }
        false
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn three_hops_make_no_storm(
        lost in prop::collection::vec(0..=100_u64, 3), seed in any::<u64>(), gap in 0..5_u64
    ) {
        const CALLS: u64 = 4000;
        let mut chain = Chain::new(3);
        let mut chance = seed | 1;
        let mut is_lost = |hop: usize| {
            // Numbers as random as this needs, from the seed alone.
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            chance % 100 < lost[hop]
        };
        for _ in 0..CALLS {
            chain.call(0, &mut is_lost);
            chain.now += Duration::from_millis(gap);
        }
        let mut asked = CALLS;
        for (hop, attempts) in chain.attempts.iter().copied().enumerate() {
            prop_assert!(attempts * 100 <= asked * 110, "hop {}: {} of {}", hop, attempts, asked);
            prop_assert!(attempts * 100 <= CALLS * 120, "hop {}: {} of {}", hop, attempts, CALLS);
            asked = attempts;
        }
    }
}

#[test]
fn without_the_budget_there_would_be_one() {
    let mut chain = Chain::new(3);
    let mut calls = 0_u64;
    // Each call finds full budgets: what the budget does is what the test above sees.
    while chain.attempts[2] < 1000 {
        let now = chain.now;
        chain.budgets.fill_with(|| Budget::new(now));
        chain.call(0, &mut |_hop| true);
        calls += 1;
    }
    assert!(chain.attempts[2] > calls * 10, "{:?} of {calls}", chain.attempts);
}
