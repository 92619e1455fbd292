//! The one who calls: a person, a service, or nobody.

use std::{borrow::Cow, fmt, sync::Arc};

/// A Firebase user id: 1 to 128 characters, opaque.
///
/// It has no `Display`, so that it does not slip into a log line.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct UserId(Arc<str>);

impl UserId {
    /// The most characters of an id.
    pub const CHARS_MAX: usize = 128;

    /// Reads an id that somebody sent.
    pub fn parse(text: &str) -> Option<Self> {
        // Control characters have no place in an id, and PostgreSQL stores no NUL.
        let good = !text.is_empty()
            && text.chars().count() <= Self::CHARS_MAX
            && !text.chars().any(char::is_control);
        good.then(|| Self(text.into()))
    }

    /// The id as it is sent and stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Takes an id read back from our own tables, checked when it was written.
impl From<String> for UserId {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<UserId> for String {
    fn from(id: UserId) -> Self {
        id.0.as_ref().to_owned()
    }
}

/// The name of a function that calls another: 1 to 63 of `[a-z0-9-]`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ServiceName(Arc<str>);

impl ServiceName {
    /// The most characters of a name.
    pub const CHARS_MAX: usize = 63;

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        let of_name = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let good = (1..=Self::CHARS_MAX).contains(&text.len()) && text.bytes().all(of_name);
        good.then(|| Self(text.into()))
    }

    /// The name as it is written in rules.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A signed-in person, as the token says.
#[derive(Clone, Eq, PartialEq)]
pub struct Person {
    /// Who it is: the token's `sub`.
    pub user_id: UserId,
    /// What the person may do: the custom claims `roles` and `role`, at most
    /// [`Person::ROLES_MAX`] of them.
    pub roles: Vec<String>,
    /// When the token ends, in seconds since 1970.
    pub expire_time: i64,
    /// When the person last signed in, in seconds since 1970.
    pub auth_time: i64,
    /// The person's address, which may be unverified.
    pub email: Option<String>,
    /// Whether the address is known to be the person's.
    pub email_verified: bool,
    /// How the person signed in, such as `password` or `google.com`.
    pub sign_in_provider: Option<String>,
    /// When the token was made, in seconds since 1970.
    pub issue_time: i64,
}

impl Person {
    /// The most roles that are kept of a token.
    pub const ROLES_MAX: usize = 32;

    /// Whether the person has `role`.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|have| have == role)
    }
}

/// The address stays out: it is personal.
impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Person")
            .field("user_id", &self.user_id)
            .field("roles", &self.roles)
            .field("expire_time", &self.expire_time)
            .finish_non_exhaustive()
    }
}

/// Who is calling.
#[derive(Clone, Debug, Default)]
pub enum Caller {
    /// No token came with the call.
    #[default]
    Nobody,
    /// A person, verified.
    Person(Arc<Person>),
    /// One of our own functions, verified.
    Service(ServiceName),
}

impl Caller {
    /// The person, if it is one.
    pub fn person(&self) -> Option<&Person> {
        match self {
            Self::Person(person) => Some(person),
            Self::Nobody | Self::Service(_) => None,
        }
    }

    /// The service, if it is one.
    pub fn service(&self) -> Option<&ServiceName> {
        match self {
            Self::Service(name) => Some(name),
            Self::Nobody | Self::Person(_) => None,
        }
    }

    /// The caller as one string that stays the same over calls and versions, for idempotency keys
    /// and limits. The kinds cannot be mistaken for each other, whatever an id holds.
    pub fn key(&self) -> Cow<'static, str> {
        match self {
            Self::Nobody => Cow::Borrowed("nobody"),
            Self::Person(person) => Cow::Owned(format!("person:{}", person.user_id.as_str())),
            Self::Service(name) => Cow::Owned(format!("service:{}", name.as_str())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_1_to_128_characters_without_controls() {
        for good in ["a", "Ab-3_x", "é".repeat(128).as_str(), "with space", "..", "' OR 1=1--"] {
            assert_eq!(UserId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "é".repeat(129).as_str(), "a\0b", "a\nb", "\u{7f}", "\u{85}"] {
            assert_eq!(UserId::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_service_name_is_a_label() {
        assert!(ServiceName::parse("user-2").is_some());
        for bad in ["", "User", "a_b", "a.b", "é", "a".repeat(64).as_str()] {
            assert_eq!(ServiceName::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn keys_keep_the_kinds_apart() {
        let person = Person {
            user_id: UserId::parse("service:user").unwrap(),
            roles: vec!["admin".to_owned()],
            expire_time: 2,
            auth_time: 1,
            email: Some("alice@example.com".to_owned()),
            email_verified: true,
            sign_in_provider: None,
            issue_time: 1,
        };
        assert!(person.has_role("admin") && !person.has_role("Admin"));
        assert!(!format!("{person:?}").contains("example.com"));
        let service = Caller::Service(ServiceName::parse("user").unwrap());
        assert_eq!(Caller::default().key(), "nobody");
        assert_eq!(service.key(), "service:user");
        assert_eq!(Caller::Person(Arc::new(person)).key(), "person:service:user");
    }
}
