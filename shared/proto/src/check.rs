//! Finds what a request breaks; the generated checks are written in terms of this module.

mod format;
mod path;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, error::Error, fmt};

pub(crate) use self::format::{
    duration, email, hostname, ip, ipv4, ipv6, over_chars, timestamp, tuuid, under_chars, unique,
    uuid,
};
pub(crate) use self::path::Path;

/// Is the number of violations that a request is told of; what follows them is not collected.
pub const VIOLATIONS_MAX: usize = 16;

/// A message that knows what its contract asks of it.
///
/// The generated code implements it for every message that is a whole request or a whole answer;
/// for an answer it does nothing.
pub trait Check {
    /// Adds what the message breaks.
    fn check(&self, violations: &mut Violations);
}

/// A rule of the contract that a request breaks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// Names the field in proto spelling, such as `profile.handle`, `user_ids[3]` or
    /// `labels["k"]`; a long key is cut.
    pub field: String,
    /// Says what the field must be; it comes from the contract, never from the request.
    pub description: Cow<'static, str>,
}

/// What a request breaks, at most [`VIOLATIONS_MAX`] of it; it allocates nothing until then.
#[derive(Debug, Default)]
pub struct Violations(Vec<Violation>);

/// A request that breaks rules of its contract.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invalid(pub Vec<Violation>);

/// Checks a message against its contract.
pub fn check<T: Check>(message: &T) -> Result<(), Invalid> {
    let mut violations = Violations::default();
    message.check(&mut violations);

    if violations.is_empty() { Ok(()) } else { Err(Invalid(violations.into_vec())) }
}

// === impl Check ===

/// `google.protobuf.Empty` has nothing to check.
impl Check for () {
    fn check(&self, _violations: &mut Violations) {}
}

// === impl Violations ===

impl Violations {
    /// Returns whether nothing is broken.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether further violations would be dropped.
    pub fn is_full(&self) -> bool {
        self.0.len() >= VIOLATIONS_MAX
    }

    /// Returns what is broken, in the order of the fields.
    pub fn into_vec(self) -> Vec<Violation> {
        self.0
    }

    /// Adds what a field breaks, unless there is enough already.
    pub(crate) fn add(&mut self, at: &Path<'_>, description: &'static str) {
        if !self.is_full() {
            let description = Cow::Borrowed(description);
            self.0.push(Violation { field: at.to_string(), description });
        }
    }
}

// === impl Invalid ===

impl fmt::Display for Invalid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the request breaks a rule of its contract")
    }
}

impl Error for Invalid {}
