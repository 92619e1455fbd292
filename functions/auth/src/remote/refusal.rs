//! What Firebase says no with, what of it is certain, and what it means to whoever has asked.

use std::time::Duration;

use fault::{Fault, Reason};

use super::access::AccessError;

/// When to ask Firebase again that wants to be asked less, and does not say when.
const THROTTLED_FOR: Duration = Duration::from_secs(30);

/// What Firebase answers no with, as far as it concerns whoever asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("there is an account with the address")]
    EmailExists,
    #[error("the address is none")]
    InvalidEmail,
    #[error("the password is too weak")]
    WeakPassword,
    #[error("the credentials are wrong, or their account may not sign in")]
    NoSignIn,
    #[error(
        "the password does not suffice: a second factor or a blocking function stands before it"
    )]
    NotAlone,
    #[error("too much is asked from here, or of the account")]
    Throttled,
    #[error("the refresh token is none")]
    InvalidRefreshToken,
    #[error("the sign-in is over")]
    SignInOver,
    #[error("there is no such account")]
    NoAccount,
    #[error("the custom claims are too large")]
    ClaimsTooLarge,
}

/// Why Firebase has not done what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("firebase cannot be asked")]
    Unreachable(#[from] outbound::Error),
    #[error("firebase answered {status} {word}, which says that it is set up otherwise")]
    Unexpected { status: u16, word: String },
    #[error("no service account is set")]
    NoAdmin,
    #[error("there is no access token")]
    NoAccess(#[from] AccessError),
}

impl Refusal {
    pub(super) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "EMAIL_EXISTS" => Self::EmailExists,
            "INVALID_EMAIL" | "MISSING_EMAIL" => Self::InvalidEmail,
            "WEAK_PASSWORD" | "PASSWORD_DOES_NOT_MEET_REQUIREMENTS" | "MISSING_PASSWORD" => {
                Self::WeakPassword
            }
            "INVALID_LOGIN_CREDENTIALS" | "INVALID_PASSWORD" => Self::NoSignIn,
            "BLOCKING_FUNCTION_ERROR_RESPONSE" => Self::NotAlone,
            "TOO_MANY_ATTEMPTS_TRY_LATER" | "RESET_PASSWORD_EXCEED_LIMIT" => Self::Throttled,
            "INVALID_REFRESH_TOKEN"
            | "INVALID_GRANT_TYPE"
            | "MISSING_REFRESH_TOKEN"
            | "PROJECT_NUMBER_MISMATCH" => Self::InvalidRefreshToken,
            "TOKEN_EXPIRED" => Self::SignInOver,
            "EMAIL_NOT_FOUND" | "USER_NOT_FOUND" | "USER_DISABLED" => Self::NoAccount,
            "CLAIMS_TOO_LARGE" => Self::ClaimsTooLarge,
            _ => return None,
        })
    }
}

impl Error {
    /// Whether Firebase has answered with what is no verdict on what it was asked: it fails, wants to be
    /// asked less, or is set up otherwise.
    pub(crate) fn is_no_verdict(&self) -> bool {
        match self {
            Self::Unexpected { .. } => true,
            Self::Unreachable(error) => error.was_answered(),
            Self::Refused(_) | Self::NoAdmin | Self::NoAccess(_) => false,
        }
    }

    /// Whether it is certain that Firebase has not done it. What says nothing of the thing itself may be
    /// the answer to a second attempt, after a first that is still to be done.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::Refused(refusal) => *refusal != Refusal::Throttled,
            error => !error.may_have_left(),
        }
    }

    /// Whether Firebase may have been asked, and with it may have done what it was asked for.
    pub(crate) fn may_have_left(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Unexpected { .. } => true,
            Self::Unreachable(error) => error.may_have_left(),
            // That comes before anything is asked.
            Self::NoAdmin | Self::NoAccess(_) => false,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => refusal.into(),
            Error::Unreachable(error) | Error::NoAccess(AccessError::Unreachable(error)) => {
                error.into()
            }
            // Trying again at once does not help: somebody has to look at the log.
            Error::Unexpected { .. }
            | Error::NoAccess(AccessError::Refused { .. } | AccessError::Unsigned(_)) => {
                Self::new(Reason::DependencyUnavailable)
                    .retry_in(Duration::from_secs(30))
                    .because(error)
            }
            Error::NoAdmin => Self::new(Reason::FailedPrecondition).because(error),
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let reason = match refusal {
            Refusal::InvalidEmail => {
                return Self::invalid("email", "is no address that mail can be sent to");
            }
            Refusal::WeakPassword => {
                return Self::invalid("password", "is too weak for this project");
            }
            Refusal::ClaimsTooLarge => {
                return Self::invalid(
                    "roles",
                    "are too long together: Firebase keeps 1,000 characters",
                );
            }
            Refusal::Throttled => {
                let fault = Self::new(Reason::DependencyUnavailable);
                return fault.retry_in(THROTTLED_FOR).because(refusal);
            }
            Refusal::NoSignIn | Refusal::NotAlone | Refusal::EmailExists => {
                Reason::CredentialsInvalid
            }
            Refusal::InvalidRefreshToken => Reason::TokenInvalid,
            Refusal::SignInOver => Reason::TokenRevoked,
            Refusal::NoAccount => Reason::NotFound,
        };
        Self::new(reason).because(refusal)
    }
}
