//! What the fuzzers call. It is in no other build.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderMap;
use jsonwebtoken::crypto::aws_lc;

use crate::{
    Error, Person, fetch,
    keys::{self, Key},
    service,
    token::{self, Rules},
    x509,
};

/// A key set that was read.
#[derive(Debug)]
pub struct Keys(Vec<Key>);

impl Keys {
    /// Reads a key set in either form.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let _installed = aws_lc::DEFAULT_PROVIDER.install_default();
        keys::parse(body).ok().map(Self)
    }

    /// Verifies a token as a verifier does that has these keys.
    pub fn verify(
        &self,
        text: &str,
        project: &str,
        issuer: &str,
        now: i64,
    ) -> Result<Person, Error> {
        let parts = token::parse(text)?;
        let key = self.0.iter().find(|key| key.kid == parts.kid);
        let key = key.ok_or(Error::Invalid("unknown key"))?;
        if !key.signed(parts.message, parts.signature) {
            return Err(Error::Invalid("signature"));
        }
        person(&parts.claims, project, issuer, now)
    }
}

/// Reads the claims of a person, as if they had been signed.
pub fn person(claims: &[u8], project: &str, issuer: &str, now: i64) -> Result<Person, Error> {
    token::person(claims, Rules { audience: project, issuer, skew_secs: 30 }, now)
}

/// Reads the claims of a service, as if they had been signed, and says who calls: by `sub`, or with
/// a prefix by the name of its app.
pub fn service(
    claims: &[u8],
    callee: &str,
    issuer: &str,
    app_prefix: Option<&str>,
    now: i64,
) -> Option<String> {
    let rules = Rules { audience: callee, issuer, skew_secs: 30 };
    let visit = service::visit(claims, rules, app_prefix, now).ok()?;
    Some(visit.caller.as_str().to_owned())
}

/// The modulus and the exponent of a certificate's key.
pub fn certificate(der: &[u8]) -> Option<[Vec<u8>; 2]> {
    let pem = format!("{}{}{}", x509::BEGIN, STANDARD.encode(der), x509::END);
    x509::numbers(&pem).map(|numbers| [numbers.modulus, numbers.exponent])
}

/// How long the keys of an answer with these headers are used.
pub fn max_age(headers: &HeaderMap) -> Duration {
    fetch::max_age(headers)
}
