//! The stack of a call that leaves, written once for every kind of dependency.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use call::Call;
use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    Error, Sent, Settings, breaker::Verdict, budget::Budget, gate::Gate, pushback::Pushback,
    schedule::Schedule, series::Series,
};

/// What we keep of the time left, to hand on the answer or to say that there is none.
pub(crate) const HOP_MARGIN: Duration = Duration::from_millis(5);

/// With less time left than this a call is not begun.
pub(crate) const LEFT_MIN: Duration = Duration::from_millis(10);

/// How long a call may take that nobody has set a deadline for, such as work in the background.
const CALL_MAX: Duration = Duration::from_secs(30);

/// An attempt that got this much time and was not answered speaks against the dependency; with less
/// it may speak against the caller, and a caller in a hurry must not open the breaker for everybody.
const FAIR_MIN: Duration = Duration::from_secs(1);

/// Whom calls are made to, and how that has gone.
#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) name: &'static str,
    pub(crate) settings: Settings,
    gate: Gate,
    budget: Mutex<Budget>,
    series: Arc<Series>,
}

/// Something to be done there, as often as it takes.
pub(crate) trait Errand: Sync {
    /// What it brings.
    type Answer: Send;

    /// Does it once.
    fn attempt(
        &self,
        attempt: Attempt,
    ) -> impl Future<Output = Result<Self::Answer, Failed>> + Send;

    /// Whether it may be done again after it was begun: nobody knows how far it came.
    fn is_repeatable(&self) -> bool;
}

/// One attempt, for whoever makes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    /// How many there were before.
    pub(crate) previous: u32,
    /// When it ends; what is left until then is the next hop's whole budget.
    pub(crate) end: Instant,
    /// When the call ends: at the same time, if this attempt has all that is left.
    call_end: Instant,
    /// How long it may take.
    given: Duration,
}

/// What an attempt came to that brought no answer.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: Error,
    pub(crate) verdict: Verdict,
    pub(crate) again: Again,
}

/// Whether the attempt may be made again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Again {
    /// It would come to the same, or do its work twice.
    Never,
    /// After the schedule's next wait.
    Scheduled,
    /// After exactly this, as the dependency has asked.
    After(Duration),
}

impl Dependency {
    pub(crate) fn new(name: &'static str, settings: Settings, series: Series) -> Self {
        let series = Arc::new(series);
        Self {
            name,
            settings,
            gate: Gate::new(name, Arc::clone(&series)),
            budget: Mutex::new(Budget::new(Instant::now())),
            series,
        }
    }

    /// Makes a call: outermost first, as the lines stand here.
    pub(crate) async fn call<E: Errand>(
        &self,
        call: &Call,
        errand: &E,
    ) -> Result<E::Answer, Error> {
        // A bug, and so told before anything can make it look like an outage.
        if call::are_calls_held() {
            return Err(Error::TransactionOpen { dependency: self.name });
        }
        // Above the retries: all attempts and the waits between them share the one deadline.
        let end = self.end_of(call)?;
        self.retried(end, errand).await
    }

    /// When the call must be over, if there is time for it at all.
    fn end_of(&self, call: &Call) -> Result<Instant, Error> {
        let now = Instant::now();
        let deadline = call.deadline.unwrap_or(now + CALL_MAX);
        if deadline.saturating_duration_since(now) < LEFT_MIN {
            self.series.too_late.inc();
            return Err(self.too_late(Sent::Nothing));
        }
        Ok(deadline - HOP_MARGIN)
    }

    /// Tries again what may be tried again, while there is time and the budget allows it.
    async fn retried<E: Errand>(&self, end: Instant, errand: &E) -> Result<E::Answer, Error> {
        let mut schedule = Schedule::new();
        let (mut previous, mut sent) = (0, Sent::Nothing);
        loop {
            let Failed { error, again, .. } = match self.guarded(previous, end, errand).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            // What is not sent in the end may have been sent at first.
            if error.may_have_left() {
                sent = Sent::Perhaps;
            }
            let error = error.with_sent(sent);
            // Asked of the schedule even if the dependency names its own time: it counts the tries.
            let wait = match (again, schedule.next()) {
                (Again::Never, _) | (_, None) => return Err(error),
                (Again::Scheduled, Some(wait)) | (Again::After(wait), Some(_)) => wait,
            };
            let left = end.saturating_duration_since(Instant::now()).checked_sub(wait);
            if !errand.is_repeatable() || left.is_none_or(|left| left < LEFT_MIN) {
                return Err(error);
            }
            if !self.budget(|budget| budget.retry(Instant::now())) {
                self.series.over_budget.inc();
                return Err(error);
            }
            sleep(wait).await;
            previous += 1;
        }
    }

