//! A token: nothing is believed but the very ones that were signed. And claims, as if signed.

use std::sync::LazyLock;

use crate::{GOOD, ISSUER, KEYS, NOW, PROJECT};
use identity::fuzzing::{Keys, person, service};

static SET: LazyLock<Keys> = LazyLock::new(|| Keys::parse(KEYS).expect("our own keys"));

pub(crate) fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(person) = SET.verify(text, PROJECT, ISSUER, NOW)
    {
        assert!(GOOD.contains(&text), "believed {person:?}");
    }
    if let Ok(person) = person(data, PROJECT, ISSUER, NOW) {
        let claims: serde_json::Value = serde_json::from_slice(data).expect("it was read as JSON");
        assert_eq!((&claims["aud"], &claims["iss"]), (&PROJECT.into(), &ISSUER.into()));
        assert_eq!(claims["sub"], person.user_id.as_str());
        assert!(person.expire_time > NOW - 31 && person.auth_time <= NOW + 30);
        assert_eq!(service(data, "user", ISSUER, NOW), None);
    }
    if service(data, "user", ISSUER, NOW).is_some() {
        assert!(person(data, PROJECT, ISSUER, NOW).is_err());
    }
}
