//! What a session, a role, an attempt and an API client are. Pure: no clock, no network, no SQL.

pub(crate) mod api_client;
pub(crate) mod attempt;
pub(crate) mod event;
pub(crate) mod password;

use chrono::{DateTime, Utc};
use fault::Fault;
use identity::{Person, UserId};
use prost_types::Timestamp;
use proto::auth::v1;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// A sign-in that was made here.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// A UUID in the order of time.
    pub(crate) id: String,
    pub(crate) user_id: UserId,
    /// Names the sign-in in its tokens.
    pub(crate) auth_time: i64,
    pub(crate) device_name: String,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) refresh_time: DateTime<Utc>,
}

/// A person's sign-ins that are over, of which Firebase does not know yet.
#[derive(Debug)]
pub(crate) struct Untold {
    pub(crate) person_id: UserId,
    pub(crate) valid_from: i64,
}

impl Session {
    /// A sign-in that has just been made.
    pub(crate) fn new(person: &Person, device_name: String, now: DateTime<Utc>) -> Self {
        Self {
            id: id(now).to_string(),
            user_id: person.user_id.clone(),
            auth_time: person.auth_time,
            device_name,
            create_time: now,
            refresh_time: now,
        }
    }

    /// As it is told to a caller whose sign-in happened at `auth_time`.
    pub(crate) fn told_to(self, auth_time: i64) -> v1::Session {
        let Self { id, user_id: _, auth_time: own, device_name, create_time, refresh_time } = self;
        v1::Session {
            session_id: id,
            device_name,
            create_time: Some(timestamp(create_time)),
            refresh_time: Some(timestamp(refresh_time)),
            current: own == auth_time,
        }
    }
}

/// A new id, in the order of time.
pub(crate) fn id(now: DateTime<Utc>) -> Uuid {
    let secs = u64::try_from(now.timestamp()).unwrap_or_default();
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, secs, now.timestamp_subsec_nanos()))
}

/// What a person calls a device.
pub(crate) fn device_name(name: String) -> Result<String, Fault> {
    if name.chars().any(char::is_control) {
        return Err(Fault::invalid("device_name", "must not contain control characters"));
    }
    Ok(name)
}

/// The roles that somebody is to have.
pub(crate) fn roles(roles: &[String]) -> Result<(), Fault> {
    let of_role = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if roles.iter().any(|role| !role.bytes().all(of_role)) {
        return Err(Fault::invalid("roles", "must be of a-z, 0-9, _ and -"));
    }
    Ok(())
}

/// The role that gives roles.
const ADMIN: &str = "admin";

/// Nobody takes it from themselves: so there is always one who can give it.
pub(crate) fn keeps_admin(own: &UserId, of: &UserId, roles: &[String]) -> Result<(), Fault> {
    if own == of && !roles.iter().any(|role| role == ADMIN) {
        return Err(Fault::invalid("roles", "must hold admin: another administrator takes it"));
    }
    Ok(())
}

/// Nobody disables themselves, so there is always one who can enable; or enables themselves, who may
/// have been let in by what was known a moment before they were disabled.
pub(crate) fn is_another(own: &UserId, of: &UserId) -> Result<(), Fault> {
    if own == of {
        return Err(Fault::invalid("user_id", "must be somebody else's"));
    }
    Ok(())
}

/// Custom claims with these roles, and with what else they say.
pub(crate) fn with_roles(mut claims: Map<String, Value>, roles: &[String]) -> Map<String, Value> {
    // The older spelling of one role would go on giving it.
    claims.remove("role");
    claims.insert("roles".to_owned(), json!(roles));
    claims
}

/// The roles in custom claims, as verifying a token would read them.
pub(crate) fn roles_in(claims: &Map<String, Value>) -> Vec<String> {
    let listed = claims.get("roles").and_then(Value::as_array);
    let one = claims.get("role").into_iter();
    let all = listed.into_iter().flatten().chain(one).filter_map(Value::as_str);
    let mut roles: Vec<_> = all.map(str::to_owned).collect();
    roles.dedup();
    roles
}

/// A verified token, as its own person is told.
pub(crate) fn who(person: &Person) -> v1::WhoAmIResponse {
    v1::WhoAmIResponse {
        user_id: person.user_id.as_str().to_owned(),
        email: person.email.clone().unwrap_or_default(),
        email_verified: person.email_verified,
        sign_in_provider: person.sign_in_provider.clone().unwrap_or_default(),
        roles: person.roles.clone(),
        auth_time: Some(second(person.auth_time)),
        issue_time: Some(second(person.issue_time)),
        expire_time: Some(second(person.expire_time)),
    }
}

/// A verified token, as a machine is told.
pub(crate) fn active(person: &Person) -> v1::ValidateTokenResponse {
    v1::ValidateTokenResponse {
        active: true,
        user_id: person.user_id.as_str().to_owned(),
        roles: person.roles.clone(),
        auth_time: Some(second(person.auth_time)),
        expire_time: Some(second(person.expire_time)),
        ..Default::default()
    }
}

/// A time in whole seconds since 1970.
pub(crate) fn second(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}

/// A time.
pub(crate) fn timestamp(time: DateTime<Utc>) -> Timestamp {
    let nanos = i32::try_from(time.timestamp_subsec_nanos()).unwrap_or(999_999_999);
    Timestamp { seconds: time.timestamp(), nanos }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_claims_stay_when_roles_are_set() {
        let claims = json!({"role": "admin", "plan": "gold"}).as_object().unwrap().clone();
        assert_eq!(roles_in(&claims), ["admin"]);
        let claims = with_roles(claims, &["editor".to_owned()]);
        assert_eq!(Value::from(claims.clone()), json!({"roles": ["editor"], "plan": "gold"}));
        assert_eq!(roles_in(&claims), ["editor"]);
    }

    #[test]
    fn an_administrator_stays_one_until_another_says_otherwise() {
        let id = |text: &str| UserId::parse(text).unwrap();
        let keeps =
            |of: &str, role: &str| keeps_admin(&id("ada"), &id(of), &[role.to_owned()]).is_ok();
        assert!(keeps("ada", "admin") && keeps("bob", "editor"));
        assert!(!keeps("ada", "editor"));
    }

    #[test]
    fn a_role_is_a_word() {
        assert!(roles(&["admin".to_owned(), "on-call_2".to_owned()]).is_ok());
        for bad in ["Admin", "a b", "ä", "a,b"] {
            assert!(roles(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
