//! A machine that comes with an id and a secret, and the access tokens that it exchanges them for.

use std::fmt;

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, SHA256_OUTPUT_LEN, digest},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use fault::Fault;
use proto::auth::v1;
use ticket::Signer;
use uuid::Uuid;

use super::timestamp;

/// Chance in a secret: 256 bits.
pub(crate) const SECRET_BYTES: usize = 32;

/// For how long an access token is good.
pub(crate) const ACCESS_SECS: i64 = 600;

/// What secrets and access tokens begin with, so that one that has leaked is found for what it is.
const SECRET_PREFIX: &str = "mfs_";
const ACCESS_PREFIX: &str = "mfa_";

/// Those of version 1 did not say by which secret they were had.
const ACCESS_VERSION: u8 = 2;

/// How much of a secret's hash an access token says: enough to tell one from the next.
const MARK_BYTES: usize = 8;

/// An API client.
#[derive(Clone)]
pub(crate) struct ApiClient {
    /// A UUID in the order of time.
    pub(crate) id: String,
    pub(crate) display_name: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) secret_hash: Vec<u8>,
    pub(crate) previous_secret_hash: Vec<u8>,
    pub(crate) previous_expire_time: DateTime<Utc>,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) rotate_time: DateTime<Utc>,
}

/// What an access token says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Access {
    pub(crate) client: Uuid,
    /// In seconds since 1970.
    pub(crate) expires: i64,
    /// By which secret it was had.
    mark: [u8; MARK_BYTES],
}

/// A secret, which is shown once.
pub(crate) struct Secret(String);

impl Secret {
    /// The secret of so much chance.
    pub(crate) fn of(chance: [u8; SECRET_BYTES]) -> Self {
        Self(format!("{SECRET_PREFIX}{}", URL_SAFE_NO_PAD.encode(chance)))
    }

    /// What is kept of it.
    pub(crate) fn hash(&self) -> Vec<u8> {
        hash(&self.0)
    }

    /// Shows it.
    pub(crate) fn show(&self) -> String {
        self.0.clone()
    }
}

impl ApiClient {
    /// A new one.
    pub(crate) fn new(name: &str, scopes: &[String], secret: &Secret, now: DateTime<Utc>) -> Self {
        Self {
            id: super::id(now).to_string(),
            display_name: name.to_owned(),
            scopes: scopes.to_vec(),
            secret_hash: secret.hash(),
            previous_secret_hash: secret.hash(),
            previous_expire_time: now,
            create_time: now,
            rotate_time: now,
        }
    }

    /// Whether what was had by a secret is good: it is while the secret is.
    pub(crate) fn takes(&self, access: &Access, now: DateTime<Utc>) -> bool {
        let is = |kept: &[u8]| mark(kept) == access.mark;
        is(&self.secret_hash) || (is(&self.previous_secret_hash) && now < self.previous_expire_time)
    }
}

impl Access {
    /// Had by `secret` of a client.
    pub(crate) fn new(client: Uuid, secret: &str, expires: i64) -> Self {
        Self { client, expires, mark: mark(&hash(secret)) }
    }
}

fn mark(secret_hash: &[u8]) -> [u8; MARK_BYTES] {
    secret_hash.first_chunk().copied().unwrap_or_default()
}

/// The client, if the secret is its own, or was until lately. Whether there is none or the secret is
/// another's, the same is done.
pub(crate) fn of_secret(
    client: Option<ApiClient>,
    secret: &str,
    now: DateTime<Utc>,
) -> Option<ApiClient> {
    let shown = hash(secret);
    let nobodys = vec![0; SHA256_OUTPUT_LEN];
    let (current, previous) = match &client {
        Some(client) => (&client.secret_hash, &client.previous_secret_hash),
        None => (&nobodys, &nobodys),
    };
    let is = |kept: &[u8]| verify_slices_are_equal(kept, &shown).is_ok();
    let (is_current, is_previous) = (is(current), is(previous));
    let client = client?;
    (is_current || (is_previous && now < client.previous_expire_time)).then_some(client)
}

fn hash(secret: &str) -> Vec<u8> {
    digest(&SHA256, secret.as_bytes()).as_ref().to_vec()
}

/// What a client is called, and what it may do.
pub(crate) fn check(name: &str, scopes: &[String]) -> Result<(), Fault> {
    if name.trim().is_empty() || name.chars().any(char::is_control) {
        return Err(Fault::invalid("display_name", "must be words without control characters"));
    }
    let of_scope = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b':' | b'-');
    if scopes.iter().any(|scope| !scope.bytes().all(of_scope)) {
        return Err(Fault::invalid("scopes", "must be of a-z, 0-9, and . _ : -"));
    }
    Ok(())
}

/// Signs access tokens, under the database's key.
pub(crate) fn signer(key: &[u8]) -> Signer {
    Signer::new(key, &[b"mayfly.auth.v1 access token"])
}

