//! What a token says, read strictly and without doing anything.
//!
//! First [`parse`] takes the three parts apart and reads the header; then the caller checks the
//! signature; only then [`person`] reads the claims. Libraries for JWT accept more than Firebase
//! does (an `aud` that is a list, a missing `iat`, `crit`), so the rules are written out here.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use crate::{Error, Person, TOKEN_BYTES_MAX, UserId, json};

/// The most bytes of a `kid`.
const KID_BYTES_MAX: usize = 200;

/// Header parameters that would change how a token is read, or where its key comes from. None is
/// ever in a Firebase token, so any of them is refused whatever it holds.
const HEADER_BANNED: [&str; 9] =
    ["crit", "b64", "zip", "cty", "jku", "jwk", "x5u", "x5c", "x5t#S256"];

/// A token taken apart. Nothing in it is believed yet.
#[derive(Debug)]
pub(crate) struct Token<'t> {
    /// The bytes that are signed.
    pub(crate) message: &'t [u8],
    /// The signature, still as text, which is good base64.
    pub(crate) signature: &'t str,
    /// The name of the key it claims to be signed with.
    pub(crate) kid: String,
    /// The claims, still as text.
    pub(crate) claims: Vec<u8>,
}

/// What the claims are held against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'r> {
    pub(crate) audience: &'r str,
    pub(crate) issuer: &'r str,
    pub(crate) skew_secs: i64,
}

impl Rules<'_> {
    /// Insists that the token is for us, and from whom it should be.
    pub(crate) fn hold(&self, claims: &Map<String, Value>) -> Result<(), Error> {
        if text(claims, "aud") != Some(self.audience) {
            return Err(Error::Invalid("aud is not ours"));
        }
        if text(claims, "iss") != Some(self.issuer) {
            return Err(Error::Invalid("iss is not the issuer"));
        }
        Ok(())
    }

    /// Whether the time of a token that ends at `expire_time` is over.
    pub(crate) fn expired(&self, expire_time: i64, now: i64) -> bool {
        is_over(expire_time, self.skew_secs, now)
    }

    /// Reads when a token was made and when it ends, and refuses one from the future. Whether it
    /// has ended is asked last, so that "expired" is only ever said of a token that was good.
    pub(crate) fn times(&self, claims: &Map<String, Value>, now: i64) -> Result<Times, Error> {
        let expire = time(claims, "exp").ok_or(Error::Invalid("exp is not a time"))?;
        let issue = time(claims, "iat").ok_or(Error::Invalid("iat is not a time"))?;
        let begin = if claims.contains_key("nbf") {
            time(claims, "nbf").ok_or(Error::Invalid("nbf is not a time"))?
        } else {
            issue
        };
        if issue > self.latest(now) || begin > self.latest(now) {
            return Err(Error::Invalid("token from the future"));
        }
        Ok(Times { issue, expire })
    }

    /// The latest time that a token may speak of as past.
    fn latest(&self, now: i64) -> i64 {
        now.saturating_add(self.skew_secs)
    }
}

/// When a token was made, and when it ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) issue: i64,
    pub(crate) expire: i64,
}

/// Whether the time of a token that ends at `expire_time` is over, by clocks that may be apart.
pub(crate) fn is_over(expire_time: i64, skew_secs: i64, now: i64) -> bool {
    expire_time <= now.saturating_sub(skew_secs)
}

/// Takes a token apart and reads its header.
pub(crate) fn parse(token: &str) -> Result<Token<'_>, Error> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Error::Invalid("token too long"));
    }
    // A further dot would stay in `claims`, where it is no base64.
    let (message, signature) =
        token.rsplit_once('.').ok_or(Error::Invalid("not three segments"))?;
    let (header, claims) = message.split_once('.').ok_or(Error::Invalid("not three segments"))?;
    let header = decode(header)?;
    let claims = decode(claims)?;
    decode(signature)?;

    let header = json::object(&header).ok_or(Error::Invalid("header is not a plain object"))?;
    let kid = kid(&header)?.to_owned();
    Ok(Token { message: message.as_bytes(), signature, kid, claims })
}

