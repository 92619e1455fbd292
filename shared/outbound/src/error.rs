//! Why a call that left, or was about to, brought nothing.

use std::time::Duration;

use fault::{Cause, Fault, Reason};
use tonic::{Code, Status};

/// A dependency may name any time to come back at; our own callers are told no longer one than this.
const RETRY_IN_MAX: Duration = Duration::from_hours(1);

/// Whether anything of a call went out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sent {
    /// It is known that nothing did.
    Nothing,
    /// It may have.
    Perhaps,
}

/// Why there is no answer. Each names the dependency, for the log; a caller is told neither.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The time that is left does not suffice, or did not.
    #[error("no time is left for {dependency}")]
    DeadlineExceeded {
        /// Who was to be called.
        dependency: &'static str,
        /// Whether an attempt may have gone out.
        sent: Sent,
    },
    /// It has failed often, and is left alone. Nothing was sent, unless an earlier attempt was.
    #[error("{dependency} has failed often and is left alone")]
    BreakerOpen {
        /// Who was to be called.
        dependency: &'static str,
        /// When it may be worth calling again.
        retry_in: Duration,
        /// Whether an earlier attempt may have gone out.
        sent: Sent,
    },
    /// It does not answer, or says that it cannot, after as many attempts as were allowed.
    #[error("{dependency} is unavailable")]
    Unavailable {
        /// Who was called.
        dependency: &'static str,
        /// When it wants to be called again, if it said so.
        retry_in: Option<Duration>,
        /// Whether an attempt may have gone out.
        sent: Sent,
        /// What the last attempt came to.
        #[source]
        cause: Cause,
    },
    /// A function answered, and the answer is no.
    #[error("{dependency} refused the call")]
    Refused {
        /// Who was called.
        dependency: &'static str,
        /// What it said.
        status: Box<Status>,
        /// The same, for the log.
        #[source]
        cause: Told,
    },
    /// Its answer is larger than anything that is read.
    #[error("the answer of {dependency} is too large")]
    TooLarge {
        /// Who was called.
        dependency: &'static str,
    },
    /// A call was about to leave while a transaction is open: a bug. Nothing was sent.
    #[error("a call to {dependency} was about to leave while a transaction is open")]
    TransactionOpen {
        /// Who was to be called.
        dependency: &'static str,
    },
    /// The call cannot be put into words: a bug. Nothing was sent.
    #[error("a call to {dependency} cannot be made")]
    Unsendable {
        /// Who was to be called.
        dependency: &'static str,
        /// What is wrong with it.
        #[source]
        cause: Cause,
    },
}

/// A status that says that the service cannot answer.
#[derive(Debug, thiserror::Error)]
#[error("it answered with status {0}")]
pub(crate) struct Unable(pub(crate) u16);

/// The text of a status, with what it came from.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Told(String);

impl Told {
    /// What `status` says. It is not kept itself: whoever logs a chain of causes leaves statuses
    /// out, which tell of their causes once more.
    pub(crate) fn of(status: &Status) -> Self {
        let said = format!("{:?}: {}", status.code(), status.message());
        let cause = fault::chain(status);
        Self(if cause.is_empty() { said } else { format!("{said}: {cause}") })
    }
}

impl Error {
    /// Whether the call may have left this process, and with it what it asks for may have been done.
    /// It has not where this is known for sure.
    pub fn may_have_left(&self) -> bool {
        match self {
            Self::DeadlineExceeded { sent, .. }
            | Self::BreakerOpen { sent, .. }
            | Self::Unavailable { sent, .. } => *sent == Sent::Perhaps,
            Self::Refused { .. } | Self::TooLarge { .. } => true,
            Self::TransactionOpen { .. } | Self::Unsendable { .. } => false,
        }
    }

    /// Whether the last attempt was answered, by a status that says that there is no answer: that it was
    /// not cut short is then known.
    pub fn was_answered(&self) -> bool {
        matches!(self, Self::Unavailable { cause, .. } if cause.is::<Unable>())
    }

    /// The same, of a call or an attempt of which it is known whether it may have left.
    pub(crate) fn with_sent(mut self, now: Sent) -> Self {
        match &mut self {
            Self::DeadlineExceeded { sent, .. }
            | Self::BreakerOpen { sent, .. }
            | Self::Unavailable { sent, .. } => *sent = now,
            Self::Refused { .. }
            | Self::TooLarge { .. }
            | Self::TransactionOpen { .. }
            | Self::Unsendable { .. } => {}
        }
        self
    }

    fn reason(&self) -> Reason {
        match self {
            Self::DeadlineExceeded { .. } => Reason::DeadlineExceeded,
            Self::BreakerOpen { .. } => Reason::BreakerOpen,
            Self::Unavailable { .. } | Self::TooLarge { .. } => Reason::DependencyUnavailable,
            Self::Refused { status, .. } => of_refusal(status),
            Self::TransactionOpen { .. } | Self::Unsendable { .. } => Reason::Internal,
        }
    }

    fn retry_in(&self) -> Option<Duration> {
        match self {
            Self::BreakerOpen { retry_in, .. } => Some(*retry_in),
            Self::Unavailable { retry_in, .. } => retry_in.map(|wait| wait.min(RETRY_IN_MAX)),
            _ => None,
        }
    }
}

/// What a refusal means to our own caller, unless the handler has said what it means.
fn of_refusal(status: &Status) -> Reason {
    let told = fault::reason_of(status);
    let is = |reason: Reason| told.as_deref() == Some(reason.name());
    match status.code() {
        // The person's token was sent on unchanged: what became of it meanwhile is theirs to know.
        Code::Unauthenticated if is(Reason::TokenExpired) => Reason::TokenExpired,
        Code::Unauthenticated if is(Reason::TokenRevoked) => Reason::TokenRevoked,
        // Anything else is between two functions of ours, and one of them is wrong.
        _ => Reason::Internal,
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let (reason, retry_in) = (error.reason(), error.retry_in());
        let fault = Self::new(reason).because(error);
        match retry_in {
            Some(delay) => fault.retry_in(delay),
            None => fault,
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Fault::from(error).into()
    }
}