    /// One attempt, if the breaker lets it pass. Below the retries, so that each of them is counted
    /// and none is made once the breaker has opened.
    async fn guarded<E: Errand>(
        &self,
        previous: u32,
        end: Instant,
        errand: &E,
    ) -> Result<E::Answer, Failed> {
        let permit = self.gate.admit().map_err(|rejected| {
            self.series.breaker_open.inc();
            let retry_in = rejected.until.saturating_duration_since(Instant::now());
            let (dependency, sent) = (self.name, Sent::Nothing);
            let error = Error::BreakerOpen { dependency, retry_in, sent };
            Failed { error, verdict: Verdict::Unknown, again: Again::Never }
        })?;
        // Retries are measured by what goes out, not by what was asked for.
        if previous == 0 {
            self.budget(Budget::call);
        } else {
            self.series.retries.inc();
        }
        let outcome = self.timed(previous, end, errand).await;
        permit.settle(outcome.as_ref().map_or_else(|failed| failed.verdict, |_| Verdict::Well));
        outcome
    }

    /// One attempt within its time. Right above the channel: a dependency that hangs fails here.
    async fn timed<E: Errand>(
        &self,
        previous: u32,
        call_end: Instant,
        errand: &E,
    ) -> Result<E::Answer, Failed> {
        let now = Instant::now();
        let end = call_end.min(now + self.settings.attempt_max);
        let given = end.saturating_duration_since(now);
        let attempt = Attempt { previous, end, call_end, given };
        match timeout_at(end, errand.attempt(attempt)).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(self.timed_out(attempt)),
        }
    }

    /// The attempt's time is over, and with it the call's, or not. How far it came nobody knows.
    pub(crate) fn timed_out(&self, attempt: Attempt) -> Failed {
        let is_fair = attempt.given >= FAIR_MIN.min(self.settings.attempt_max);
        let verdict = if is_fair { Verdict::Ill } else { Verdict::Unknown };
        if attempt.end == attempt.call_end {
            return Failed { error: self.too_late(Sent::Perhaps), verdict, again: Again::Never };
        }
        self.unavailable(verdict, Again::Scheduled, "the attempt took too long")
    }

    /// The attempt was not made: too many others of ours are under way, which says nothing of the
    /// dependency.
    pub(crate) fn crowded(&self, attempt: Attempt) -> Failed {
        let (verdict, again) = (Verdict::Unknown, Again::Never);
        if attempt.end == attempt.call_end {
            return Failed { error: self.too_late(Sent::Nothing), verdict, again };
        }
        self.unavailable(verdict, again, "too many calls to it are under way").unsent()
    }

    /// It was asked, and does not answer, or says that it cannot.
    pub(crate) fn unavailable(
        &self,
        verdict: Verdict,
        again: Again,
        cause: impl Into<fault::Cause>,
    ) -> Failed {
        let retry_in = match again {
            Again::After(wait) => Some(wait),
            Again::Scheduled | Again::Never => None,
        };
        let cause = cause.into();
        let (dependency, sent) = (self.name, Sent::Perhaps);
        let error = Error::Unavailable { dependency, retry_in, sent, cause };
        Failed { error, verdict, again }
    }

    fn too_late(&self, sent: Sent) -> Error {
        Error::DeadlineExceeded { dependency: self.name, sent }
    }

    fn budget<T>(&self, ask: impl FnOnce(&mut Budget) -> T) -> T {
        ask(&mut self.budget.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Failed {
    /// The same, of an attempt that did not leave the process.
    pub(crate) fn unsent(self) -> Self {
        Self { error: self.error.with_sent(Sent::Nothing), ..self }
    }
}

impl From<Pushback> for Again {
    fn from(pushback: Pushback) -> Self {
        match pushback {
            Pushback::None => Self::Scheduled,
            Pushback::After(wait) => Self::After(wait),
            Pushback::Never => Self::Never,
        }
    }
}

#[cfg(test)]
mod tests;
