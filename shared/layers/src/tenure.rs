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
/// most that this may be. Together with the former it is less than a minute.
const LOOK_EVERY: u32 = 6;
const LOOK_EVERY_MAX: Duration = Duration::from_secs(30);

/// How soon it is looked again where it cannot be known, and for how long in all. After that the
/// stream ends: it is not assumed.
const UNKNOWN_AGAIN: Duration = Duration::from_secs(5);
const UNKNOWN_MAX: Duration = Duration::from_secs(45);

/// Whether a person who was let in may stay.
pub(crate) struct Tenure {
    gate: Arc<Gate>,
    person: Arc<Person>,
    /// When it was last known that they may.
    known: Instant,
    wait: Pin<Box<Sleep>>,
    asking: Option<BoxFuture<'static, Result<(), RevocationError>>>,
}

impl Tenure {
    /// Of a person who was let in just now.
    pub(crate) fn new(gate: Arc<Gate>, person: Arc<Person>) -> Self {
        let known = Instant::now();
        let wait = Box::pin(sleep_until(known));
        let mut tenure = Self { gate, person, known, wait, asking: None };
        tenure.wait_at_most(tenure.look_every());
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
                        self.wait_at_most(self.look_every());
                    }
                    Err(RevocationError::Unknown(_)) if self.known.elapsed() < UNKNOWN_MAX => {
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

    fn look_every(&self) -> Duration {
        (self.gate.revocations.known_max() * LOOK_EVERY).min(LOOK_EVERY_MAX)
    }

    fn wait_at_most(&mut self, most: Duration) {
        let left = self.gate.verifier.time_left(&self.person);
        self.wait.as_mut().reset(Instant::now() + left.min(most));
    }
}

impl End for Tenure {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        self.poll_over(cx).map(|over| Fault::from(over).into())
    }
}
