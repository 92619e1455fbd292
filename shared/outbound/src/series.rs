//! What is counted of the calls that leave, by dependency.

use std::sync::atomic::AtomicI64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};
use telemetry::metrics::Metrics;

use crate::breaker::{Standing, Verdict};

/// The series of every dependency.
#[derive(Clone, Debug, Default)]
pub(crate) struct Families {
    attempts: Family<AttemptLabels, Counter>,
    retries: Family<Labels, Counter>,
    rejections: Family<RejectionLabels, Counter>,
    breaker: Family<Labels, Gauge<i64, AtomicI64>>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Labels {
    dependency: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct AttemptLabels {
    dependency: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct RejectionLabels {
    dependency: &'static str,
    reason: &'static str,
}

/// The series of one dependency, made at once, so that an alert sees zero instead of nothing.
#[derive(Debug)]
pub(crate) struct Series {
    answered: Counter,
    failed: Counter,
    given_up: Counter,
    pub(crate) retries: Counter,
    /// Calls that did not leave: no time was left.
    pub(crate) too_late: Counter,
    /// Calls that did not leave: the breaker was open.
    pub(crate) breaker_open: Counter,
    /// Retries that were not made: there had been too many.
    pub(crate) over_budget: Counter,
    breaker: Gauge<i64, AtomicI64>,
}

impl Families {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let families = Self::default();
        let Self { attempts, retries, rejections, breaker } = families.clone();
        let name = "outbound_attempts";
        metrics.register(name, "Attempts of calls to others, by what came of them", attempts);
        metrics.register("outbound_retries", "Attempts that were not the first", retries);
        let name = "outbound_rejections";
        metrics.register(name, "Attempts that were not made, by why not", rejections);
        let name = "outbound_breaker_state";
        metrics.register(name, "0 closed, 1 half-open, 2 open", breaker);
        families
    }

    pub(crate) fn of(&self, dependency: &'static str) -> Series {
        let attempts =
            |outcome| self.attempts.get_or_create(&AttemptLabels { dependency, outcome }).clone();
        let rejections =
            |reason| self.rejections.get_or_create(&RejectionLabels { dependency, reason }).clone();
        Series {
            answered: attempts("answered"),
            failed: attempts("failed"),
            given_up: attempts("given_up"),
            retries: self.retries.get_or_create(&Labels { dependency }).clone(),
            too_late: rejections("deadline"),
            breaker_open: rejections("breaker"),
            over_budget: rejections("budget"),
            breaker: self.breaker.get_or_create(&Labels { dependency }).clone(),
        }
    }
}

impl Series {
    /// An attempt has ended.
    pub(crate) fn attempted(&self, verdict: Verdict) {
        let counter = match verdict {
            Verdict::Well => &self.answered,
            Verdict::Ill => &self.failed,
            Verdict::Unknown => &self.given_up,
        };
        counter.inc();
    }

    /// The breaker stands so.
    pub(crate) fn stands(&self, standing: Standing) {
        self.breaker.set(match standing {
            Standing::Closed => 0,
            Standing::HalfOpen => 1,
            Standing::Open => 2,
        });
    }
}
