//! Whose tokens are refused although they are signed and their time is not over.
//!
//! [`Revocations::check`] holds a verified token against what the database says of its person, and
//! what it says is never older than `REVOCATION_SECS_MAX`. Nothing is read on a timer, so that an
//! idle machine can sleep: the first call that needs it reads for all, what has changed since the
//! last read and how the persons stand that are not known yet. In between a check is two look-ups in
//! memory. Where it cannot be known it is not assumed: the call is answered with 14.
//!
//! The rules are Firebase's own. To revoke is to set the time from which on sign-ins count: a token
//! that was refreshed since keeps the time of its sign-in and is refused all the same. Of one second
//! the sign-ins count or do not count together, as does a session, which has no name in a token but
//! the second in which it began.

mod checked;
mod known;
mod reader;
mod settings;
mod standing;
mod store;

use std::sync::Arc;

use fault::{Fault, Reason};

pub use self::settings::Settings;
pub use checked::{Mark, Revocations};
pub use reader::ReadError;

/// Why a token is not taken, although it is good.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The sign-in that the token comes from is over.
    #[error("the sign-in was revoked")]
    Revoked,
    /// Its person is disabled, and with them every sign-in of theirs, also those to come.
    #[error("the person is disabled")]
    Disabled,
    /// The token says what holds no longer. Refreshed, it is taken.
    #[error("the token has to be refreshed")]
    Outdated,
    /// It cannot be known.
    #[error("revocations cannot be read")]
    Unknown(#[source] Arc<ReadError>),
}

impl From<Error> for Fault {
    /// A token that is outdated is over like an expired one: its client refreshes both.
    fn from(error: Error) -> Self {
        let reason = match error {
            Error::Revoked | Error::Disabled => Reason::TokenRevoked,
            Error::Outdated => Reason::TokenExpired,
            Error::Unknown(_) => Reason::DbUnavailable,
        };
        Self::new(reason).because(error)
    }
}
