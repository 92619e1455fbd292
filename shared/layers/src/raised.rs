//! What a layer below `rescue` raises, and as which fault its caller is told of it. Each kind is told
//! here and nowhere else.

use call::{IdempotencyKeyError, TimeoutError};
use fault::{Fault, Reason};
use identity::Error as TokenError;

use crate::{
    authenticate::Forbidden,
    catch_panic::Panicked,
    deadline::{Cut, Expired},
    headers::HeadersTooLarge,
    idempotency::KeyMissing,
    in_flight::TooManyCalls,
    streams::TooManyStreams,
};

/// Why a layer has answered a call itself.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) enum Raised {
    Token(#[from] TokenError),
    Revocation(#[from] revocation::Error),
    Forbidden(#[from] Forbidden),
    Timeout(#[from] TimeoutError),
    Expired(#[from] Expired),
    Cut(#[from] Cut),
    HeadersTooLarge(#[from] HeadersTooLarge),
    TooManyCalls(#[from] TooManyCalls),
    TooManyStreams(#[from] TooManyStreams),
    KeyMissing(#[from] KeyMissing),
    Key(#[from] IdempotencyKeyError),
    Panicked(#[from] Panicked),
}

impl From<Raised> for Fault {
    fn from(raised: Raised) -> Self {
        let reason = match raised {
            Raised::Token(error) => return Self::new(of_token(&error)).because(error),
            Raised::Revocation(error) => return error.into(),
            Raised::Timeout(_) => {
                return Self::invalid(
                    "",
                    "the deadline's header must be digits, and a unit for grpc-timeout",
                );
            }
            Raised::Panicked(panicked) => return Self::internal(panicked),
            Raised::Forbidden(Forbidden::Role) => Reason::RoleRequired,
            Raised::Forbidden(Forbidden::Service) => Reason::ServiceRequired,
            Raised::Expired(Expired) => Reason::DeadlineExceeded,
            Raised::Cut(Cut) => Reason::Draining,
            Raised::HeadersTooLarge(HeadersTooLarge) => Reason::MessageTooLarge,
            Raised::TooManyCalls(TooManyCalls) | Raised::TooManyStreams(TooManyStreams::OfAll) => {
                Reason::Shed
            }
            Raised::TooManyStreams(TooManyStreams::OfCaller) => Reason::QuotaExceeded,
            Raised::KeyMissing(KeyMissing) | Raised::Key(_) => Reason::IdempotencyKeyMissing,
        };
        reason.into()
    }
}

fn of_token(error: &TokenError) -> Reason {
    match error {
        TokenError::Missing => Reason::TokenMissing,
        TokenError::Expired => Reason::TokenExpired,
        TokenError::Invalid(_) => Reason::TokenInvalid,
        TokenError::KeysUnavailable(_) => Reason::KeysUnavailable,
        TokenError::Busy => Reason::Shed,
    }
}
