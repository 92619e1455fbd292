//! Every reason a call can fail for: its name on the wire, its code, and the one thing it says.

use std::time::Duration;

use tonic::Code;

/// Why a call failed, as `ErrorInfo.reason` spells it. A new way to fail is a new variant here.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reason {
    /// The call carries no token.
    TokenMissing,
    /// The token's time is over.
    TokenExpired,
    /// The token, or its owner, was revoked.
    TokenRevoked,
    /// The token is not one of ours.
    TokenInvalid,
    /// The address, the id, the password or the secret is wrong.
    CredentialsInvalid,
    /// The keys that tokens are checked with cannot be had.
    KeysUnavailable,
    /// The caller has none of the roles the RPC asks for.
    RoleRequired,
    /// The RPC is for named services.
    ServiceRequired,
    /// The request breaks a rule of the contract.
    InvalidArgument,
    /// The RPC is exactly once and the call names no key.
    IdempotencyKeyMissing,
    /// The key was used for another request.
    IdempotencyKeyReused,
    /// The resource has changed since the caller read it.
    EtagMismatch,
    /// The cursor is older than what is kept, or of a log that is no more.
    CursorExpired,
    /// The state that the call builds on is not there.
    FailedPrecondition,
    /// The resource is not there, or not the caller's to see.
    NotFound,
    /// The resource is there already.
    AlreadyExists,
    /// Somebody has the handle.
    HandleTaken,
    /// The caller has a profile.
    ProfileExists,
    /// The caller calls too often.
    RateLimited,
    /// The caller has used up what it may have.
    QuotaExceeded,
    /// The message is larger than the server reads.
    MessageTooLarge,
    /// The server has more work than it can do in time.
    Shed,
    /// The server is about to stop.
    Draining,
    /// The stream has reached the age its rule gives it.
    StreamAged,
    /// The database does not answer.
    DbUnavailable,
    /// No connection to the database became free in time.
    PoolExhausted,
    /// Something the call needs does not answer.
    DependencyUnavailable,
    /// Something the call needs has failed often, and is left alone for a while.
    BreakerOpen,
    /// The call's time is over.
    DeadlineExceeded,
    /// The client did not go on with its request.
    RequestStalled,
    /// The caller went away.
    Cancelled,
    /// Other writers were in the way, again and again.
    Conflict,
    /// The content is not of the type it claims to be.
    TypeMismatch,
    /// A checksum or a seal does not verify.
    Integrity,
    /// A bug.
    Internal,
    /// There is no such RPC, or not in this form.
    Unimplemented,
}

/// What a reason means on the wire.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) code: Code,
    /// Constant, and at most 120 bytes: nothing of the request or the server goes in.
    pub(crate) message: &'static str,
}

/// Any fault of a token says the same; only the reason tells them apart.
const NOT_SIGNED_IN: &str = "the call carries no valid token";

