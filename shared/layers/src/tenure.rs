//! Ends a stream whose caller may have it no longer: the token's time is over, or what it says holds
//! no more.
//!
//! A unary call is over before anybody could mind. A stream looks again after a while, without the
//! database where somebody else has just asked it, and at the moment its token expires.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use fault::Fault;
use futures_util::future::BoxFuture;
use identity::{Error as TokenError, Person};
use revocation::Error as RevocationError;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;

use crate::{Raised, authenticate::Gate, body::End};

/// How much longer than what is known of revocations stays known it takes to look again, and the
/// most that both may be together.
const LOOK_EVERY: u32 = 6;
const LOOK_MAX: Duration = Duration::from_secs(35);

/// How soon it is looked again where it cannot be known, and for how long in all, with the age of
/// what was known before. After that the stream ends: it is not assumed.
const UNKNOWN_AGAIN: Duration = Duration::from_secs(5);
const UNKNOWN_MAX: Duration = Duration::from_secs(50);

/// Whether a person who was let in may stay.
pub(crate) struct Tenure {
    gate: Arc<Gate>,
    person: Arc<Person>,
    /// When it was last known that they may.
    known: Instant,
    /// How old what is known may be.
    known_max: Duration,
    wait: Pin<Box<Sleep>>,
    asking: Option<BoxFuture<'static, Result<(), RevocationError>>>,
}

impl Tenure {
    /// Of a person who was let in just now.
    pub(crate) fn new(gate: Arc<Gate>, person: Arc<Person>) -> Self {
        let (known, known_max) = (Instant::now(), gate.revocations.known_max());
        let wait = Box::pin(sleep_until(known));
        let mut tenure = Self { gate, person, known, known_max, wait, asking: None };
        tenure.wait_at_most(look_every(known_max));
        tenure
    }

    /// Waits until they may stay no longer, and says why.
    pub(crate) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Raised> {
        loop {
            if let Some(asking) = self.asking.as_mut() {
                let outcome = ready!(asking.as_mut().poll(cx));
                self.asking = None;
                match outcome {
                    Ok(()) => {
                        self.known = Instant::now();
                        self.wait_at_most(look_every(self.known_max));
                    }
                    Err(RevocationError::Unknown(_))
                        if self.known.elapsed() < unknown_max(self.known_max) =>
                    {
                        self.wait_at_most(UNKNOWN_AGAIN);
                    }
                    Err(over) => return Poll::Ready(over.into()),
                }
            }
            ready!(self.wait.as_mut().poll(cx));
            if self.gate.verifier.time_left(&self.person).is_zero() {
                return Poll::Ready(TokenError::Expired.into());
            }
            let (revocations, person) = (self.gate.revocations.clone(), Arc::clone(&self.person));
            self.asking = Some(Box::pin(async move { revocations.check(&person).await }));
        }
    }

    fn wait_at_most(&mut self, most: Duration) {
        let left = self.gate.verifier.time_left(&self.person);
        self.wait.as_mut().reset(Instant::now() + left.min(most));
    }
}

fn look_every(known_max: Duration) -> Duration {
    (known_max * LOOK_EVERY).min(LOOK_MAX.saturating_sub(known_max))
}

fn unknown_max(known_max: Duration) -> Duration {
    UNKNOWN_MAX.saturating_sub(known_max)
}

impl End for Tenure {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        self.poll_over(cx).map(|over| Fault::from(over).into())
    }
}

#[cfg(test)]
mod tests {
    use revocation::{Revocations, Settings};

    use super::*;

    #[test]
    fn a_revocation_ends_a_stream_within_a_minute_whatever_age_is_set() {
        for secs in Settings::KNOWN_SECS {
            let known_max = Duration::from_secs(secs.into());
            let known = known_max + look_every(known_max);
            let unknown = known_max + unknown_max(known_max) + UNKNOWN_AGAIN;
            let late = known.max(unknown) + Revocations::CHECK_MAX;
            assert!(late < Duration::from_mins(1), "{late:?} with {secs} s");
        }
    }
}
