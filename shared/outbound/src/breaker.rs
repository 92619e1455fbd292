//! Leaves a dependency alone that has failed often, and finds out when it is well again.
//!
//! Closed, every attempt passes, and what came of the last seconds is counted. Once there are
//! enough attempts and half of them failed it opens, and nothing passes. A while later, half-open,
//! one attempt passes as a probe: if it succeeds everything passes again, if it fails the wait
//! begins anew. The wait never grows, so that a dependency which comes and goes is not shut out for
//! longer than it was gone.
//!
//! The machine takes the time as a value. Only what a dependency did is told to it: its own
//! refusals are not, and neither is an attempt that was let in before it last changed its mind.

use std::time::Duration;

use tokio::time::Instant;

/// How long nothing passes before a probe, and the least time between probes.
pub(crate) const OPEN_FOR: Duration = Duration::from_secs(1);

/// How long a probe is waited for. Attempts end sooner; this is for one that nobody polls.
pub(crate) const PROBE_MAX: Duration = Duration::from_secs(31);

/// The least number of attempts from which anything is concluded.
pub(crate) const VOLUME_MIN: u32 = 10;

/// How many seconds back failures count.
const WINDOW_SECS: usize = 10;

/// What an attempt says about the dependency.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// It answers, whatever the answer is.
    Well,
    /// It does not answer, or says that it cannot.
    Ill,
    /// Nothing: the attempt was given up, or given too little time.
    Unknown,
}

/// The right to one attempt, to be settled once.
#[derive(Debug)]
pub(crate) struct Ticket {
    epoch: u64,
}

/// Nothing passes now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Rejected {
    /// When it is worth asking again.
    pub(crate) until: Instant,
}

/// How it stands, for whoever looks at it from outside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// Everything passes.
    Closed,
    /// One attempt has passed, and is waited for.
    HalfOpen,
    /// Nothing passes.
    Open,
}

/// The breaker of one dependency.
#[derive(Debug)]
pub(crate) struct Breaker {
    state: State,
    /// Changes with the state: a ticket of an earlier one says nothing about this one.
    epoch: u64,
}

#[derive(Debug)]
enum State {
    Closed(Window),
    Open { until: Instant },
    Probing { since: Instant },
}

impl Breaker {
    pub(crate) fn new(now: Instant) -> Self {
        Self { state: State::Closed(Window::new(now)), epoch: 0 }
    }

    /// Lets one attempt pass, if it may.
    pub(crate) fn admit(&mut self, now: Instant) -> Result<Ticket, Rejected> {
        let until = match self.state {
            State::Closed(_) => return Ok(Ticket { epoch: self.epoch }),
            State::Open { until } => until,
            State::Probing { since } => since + PROBE_MAX,
        };
        if now < until {
            let is_probing = matches!(self.state, State::Probing { .. });
            return Err(Rejected { until: if is_probing { now + OPEN_FOR } else { until } });
        }
        self.become_now(State::Probing { since: now });
        Ok(Ticket { epoch: self.epoch })
    }

    /// Takes in what came of an attempt.
    #[expect(clippy::needless_pass_by_value, reason = "a ticket is good for one attempt")]
    pub(crate) fn settle(&mut self, ticket: Ticket, verdict: Verdict, now: Instant) {
        if ticket.epoch != self.epoch {
            return;
        }
        let next = match (&mut self.state, verdict) {
            (State::Closed(window), Verdict::Well) => {
                window.count(verdict, now);
                return;
            }
            (State::Closed(window), Verdict::Ill) => {
                window.count(verdict, now);
                if !window.is_bad(now) {
                    return;
                }
                State::Open { until: now + OPEN_FOR }
            }
            (State::Closed(_) | State::Open { .. }, _) => return,
            (State::Probing { .. }, Verdict::Well) => State::Closed(Window::new(now)),
            (State::Probing { .. }, Verdict::Ill) => State::Open { until: now + OPEN_FOR },
            // Another may try, though not at once: callers who give up are no flood of probes.
            (State::Probing { since }, Verdict::Unknown) => {
                State::Open { until: *since + OPEN_FOR }
            }
        };
        self.become_now(next);
    }

    /// How it stands.
    pub(crate) fn standing(&self) -> Standing {
        match self.state {
            State::Closed(_) => Standing::Closed,
            State::Probing { .. } => Standing::HalfOpen,
            State::Open { .. } => Standing::Open,
        }
    }

    fn become_now(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
    }
}

/// What came of the attempts of the last seconds.
#[derive(Debug)]
struct Window {
    start: Instant,
    seconds: [Second; WINDOW_SECS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    number: usize,
    all: u32,
    failed: u32,
}

// === impl Window ===

impl Window {
    fn new(now: Instant) -> Self {
        Self { start: now, seconds: [Second::default(); WINDOW_SECS] }
    }

    fn count(&mut self, verdict: Verdict, now: Instant) {
        let number = self.number(now);
        let second = &mut self.seconds[number % WINDOW_SECS];
        if second.number != number {
            *second = Second { number, ..Second::default() };
        }
        second.all = second.all.saturating_add(1);
        second.failed = second.failed.saturating_add(u32::from(verdict == Verdict::Ill));
    }

    fn is_bad(&self, now: Instant) -> bool {
        let number = self.number(now);
        let recent = self.seconds.iter().filter(|second| second.number + WINDOW_SECS > number);
        let sum = recent.fold((0_u32, 0_u32), |(all, failed), second| {
            (all.saturating_add(second.all), failed.saturating_add(second.failed))
        });
        let (all, failed) = sum;
        all >= VOLUME_MIN && failed >= all.div_ceil(2)
    }

    fn number(&self, now: Instant) -> usize {
        let seconds = now.saturating_duration_since(self.start).as_secs();
        usize::try_from(seconds).unwrap_or(usize::MAX - WINDOW_SECS)
    }
}

#[cfg(test)]
mod tests;
