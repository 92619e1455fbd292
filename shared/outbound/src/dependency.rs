//! The stack of a call that leaves, written once for every kind of dependency.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use call::Call;
use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    Error, Settings, breaker::Verdict, budget::Budget, gate::Gate, pushback::Pushback,
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

/// One attempt, for whoever sends it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    /// How many there were before.
    pub(crate) previous: u32,
    /// When it ends; what is left until then is the next hop's whole budget.
    pub(crate) end: Instant,
    is_fair: bool,
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

    /// Makes a call, whose attempts `send` makes: outermost first, as the lines stand here.
    pub(crate) async fn call<T, F>(
        &self,
        call: &Call,
        send: impl Fn(Attempt) -> F + Send + Sync,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Failed>> + Send,
    {
        // A bug, and so told before anything can make it look like an outage.
        if call::are_calls_held() {
            return Err(Error::TransactionOpen { dependency: self.name });
        }
        // Above the retries: all attempts and the waits between them share the one deadline.
        let end = self.end_of(call)?;
        self.retried(end, send).await
    }

    /// When the call must be over, if there is time for it at all.
    fn end_of(&self, call: &Call) -> Result<Instant, Error> {
        let now = Instant::now();
        let deadline = call.deadline.unwrap_or(now + CALL_MAX);
        if deadline.saturating_duration_since(now) < LEFT_MIN {
            self.series.too_late.inc();
            return Err(self.too_late());
        }
        Ok(deadline - HOP_MARGIN)
    }

    /// Tries again what may be tried again, while there is time and the budget allows it.
    async fn retried<T, F>(
        &self,
        end: Instant,
        send: impl Fn(Attempt) -> F + Send + Sync,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Failed>> + Send,
    {
        let mut schedule = Schedule::new();
        let mut previous = 0;
        loop {
            let failed = match self.guarded(previous, end, &send).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            // Asked of the schedule even if the dependency names its own time: it counts the tries.
            let (again, scheduled) = (failed.again, schedule.next());
            let wait = match (again, scheduled) {
                (Again::Never, _) | (_, None) => return Err(failed.error),
                (Again::Scheduled, Some(wait)) | (Again::After(wait), Some(_)) => wait,
            };
            let left = end.saturating_duration_since(Instant::now());
            let Some(_enough) = left.checked_sub(wait).filter(|left| *left >= LEFT_MIN) else {
                return Err(failed.error);
            };
            if !self.budget(|budget| budget.retry(Instant::now())) {
                self.series.over_budget.inc();
                return Err(failed.error);
            }
            sleep(wait).await;
            previous += 1;
        }
    }

    /// One attempt, if the breaker lets it pass. Below the retries, so that each of them is counted
    /// and none is made once the breaker has opened.
    async fn guarded<T, F>(
        &self,
        previous: u32,
        end: Instant,
        send: &(impl Fn(Attempt) -> F + Send + Sync),
    ) -> Result<T, Failed>
    where
        F: Future<Output = Result<T, Failed>> + Send,
    {
        let permit = self.gate.admit().map_err(|rejected| {
            self.series.breaker_open.inc();
            let retry_in = rejected.until.saturating_duration_since(Instant::now());
            let error = Error::BreakerOpen { dependency: self.name, retry_in };
            Failed { error, verdict: Verdict::Unknown, again: Again::Never }
        })?;
        // Retries are measured by what goes out, not by what was asked for.
        if previous == 0 {
            self.budget(Budget::call);
        } else {
            self.series.retries.inc();
        }
        let outcome = self.timed(previous, end, send).await;
        permit.settle(outcome.as_ref().map_or_else(|failed| failed.verdict, |_| Verdict::Well));
        outcome
    }

    /// One attempt within its time. Right above the channel: a dependency that hangs fails here.
    async fn timed<T, F>(
        &self,
        previous: u32,
        call_end: Instant,
        send: &(impl Fn(Attempt) -> F + Send + Sync),
    ) -> Result<T, Failed>
    where
        F: Future<Output = Result<T, Failed>> + Send,
    {
        let (now, attempt_max) = (Instant::now(), self.settings.attempt_max);
        let end = call_end.min(now + attempt_max);
        let is_fair = end.saturating_duration_since(now) >= FAIR_MIN.min(attempt_max);
        let attempt = Attempt { previous, end, is_fair };
        match timeout_at(end, send(attempt)).await {
            Ok(outcome) => outcome,
            Err(_elapsed) if end == call_end => Err(self.timed_out(attempt)),
            Err(_elapsed) => Err(Failed {
                again: Again::Scheduled,
                ..self.unavailable(Verdict::Ill, Pushback::None, "the attempt took too long")
            }),
        }
    }

    /// The time is over, here or there.
    pub(crate) fn timed_out(&self, attempt: Attempt) -> Failed {
        let verdict = if attempt.is_fair { Verdict::Ill } else { Verdict::Unknown };
        Failed { error: self.too_late(), verdict, again: Again::Never }
    }

    /// It does not answer, or says that it cannot; whether it may be asked again is not said yet.
    pub(crate) fn unavailable(
        &self,
        verdict: Verdict,
        pushback: Pushback,
        cause: impl Into<fault::Cause>,
    ) -> Failed {
        let retry_in = match pushback {
            Pushback::After(wait) => Some(wait),
            Pushback::None | Pushback::Never => None,
        };
        let cause = cause.into();
        let error = Error::Unavailable { dependency: self.name, retry_in, cause };
        Failed { error, verdict, again: Again::Never }
    }

    fn too_late(&self) -> Error {
        Error::DeadlineExceeded { dependency: self.name }
    }

    fn budget<T>(&self, ask: impl FnOnce(&mut Budget) -> T) -> T {
        ask(&mut self.budget.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Again {
    /// What is left of `self` where the work may not be done twice, or the dependency says no.
    pub(crate) fn after(pushback: Pushback) -> Self {
        match pushback {
            Pushback::None => Self::Scheduled,
            Pushback::After(wait) => Self::After(wait),
            Pushback::Never => Self::Never,
        }
    }
}
