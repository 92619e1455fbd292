//! How a person stands, and which of their tokens that leaves.

use std::sync::Arc;

use identity::Person;

use crate::Error;

/// What the database says of a person. Of most it says nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Standing {
    /// Sign-ins before this are over.
    pub(crate) valid_from: i64,
    /// Tokens made before this have to be refreshed.
    pub(crate) issued_from: i64,
    /// Single sign-ins that are over.
    pub(crate) sessions: Option<Arc<[i64]>>,
    pub(crate) is_disabled: bool,
}

impl Standing {
    /// Whether a token of the person is taken.
    pub(crate) fn judge(&self, person: &Person) -> Result<(), Error> {
        if self.is_disabled {
            return Err(Error::Disabled);
        }
        let is_over = person.auth_time < self.valid_from
            || self.sessions.as_ref().is_some_and(|over| over.contains(&person.auth_time));
        if is_over {
            return Err(Error::Revoked);
        }
        if person.issue_time < self.issued_from {
            return Err(Error::Outdated);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use identity::UserId;

    use super::*;

    /// What is said to a token made at `issue_time` after a sign-in at `auth_time`.
    fn told(standing: &Standing, auth_time: i64, issue_time: i64) -> &'static str {
        let person = Person {
            user_id: UserId::parse("ada").unwrap(),
            roles: Vec::new(),
            expire_time: i64::MAX,
            auth_time,
            email: None,
            email_verified: false,
            sign_in_provider: None,
            issue_time,
        };
        match standing.judge(&person) {
            Ok(()) => "taken",
            Err(Error::Revoked) => "revoked",
            Err(Error::Disabled) => "disabled",
            Err(Error::Outdated) => "outdated",
            Err(Error::Unknown(_)) => "unknown",
        }
    }

    #[test]
    fn nothing_said_is_nothing_refused() {
        assert_eq!(told(&Standing::default(), 0, 0), "taken");
    }

    #[test]
    fn sign_ins_count_from_a_second_on_however_often_they_were_refreshed() {
        let standing = Standing { valid_from: 100, ..Standing::default() };
        assert_eq!(told(&standing, 99, 5000), "revoked");
        assert_eq!(told(&standing, 100, 100), "taken");
    }

    #[test]
    fn a_session_ends_alone() {
        let standing = Standing { sessions: Some([7, 9].into()), ..Standing::default() };
        assert_eq!(
            [7, 8, 9].map(|session| told(&standing, session, 10)),
            ["revoked", "taken", "revoked"]
        );
    }

    #[test]
    fn an_outdated_token_is_refreshed_and_a_revoked_one_is_not() {
        let standing = Standing { issued_from: 50, valid_from: 20, ..Standing::default() };
        assert_eq!(told(&standing, 20, 49), "outdated");
        assert_eq!(told(&standing, 20, 50), "taken");
        assert_eq!(told(&standing, 19, 49), "revoked");
    }

    #[test]
    fn the_disabled_are_refused_whatever_they_hold() {
        let standing = Standing { is_disabled: true, valid_from: 100, ..Standing::default() };
        assert_eq!(told(&standing, i64::MAX, i64::MAX), "disabled");
        assert_eq!(told(&standing, 0, 0), "disabled");
    }
}
