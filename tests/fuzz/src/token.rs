//! A token: nothing is believed but the very ones that were signed. And claims, as if signed.

use std::sync::LazyLock;

use crate::{GOOD, ISSUER, KEYS, NOW, PROJECT};
use identity::fuzzing::{Keys, person, service};

/// As on one machine, and as on Fly.
const PREFIXES: [Option<&str>; 2] = [None, Some("acme")];

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
        assert!(PREFIXES.iter().all(|prefix| visitor(data, *prefix).is_none()));
    }
    for prefix in PREFIXES {
        let Some(caller) = visitor(data, prefix) else { continue };
        let claims: serde_json::Value = serde_json::from_slice(data).expect("it was read as JSON");
        match prefix {
            None => assert_eq!(claims["sub"], *caller),
            Some(prefix) => assert_eq!(claims["app_name"], format!("{prefix}-{caller}")),
        }
        assert_eq!((&claims["aud"], &claims["iss"]), (&"user".into(), &ISSUER.into()));
        assert!(person(data, PROJECT, ISSUER, NOW).is_err());
    }
}

/// Which of our functions calls `user`, as the claims say.
fn visitor(claims: &[u8], prefix: Option<&str>) -> Option<String> {
    service(claims, "user", ISSUER, prefix, NOW)
}
