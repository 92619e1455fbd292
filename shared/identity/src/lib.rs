//! Who is calling, as the verified token says.
//!
//! A [`Verifier`] turns a Firebase ID token into a [`Person`], by the rules of Firebase's own
//! verifier and no laxer: RS256 only, every claim present and of its type, nothing in the header
//! that would change how the token is read. The keys come from one URL and are kept in memory;
//! nobody's token can make this process call anywhere else. The tokens of our own functions are read
//! as strictly, from another issuer, another header and for another audience, so that neither kind
//! is ever taken for the other.

mod caller;
mod bearer;
mod settings;
mod verifier;
mod signed;
mod checks;
mod cache;
mod token;
mod service;
mod provider;
mod json;
mod source;
mod pace;
mod fetch;
mod keys;
mod x509;

#[cfg(fuzzing)]
pub mod fuzzing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use self::settings::{ServiceSettings, Settings, safe_url};
pub use bearer::{SERVICE_HEADER, TOKEN_BYTES_MAX, bearer, service_token};
pub use caller::{Caller, Person, ServiceName, UserId};
pub use fetch::FetchError;
pub use provider::{Provider, ProviderError, TokenSource};
pub use source::KeysState;
pub use verifier::Verifier;

/// Why a token is not believed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The call carries no token.
    #[error("no token")]
    Missing,
    /// The token was good, and its time is over.
    #[error("token expired")]
    Expired,
    /// The token is none of ours. The text is for the log and says nothing of the token's content.
    #[error("invalid token: {0}")]
    Invalid(&'static str),
    /// More tokens wait for their check than can be checked in time.
    #[error("too many tokens are to be checked")]
    Busy,
    /// The keys that the token would be checked with cannot be had.
    #[error("token keys unavailable")]
    KeysUnavailable(#[source] Arc<FetchError>),
}
