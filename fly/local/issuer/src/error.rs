//! What goes wrong, and what is refused in Google's words.

use std::{io, path::PathBuf};

use crate::accounts::ACCOUNTS_MAX;

/// Why the issuer could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The client did something it should not have.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The issuer's file could not be read or written.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it was refused.
        source: io::Error,
    },
    /// The issuer's file is not one.
    #[error("{} is damaged; remove it to begin anew, without its accounts", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The cryptographic library failed.
    #[error("cannot make a key or a random number")]
    Crypto(#[source] aws_lc_rs::error::Unspecified),
}

/// What a client is told, in the words of Google's Identity Toolkit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Another account has this email address.
    #[error("EMAIL_EXISTS")]
    EmailExists,
    /// This is no email address.
    #[error("INVALID_EMAIL")]
    InvalidEmail,
    /// The email address is missing.
    #[error("MISSING_EMAIL")]
    MissingEmail,
    /// The password is missing.
    #[error("MISSING_PASSWORD")]
    MissingPassword,
    /// The password is too short.
    #[error("WEAK_PASSWORD : Password should be at least 6 characters")]
    WeakPassword,
    /// The email address or the password is wrong.
    #[error("INVALID_LOGIN_CREDENTIALS")]
    InvalidLoginCredentials,
    /// The ID token is missing.
    #[error("MISSING_ID_TOKEN")]
    MissingIdToken,
    /// The ID token is not one of ours.
    #[error("INVALID_ID_TOKEN")]
    InvalidIdToken,
    /// The kind of grant is missing.
    #[error("MISSING_GRANT_TYPE")]
    MissingGrantType,
    /// Only refresh tokens can be exchanged.
    #[error("INVALID_GRANT_TYPE")]
    InvalidGrantType,
    /// The refresh token is missing.
    #[error("MISSING_REFRESH_TOKEN")]
    MissingRefreshToken,
    /// The refresh token is unknown.
    #[error("INVALID_REFRESH_TOKEN")]
    InvalidRefreshToken,
    /// The token is too old or was revoked: sign in again.
    #[error("TOKEN_EXPIRED")]
    TokenExpired,
    /// The account is disabled.
    #[error("USER_DISABLED")]
    UserDisabled,
    /// There is no such account.
    #[error("USER_NOT_FOUND")]
    UserNotFound,
    /// The client asked for what this issuer does not do.
    #[error("OPERATION_NOT_ALLOWED")]
    OperationNotAllowed,
    /// Whoever signed in long ago signs in again before changing what they sign in with.
    #[error("CREDENTIAL_TOO_OLD_LOGIN_AGAIN")]
    CredentialTooOld,
    /// No account has this email address.
    #[error("EMAIL_NOT_FOUND")]
    EmailNotFound,
    /// The user id is missing.
    #[error("MISSING_LOCAL_ID")]
    MissingLocalId,
    /// Another account has this user id.
    #[error("DUPLICATE_LOCAL_ID")]
    DuplicateLocalId,
    /// What sign-ins are to be revoked until is no time.
    #[error("INVALID_VALID_SINCE")]
    InvalidValidSince,
    /// The custom claims are no JSON object.
    #[error("INVALID_CLAIMS")]
    InvalidClaims,
    /// The custom claims are longer than 1,000 characters.
    #[error("CLAIMS_TOO_LARGE")]
    ClaimsTooLarge,
    /// A custom claim has a name that tokens use themselves.
    #[error("FORBIDDEN_CLAIM : {0}")]
    ForbiddenClaim(&'static str),
    /// The custom token is missing.
    #[error("MISSING_CUSTOM_TOKEN")]
    MissingCustomToken,
    /// The custom token is not one.
    #[error("INVALID_CUSTOM_TOKEN")]
    InvalidCustomToken,
    /// What the code is to be for is missing.
    #[error("MISSING_REQ_TYPE")]
    MissingRequestType,
    /// The code is missing.
    #[error("MISSING_OOB_CODE")]
    MissingOobCode,
    /// The code is unknown, used, or for something else.
    #[error("INVALID_OOB_CODE")]
    InvalidOobCode,
    /// Where to go on from a code is no URL of the web.
    #[error("INVALID_CONTINUE_URI")]
    InvalidContinueUri,
    /// The code is too old.
    #[error("EXPIRED_OOB_CODE")]
    ExpiredOobCode,
    /// The identifier is missing.
    #[error("MISSING_IDENTIFIER")]
    MissingIdentifier,
    /// This issuer has another project.
    #[error("PROJECT_NOT_FOUND")]
    ProjectNotFound,
    /// There are as many accounts as this issuer keeps.
    #[error(
        "QUOTA_EXCEEDED : This issuer keeps {ACCOUNTS_MAX} accounts at the most; remove its file \
         to begin anew"
    )]
    QuotaExceeded,
}

// === impl Error ===

impl Error {
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { what, path: path.into(), source }
    }
}
