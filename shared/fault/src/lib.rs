//! Why a call failed, in the few ways a caller can act on, and the gRPC status of each.
//!
//! A function raises a [`Reason`] or a [`Fault`]; a layer raises a small type of its own, which the
//! `rescue` layer turns into a [`Fault`]. Only this crate constructs a [`Status`].

mod reason;
mod told;

use std::{borrow::Cow, error::Error, fmt, sync::Arc, time::Duration};

use proto::{Invalid, Undecodable, Violation};
use tonic::{Code, Status, metadata::MetadataValue};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

pub use reason::Reason;
pub use told::told_by;

/// `ErrorInfo.domain` of every error of ours.
pub const DOMAIN: &str = "mayfly";

/// What went wrong below, kept for the log and never shown to the caller.
pub type Cause = Box<dyn Error + Send + Sync>;

/// A failed call: why, what to mend, when to come back, and what only the log is told.
#[derive(Debug)]
pub struct Fault {
    reason: Reason,
    violations: Vec<Violation>,
    retry_delay: Option<Duration>,
    cause: Option<Cause>,
}

impl Fault {
    /// A call that failed for `reason`.
    pub fn new(reason: Reason) -> Self {
        Self { reason, violations: Vec::new(), retry_delay: reason.retry_delay(), cause: None }
    }

    /// A request in which one field breaks a rule.
    pub fn invalid(field: &str, description: &'static str) -> Self {
        Self::violations(vec![Violation {
            field: field.to_owned(),
            description: Cow::Borrowed(description),
        }])
    }

    /// A request that breaks these rules.
    pub fn violations(violations: Vec<Violation>) -> Self {
        Self { violations, ..Self::new(Reason::InvalidArgument) }
    }

    /// A bug, with what is known of it.
    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self::new(Reason::Internal).because(cause)
    }

    /// Adds what went wrong below, for the log.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Cause>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_in(mut self, delay: Duration) -> Self {
        self.retry_delay = Some(delay);
        self
    }

    /// Why the call failed.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The fault behind a status that may not be one of ours: a refusal of the codec or of tonic
    /// itself is told in our words.
    pub fn behind(status: &Status) -> Option<Self> {
        let mut source = status.source();
        while let Some(error) = source {
            if error.is::<Self>() {
                return None;
            }
            if let Some(Invalid(violations)) = error.downcast_ref() {
                return Some(Self::violations(violations.clone()));
            }
            if let Some(undecodable) = error.downcast_ref::<Undecodable>() {
                let fault = Self::invalid("", "the bytes are not the message of this method");
                return Some(fault.because(undecodable.to_string()));
            }
            source = error.source();
        }
        let fault = if is_of_the_wire(status) {
            Self::invalid("", "the frames are not what gRPC sends")
        } else {
            Self::new(Reason::of_foreign(status.code()))
        };
        Some(fault.because(format!("{:?}: {}", status.code(), status.message())))
    }

    fn details(&self) -> ErrorDetails {
        let mut details = ErrorDetails::new();
        details.set_error_info(self.reason.name(), DOMAIN, []);
        if self.reason.code() == Code::InvalidArgument {
            let violations = self.violations.iter().take(proto::VIOLATIONS_MAX);
            let mut violations: Vec<_> = violations
                .map(|violation| FieldViolation::new(&violation.field, &*violation.description))
                .collect();
            // What is wrong is in no field of the message.
            if violations.is_empty() {
                violations.push(FieldViolation::new("", self.reason.row().message));
            }
            details.set_bad_request(violations);
        }
        if let Some(delay) = self.retry_delay {
            details.set_retry_info(Some(delay));
        }
        details
    }
}

/// What a status comes from, from the outside in, as far as this process knows.
pub fn causes(status: &Status) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(Error::source(status), |cause| (*cause).source())
}

/// What went wrong, from the outside in, for a line of the log: its JSON tells of an error that is a
/// field no more than the outermost words.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let errors = std::iter::successors(Some(error), |error| (*error).source());
    // A status tells of its causes itself, so that they would stand there twice.
    let told = errors.filter(|error| !error.is::<Status>());
    told.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The reason that a status of ours tells, as it came over the wire.
pub fn reason_of(status: &Status) -> Option<String> {
    let info = status.get_details_error_info()?;
    (info.domain == DOMAIN).then_some(info.reason)
}

/// Whether tonic could not read what the client sent: it answers 13 to that, as to a bug of ours.
/// Its words are all that tells them apart; `tests/it/wire/frames.rs` holds them to it.
fn is_of_the_wire(status: &Status) -> bool {
    let begins = |words: &&str| status.message().starts_with(*words);
    let told = ["protocol error:", "Error decompressing", "Unexpected EOF decoding"];
    status.code() == Code::Internal && told.iter().any(begins)
}

/// Says what the caller is told; the cause is for whoever walks the sources.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.row().message)
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl From<Reason> for Fault {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        let row = fault.reason.row();
        let mut status = Self::with_error_details(row.code, row.message, fault.details());
        if let Some(delay) = fault.retry_delay {
            let metadata = status.metadata_mut();
            // RFC 9110 counts in whole seconds; rounding down would invite a call too early.
            let seconds = delay.as_millis().div_ceil(1000);
            metadata.insert("retry-after", number(seconds));
            metadata.insert("grpc-retry-pushback-ms", number(delay.as_millis()));
        }
        // The fault rides along unseen by the caller; the `trace` layer logs it, once.
        let fault = Arc::new(fault);
        told::note(&fault);
        status.set_source(fault);
        status
    }
}

impl From<Reason> for Status {
    fn from(reason: Reason) -> Self {
        Fault::new(reason).into()
    }
}

fn number(value: u128) -> MetadataValue<tonic::metadata::Ascii> {
    MetadataValue::from(u64::try_from(value).unwrap_or(u64::MAX))
}