/// Writes an access token.
pub(crate) fn access_token(signer: &Signer, access: &Access) -> String {
    let Access { client, expires, mark } = access;
    let content = [&[ACCESS_VERSION], &expires.to_be_bytes()[..], mark, client.as_bytes()].concat();
    format!("{ACCESS_PREFIX}{}", signer.seal(&content))
}

/// Whether a token says that it is one of API clients.
pub(crate) fn is_access_token(token: &str) -> bool {
    token.starts_with(ACCESS_PREFIX)
}

/// What an access token says, if its time is not over.
pub(crate) fn of_access_token(signer: &Signer, token: &str, now_secs: i64) -> Option<Access> {
    let content = signer.open(token.strip_prefix(ACCESS_PREFIX)?)?;
    let (version, rest) = content.split_first()?;
    let (expires, rest) = rest.split_first_chunk::<8>()?;
    let (mark, client) = rest.split_first_chunk::<MARK_BYTES>()?;
    let expires = i64::from_be_bytes(*expires);
    let is_good = *version == ACCESS_VERSION && now_secs < expires;
    let client = Uuid::from_slice(client).ok()?;
    is_good.then_some(Access { client, expires, mark: *mark })
}

impl From<ApiClient> for v1::ApiClient {
    fn from(client: ApiClient) -> Self {
        let ApiClient {
            id,
            display_name,
            scopes,
            secret_hash,
            previous_secret_hash,
            previous_expire_time,
            create_time,
            rotate_time,
        } = client;
        let had_another = previous_secret_hash != secret_hash;
        Self {
            api_client_id: id,
            display_name,
            scopes,
            create_time: Some(timestamp(create_time)),
            rotate_time: Some(timestamp(rotate_time)),
            previous_secret_expire_time: had_another.then(|| timestamp(previous_expire_time)),
        }
    }
}

/// The hashes stay out.
impl fmt::Debug for ApiClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiClient").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(secs: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(secs, 0).unwrap()
    }

    #[test]
    fn the_secret_before_is_good_until_its_time_and_no_longer() {
        let (old, new) = (Secret::of([1; 32]), Secret::of([2; 32]));
        let mut client = ApiClient::new("billing", &[], &old, at(100));
        client.previous_secret_hash = std::mem::replace(&mut client.secret_hash, new.hash());
        client.previous_expire_time = at(100) + Duration::from_secs(10);
        let is_good = |secret: &Secret, secs| {
            of_secret(Some(client.clone()), &secret.show(), at(secs)).is_some()
        };
        assert!(is_good(&new, 100) && is_good(&new, 1000));
        assert!(is_good(&old, 109) && !is_good(&old, 110));
        assert!(!is_good(&Secret::of([3; 32]), 100));
        assert!(of_secret(None, "", at(0)).is_none());
    }

    #[test]
    fn an_access_token_is_good_while_the_secret_is_that_it_was_had_by() {
        let [one, two, three] = [1, 2, 3].map(|chance| Secret::of([chance; 32]));
        let mut client = ApiClient::new("billing", &[], &one, at(100));
        let takes = |client: &ApiClient, secret: &Secret, secs| {
            client.takes(&Access::new(Uuid::from_u128(7), &secret.show(), 1000), at(secs))
        };
        assert!(takes(&client, &one, 100) && !takes(&client, &two, 100));
        client.previous_secret_hash = std::mem::replace(&mut client.secret_hash, two.hash());
        client.previous_expire_time = at(110);
        assert!(takes(&client, &two, 100) && takes(&client, &one, 109));
        assert!(!takes(&client, &one, 110));
        client.previous_secret_hash = std::mem::replace(&mut client.secret_hash, three.hash());
        assert!(takes(&client, &two, 109) && !takes(&client, &one, 109));
    }

    #[test]
    fn an_access_token_is_good_for_its_time_and_under_its_key() {
        let (signer, id) = (signer(b"key"), Uuid::from_u128(7));
        let access = Access::new(id, "mfs_one", 1000);
        let token = access_token(&signer, &access);
        assert!(is_access_token(&token));
        assert_eq!(of_access_token(&signer, &token, 999), Some(access));
        assert_eq!(of_access_token(&signer, &token, 1000), None);
        assert_eq!(of_access_token(&self::signer(b"other"), &token, 999), None);
        assert_eq!(of_access_token(&signer, "mfa_", 0), None);
    }

    #[test]
    fn a_scope_is_a_word_and_a_name_is_not_blank() {
        assert!(check("Billing", &["invoices:read".to_owned()]).is_ok());
        assert!(check(" ", &[]).is_err() && check("a\nb", &[]).is_err());
        assert!(check("a", &["A".to_owned()]).is_err() && check("a", &["a b".to_owned()]).is_err());
    }
}
