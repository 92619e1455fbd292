//! What happens that somebody may want to look into later.

use identity::UserId;
use uuid::Uuid;

/// What has happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum What {
    /// Firebase is about to be asked for an account. Where nothing follows none was made by what it has
    /// answered, or nobody heard how it ended.
    RegisterBegun,
    /// An account was made.
    Registered,
    /// Somebody wanted an account for an address that has one.
    RegisteredAgain,
    /// No account was made: the project has its own rules for passwords, or for who may have one.
    RegisterRefused,
    /// A message was due that Firebase has not sent.
    MessageUnsent,
    /// Firebase is about to be asked for a message by which a new password is set.
    PasswordResetBegun,
    /// It was asked for it.
    PasswordResetSent,
    /// Firebase is about to be asked whether a password is right, and may have said so to nobody.
    SignInBegun,
    /// Somebody signed in.
    SignedIn,
    /// Somebody did not.
    SignInFailed,
    /// Somebody has tried too often, and waits.
    AttemptsBlocked,
    /// A sign-in that is over was to be continued.
    RefreshRefused,
    /// Somebody signed out.
    SignedOut,
    /// A sign-in was ended.
    SessionRevoked,
    /// All sign-ins of a person were ended.
    SessionsRevoked,
    /// And the issuer could not be told.
    SessionsRevokedHere,
    /// The issuer was told of it later.
    SessionsRevokedLater,
    /// Somebody is about to have other roles, and may have them although nothing follows.
    RolesBegun,
    /// Somebody has other roles.
    RolesSet,
    /// Somebody has them at Firebase, and must not: who gave them may not any more, or somebody else
    /// has begun to give others meanwhile.
    RolesWithdrawn,
    /// They have those of before again.
    RolesRestored,
    /// Somebody may not call any more.
    UserDisabled,
    /// Firebase is about to let somebody sign in again, and may do so although nothing follows.
    UserEnableBegun,
    /// Somebody may call again.
    UserEnabled,
    /// An API client was made.
    ApiClientCreated,
    /// It was given another secret.
    ApiClientRotated,
    /// It was deleted.
    ApiClientDeleted,
    /// An access token was given out.
    ApiKeyExchanged,
    /// None was: the id or the secret is wrong.
    ApiKeyRefused,
}

/// What has happened, and whom it concerns.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) what: What,
    pub(crate) user_id: Option<UserId>,
    /// The keyed hash of an address, where no more is known.
    pub(crate) subject: Option<Vec<u8>>,
    pub(crate) api_client_id: Option<Uuid>,
    /// The roles that the person was to have.
    pub(crate) roles: Option<Vec<String>>,
}

impl What {
    /// As the audit and the log spell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RegisterBegun => "register_begun",
            Self::Registered => "registered",
            Self::RegisteredAgain => "registered_again",
            Self::RegisterRefused => "register_refused",
            Self::MessageUnsent => "message_unsent",
            Self::PasswordResetBegun => "password_reset_begun",
            Self::PasswordResetSent => "password_reset_sent",
            Self::SignInBegun => "sign_in_begun",
            Self::SignedIn => "signed_in",
            Self::SignInFailed => "sign_in_failed",
            Self::AttemptsBlocked => "attempts_blocked",
            Self::RefreshRefused => "refresh_refused",
            Self::SignedOut => "signed_out",
            Self::SessionRevoked => "session_revoked",
            Self::SessionsRevoked => "sessions_revoked",
            Self::SessionsRevokedHere => "sessions_revoked_here",
            Self::SessionsRevokedLater => "sessions_revoked_later",
            Self::RolesBegun => "roles_begun",
            Self::RolesSet => "roles_set",
            Self::RolesWithdrawn => "roles_withdrawn",
            Self::RolesRestored => "roles_restored",
            Self::UserDisabled => "user_disabled",
            Self::UserEnableBegun => "user_enable_begun",
            Self::UserEnabled => "user_enabled",
            Self::ApiClientCreated => "api_client_created",
            Self::ApiClientRotated => "api_client_rotated",
            Self::ApiClientDeleted => "api_client_deleted",
            Self::ApiKeyExchanged => "api_key_exchanged",
            Self::ApiKeyRefused => "api_key_refused",
        }
    }
}

impl Event {
    /// Something that concerns a person.
    pub(crate) fn of_person(what: What, user_id: &UserId) -> Self {
        Self { user_id: Some(user_id.clone()), ..Self::of(what) }
    }

    /// Something that concerns the roles of a person.
    pub(crate) fn of_roles(what: What, user_id: &UserId, roles: &[String]) -> Self {
        Self { roles: Some(roles.to_vec()), ..Self::of_person(what, user_id) }
    }

    /// Something that concerns whoever has an address.
    pub(crate) fn of_subject(what: What, hash: &[u8]) -> Self {
        Self { subject: Some(hash.to_vec()), ..Self::of(what) }
    }

    /// Something that concerns an API client.
    pub(crate) fn of_api_client(what: What, id: Uuid) -> Self {
        Self { api_client_id: Some(id), ..Self::of(what) }
    }

    fn of(what: What) -> Self {
        Self { what, user_id: None, subject: None, api_client_id: None, roles: None }
    }
}