impl Reason {
    #[expect(clippy::too_many_lines, reason = "it is one table, a row for each reason")]
    pub(crate) const fn row(self) -> Row {
        use Code as C;
        let (name, code, message) = match self {
            Self::TokenMissing => ("TOKEN_MISSING", C::Unauthenticated, NOT_SIGNED_IN),
            Self::TokenExpired => ("TOKEN_EXPIRED", C::Unauthenticated, NOT_SIGNED_IN),
            Self::TokenRevoked => ("TOKEN_REVOKED", C::Unauthenticated, NOT_SIGNED_IN),
            Self::TokenInvalid => ("TOKEN_INVALID", C::Unauthenticated, NOT_SIGNED_IN),
            Self::CredentialsInvalid => {
                ("CREDENTIALS_INVALID", C::Unauthenticated, "the credentials are wrong")
            }
            Self::KeysUnavailable => {
                ("KEYS_UNAVAILABLE", C::Unavailable, "tokens cannot be checked at the moment")
            }
            Self::RoleRequired => ("ROLE_REQUIRED", C::PermissionDenied, "the caller lacks a role"),
            Self::ServiceRequired => {
                ("SERVICE_REQUIRED", C::PermissionDenied, "only named services may call this")
            }
            Self::InvalidArgument => (
                "INVALID_ARGUMENT",
                C::InvalidArgument,
                "the request breaks a rule of its contract",
            ),
            Self::IdempotencyKeyMissing => (
                "IDEMPOTENCY_KEY_MISSING",
                C::InvalidArgument,
                "the header idempotency-key is required, with 1 to 64 of [A-Za-z0-9_-]",
            ),
            Self::IdempotencyKeyReused => (
                "IDEMPOTENCY_KEY_REUSED",
                C::FailedPrecondition,
                "the idempotency key was used for another request",
            ),
            Self::EtagMismatch => (
                "ETAG_MISMATCH",
                C::FailedPrecondition,
                "the resource has changed since it was read",
            ),
            Self::CursorExpired => {
                ("CURSOR_EXPIRED", C::OutOfRange, "the cursor is too old; start over without one")
            }
            Self::FailedPrecondition => (
                "FAILED_PRECONDITION",
                C::FailedPrecondition,
                "something the call builds on is missing",
            ),
            Self::NotFound => ("NOT_FOUND", C::NotFound, "there is no such resource"),
            Self::AlreadyExists => ("ALREADY_EXISTS", C::AlreadyExists, "the resource exists"),
            Self::HandleTaken => ("HANDLE_TAKEN", C::AlreadyExists, "the handle is taken"),
            Self::ProfileExists => ("PROFILE_EXISTS", C::AlreadyExists, "the caller has a profile"),
            Self::RateLimited => {
                ("RATE_LIMITED", C::ResourceExhausted, "the caller calls too often")
            }
            Self::QuotaExceeded => ("QUOTA_EXCEEDED", C::ResourceExhausted, "the quota is used up"),
            Self::MessageTooLarge => {
                ("MESSAGE_TOO_LARGE", C::ResourceExhausted, "the message is too large")
            }
            Self::Shed => ("SHED", C::Unavailable, "the server is overloaded"),
            Self::Draining => ("DRAINING", C::Unavailable, "the server is stopping"),
            Self::StreamAged => {
                ("STREAM_AGED", C::Unavailable, "the stream is over; go on from its last cursor")
            }
            Self::DbUnavailable => {
                ("DB_UNAVAILABLE", C::Unavailable, "the database is unavailable")
            }
            Self::PoolExhausted => ("POOL_EXHAUSTED", C::Unavailable, "the database is busy"),
            Self::DependencyUnavailable => (
                "DEPENDENCY_UNAVAILABLE",
                C::Unavailable,
                "something the call needs is unavailable",
            ),
            Self::BreakerOpen => {
                ("BREAKER_OPEN", C::Unavailable, "something the call needs is unavailable")
            }
            Self::DeadlineExceeded => {
                ("DEADLINE_EXCEEDED", C::DeadlineExceeded, "the call took longer than its deadline")
            }
            Self::RequestStalled => (
                "REQUEST_STALLED",
                C::DeadlineExceeded,
                "the client did not go on with its request",
            ),
            Self::Cancelled => ("CANCELLED", C::Cancelled, "the client cancelled the call"),
            Self::Conflict => ("CONFLICT", C::Aborted, "other writers were in the way"),
            Self::TypeMismatch => {
                ("TYPE_MISMATCH", C::InvalidArgument, "the content is not of its declared type")
            }
            Self::Integrity => ("INTEGRITY", C::DataLoss, "the content does not verify"),
            Self::Internal => ("INTERNAL", C::Internal, "internal error"),
            Self::Unimplemented => ("UNIMPLEMENTED", C::Unimplemented, "there is no such method"),
        };
        Row { name, code, message }
    }

    /// The reason's name, as `ErrorInfo.reason` and the logs spell it.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The gRPC code that goes with it.
    pub fn code(self) -> Code {
        self.row().code
    }

    /// How long a client should wait before it tries again, where trying again can help.
    pub(crate) fn retry_delay(self) -> Option<Duration> {
        match self {
            Self::RateLimited | Self::KeysUnavailable | Self::BreakerOpen => {
                Some(Duration::from_secs(1))
            }
            Self::Shed | Self::DbUnavailable | Self::PoolExhausted => {
                Some(Duration::from_millis(500))
            }
            Self::DependencyUnavailable => Some(Duration::from_millis(500)),
            // Another machine can take the call at once.
            Self::Draining | Self::StreamAged => Some(Duration::from_millis(50)),
            _ => None,
        }
    }

    /// The reason to give for a code that came from below us, without a reason of ours.
    ///
    /// These are tonic's own refusals, some of which have another code than they should.
    pub(crate) fn of_foreign(code: Code) -> Self {
        match code {
            Code::Cancelled => Self::Cancelled,
            Code::InvalidArgument => Self::InvalidArgument,
            Code::DeadlineExceeded => Self::DeadlineExceeded,
            Code::NotFound => Self::NotFound,
            Code::AlreadyExists => Self::AlreadyExists,
            Code::PermissionDenied => Self::RoleRequired,
            // tonic answers 11 to a message that is larger than it reads.
            Code::ResourceExhausted | Code::OutOfRange => Self::MessageTooLarge,
            Code::FailedPrecondition => Self::FailedPrecondition,
            Code::Aborted => Self::Conflict,
            Code::Unimplemented => Self::Unimplemented,
            Code::Unavailable => Self::DependencyUnavailable,
            Code::DataLoss => Self::Integrity,
            Code::Unauthenticated => Self::TokenMissing,
            Code::Ok | Code::Unknown | Code::Internal => Self::Internal,
        }
    }
}
