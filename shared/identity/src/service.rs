//! What a function's own token says: which of our functions calls, and which one it calls.
//!
//! On Fly it is the machine's OIDC token, `POST /v1/tokens/oidc` of its API socket; on one machine
//! the local issuer signs the same. It is RS256 with a `kid` of the issuer's key set, and says
//!
//! - `iss`: `SERVICE_ISSUER`, which is never the issuer of persons' tokens,
//! - `aud`: the name of the function that is called, such as `user`, and nothing else,
//! - `sub`: the name of the function that calls. With `SERVICE_APP_PREFIX` it is the name of its
//!   app, `<prefix>-<function>` in the claim `app_name`, that counts; of Fly's `sub` nothing is used,
//! - `iat`, `exp`: at most an hour apart; `nbf` where there is one.
//!
//! What only a person's token says (`auth_time`, `user_id`, `firebase`) must not be in it.

use serde_json::{Map, Value};

use crate::{
    Error, ServiceName, json,
    signed::Said,
    token::{Rules, Times, text},
};

/// How long a service's token may be good in all. Fly's live for a quarter of an hour at most.
pub(crate) const LIFE_SECS_MAX: i64 = 3600;

/// Claims that only a person's token has.
const OF_PERSONS: [&str; 3] = ["auth_time", "user_id", "firebase"];

/// A call of one function to another, as the token says.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) caller: ServiceName,
    pub(crate) callee: ServiceName,
    pub(crate) expire_time: i64,
}

impl Said for Visit {
    fn expire_time(&self) -> i64 {
        self.expire_time
    }
}

/// Reads the claims of a service's token whose signature was found good.
pub(crate) fn visit(
    claims: &[u8],
    rules: Rules<'_>,
    app_prefix: Option<&str>,
    now: i64,
) -> Result<Visit, Error> {
    let claims = &json::object(claims).ok_or(Error::Invalid("claims are not a plain object"))?;
    rules.hold(claims)?;
    if OF_PERSONS.iter().any(|name| claims.contains_key(*name)) {
        return Err(Error::Invalid("a claim of persons"));
    }
    let visited = ServiceName::parse(rules.audience).ok_or(Error::Invalid("aud is no service"))?;
    let caller = caller(claims, app_prefix).ok_or(Error::Invalid("the caller is no service"))?;
    let Times { issue, expire } = rules.times(claims, now)?;
    if expire <= issue || expire.saturating_sub(issue) > LIFE_SECS_MAX {
        return Err(Error::Invalid("a life that is too long"));
    }
    if rules.expired(expire, now) {
        return Err(Error::Expired);
    }
    Ok(Visit { caller, callee: visited, expire_time: expire })
}

fn caller(claims: &Map<String, Value>, app_prefix: Option<&str>) -> Option<ServiceName> {
    let sub = text(claims, "sub").filter(|sub| !sub.is_empty())?;
    match app_prefix {
        None => ServiceName::parse(sub),
        Some(prefix) => {
            let app = text(claims, "app_name")?;
            ServiceName::parse(app.strip_prefix(prefix)?.strip_prefix('-')?)
        }
    }
}