/// Decodes one segment. The engine takes no padding and no stray bits, so that each token has one
/// spelling.
fn decode(segment: &str) -> Result<Vec<u8>, Error> {
    match URL_SAFE_NO_PAD.decode(segment) {
        Ok(bytes) if bytes.is_empty() => Err(Error::Invalid("empty segment")),
        Ok(bytes) => Ok(bytes),
        Err(_) => Err(Error::Invalid("segment is not base64url")),
    }
}

fn kid(header: &Map<String, Value>) -> Result<&str, Error> {
    if header.get("alg").and_then(Value::as_str) != Some("RS256") {
        return Err(Error::Invalid("alg is not RS256"));
    }
    let typ = header.get("typ").map(|typ| typ.as_str().unwrap_or_default());
    if typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
        return Err(Error::Invalid("typ is not JWT"));
    }
    if HEADER_BANNED.iter().any(|name| header.contains_key(*name)) {
        return Err(Error::Invalid("header parameter that is never ours"));
    }
    let printable = |kid: &&str| {
        (1..=KID_BYTES_MAX).contains(&kid.len()) && kid.bytes().all(|b| matches!(b, b' '..=b'~'))
    };
    header
        .get("kid")
        .and_then(Value::as_str)
        .filter(printable)
        .ok_or(Error::Invalid("kid is not a short printable string"))
}

/// Reads the claims of a person's token whose signature was found good.
pub(crate) fn person(claims: &[u8], rules: Rules<'_>, now: i64) -> Result<Person, Error> {
    let claims = &json::object(claims).ok_or(Error::Invalid("claims are not a plain object"))?;
    rules.hold(claims)?;
    let user_id = text(claims, "sub").and_then(UserId::parse);
    let user_id = user_id.ok_or(Error::Invalid("sub is not a user id"))?;
    if claims.get("user_id").is_some_and(|again| again.as_str() != Some(user_id.as_str())) {
        return Err(Error::Invalid("user_id is not sub"));
    }
    let Times { issue, expire } = rules.times(claims, now)?;
    let auth_time = time(claims, "auth_time").ok_or(Error::Invalid("auth_time is not a time"))?;
    if auth_time > rules.latest(now) {
        return Err(Error::Invalid("sign-in from the future"));
    }
    if rules.expired(expire, now) {
        return Err(Error::Expired);
    }
    Ok(Person {
        user_id,
        roles: roles(claims),
        expire_time: expire,
        auth_time,
        email: text(claims, "email").map(str::to_owned),
        email_verified: claims.get("email_verified").and_then(Value::as_bool) == Some(true),
        sign_in_provider: provider(claims),
        issue_time: issue,
    })
}

/// A claim that is a text.
pub(crate) fn text<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c str> {
    claims.get(name).and_then(Value::as_str)
}

/// A time as it is written in tokens: a whole number of seconds, and not before 1970.
fn time(claims: &Map<String, Value>, name: &str) -> Option<i64> {
    claims.get(name).and_then(Value::as_i64).filter(|secs| *secs >= 0)
}

/// The custom claims `roles` and `role`. Whatever is not a string there grants nothing.
fn roles(claims: &Map<String, Value>) -> Vec<String> {
    let many = claims.get("roles").and_then(Value::as_array).into_iter().flatten();
    let mut roles = Vec::new();
    for role in claims.get("role").into_iter().chain(many).filter_map(Value::as_str) {
        if roles.len() == Person::ROLES_MAX {
            break;
        }
        if !role.is_empty() && !roles.iter().any(|have| have == role) {
            roles.push(role.to_owned());
        }
    }
    roles
}

fn provider(claims: &Map<String, Value>) -> Option<String> {
    claims.get("firebase")?.get("sign_in_provider")?.as_str().map(str::to_owned)
}
