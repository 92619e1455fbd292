//! A Firebase-compatible issuer, for development and for tests.
//!
//! It keeps accounts and signs their ID tokens exactly as Google does: RS256, the same issuer, the
//! same claims, the key published as a JWK set.
//! So what verifies them is what verifies Google's; only the address of the keys differs.
//! [`Issuer::router`] speaks as much of the Identity Toolkit and Secure Token REST surfaces as a
//! client needs to sign up, sign in, look itself up and refresh.
//!
//! ```
//! let issuer = issuer::Issuer::in_memory("demo", clock::Clock::system())?;
//! let session = issuer.sign_up("alice@example.com", "correct horse")?;
//! assert_eq!(session.user_id.len(), 28);
//! # Ok::<(), issuer::Error>(())
//! ```

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::Router;
use clock::Clock;
use jsonwebtoken::Header;
use serde_json::{Map, Value};

mod accounts;
mod chance;
mod claims;
mod error;
mod file;
mod key;
mod password;
mod rest;

pub use crate::error::{Error, Refusal};

use crate::{
    accounts::{Account, Accounts, Grant, Provider},
    claims::Claims,
    file::File,
    key::Key,
};

/// For how long an ID token is good, as with Firebase.
pub(crate) const TOKEN_SECS: i64 = 3600;

/// Keeps accounts and signs their tokens. Clones are the same issuer.
///
/// Whatever signs in or up hashes a password and writes a file: in async code, call it where
/// blocking is allowed, as the router does.
#[derive(Clone)]
pub struct Issuer(Arc<Shared>);

struct Shared {
    project: String,
    clock: Clock,
    key: Key,
    accounts: Mutex<Accounts>,
    /// None: nothing is kept.
    file: Option<File>,
}

/// Somebody who has just signed in.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Session {
    /// Firebase's uid: 28 letters and digits.
    pub user_id: String,
    /// None for whoever is anonymous.
    pub email: Option<String>,
    /// The token to call with, good for an hour.
    pub id_token: String,
    /// Exchanged for another ID token, again and again.
    pub refresh_token: String,
}

impl Issuer {
    /// Opens the issuer kept in `dir`, making its key and its file when there is none.
    pub fn open(dir: &Path, project: &str, clock: Clock) -> Result<Self, Error> {
        let path = dir.join("issuer.json");
        let (file, accounts) = match File::load(&path)? {
            Some(kept) => kept,
            None => (File::make(path)?, Accounts::default()),
        };
        let key = file.key()?;
        Ok(Self::new(project, clock, key, accounts, Some(file)))
    }

    /// Makes an issuer that keeps nothing, with a key of its own.
    pub fn in_memory(project: &str, clock: Clock) -> Result<Self, Error> {
        Ok(Self::new(project, clock, Key::generate()?, Accounts::default(), None))
    }

    fn new(project: &str, clock: Clock, key: Key, accounts: Accounts, file: Option<File>) -> Self {
        let project = project.to_owned();
        Self(Arc::new(Shared { project, clock, key, accounts: Mutex::new(accounts), file }))
    }

    /// The REST surface, to be served at the root of a port.
    pub fn router(&self) -> Router {
        rest::router(self.clone())
    }

    /// What its tokens say in `iss`: exactly what Google's say for this project.
    pub fn issuer_url(&self) -> String {
        format!("https://securetoken.google.com/{}", self.0.project)
    }

    /// The project its tokens are for, as they say in `aud`.
    pub fn project(&self) -> &str {
        &self.0.project
    }

    /// The path of the JWK set, as it is at `www.googleapis.com`.
    pub fn key_path() -> &'static str {
        "/robot/v1/metadata/jwk/securetoken@system.gserviceaccount.com"
    }

    /// The id of its key, as tokens name it in their header.
    pub fn kid(&self) -> String {
        self.0.key.id().to_owned()
    }

    /// The JWK set with its public key.
    pub fn keys(&self) -> Value {
        self.0.key.jwk_set()
    }

    /// Makes an account for an email address nobody has yet, and signs it in.
    pub fn sign_up(&self, email: &str, password: &str) -> Result<Session, Error> {
        let email = accounts::email(email)?;
        password::check(password)?;
        // Hashing takes long: not before it is known to be of use, and not under the lock.
        self.accounts().check_can_add(Some(&email))?;
        let password = password::Hash::of(password)?;
        self.add(Account::new(Some(email), Some(password), self.now()))
    }

    /// Makes an account that is nobody's in particular, and signs it in.
    pub fn sign_up_anonymously(&self) -> Result<Session, Error> {
        self.add(Account::new(None, None, self.now()))
    }

    /// Signs in by email address and password.
    pub fn sign_in(&self, email: &str, password: &str) -> Result<Session, Error> {
        let email = accounts::email(email)?;
        if password.is_empty() {
            return Err(Refusal::MissingPassword.into());
        }
        // Which of the two was wrong is nobody's business, as with Firebase's default protection.
        let (user_id, account) =
            self.accounts().by_email(&email).ok_or(Refusal::InvalidLoginCredentials)?;
        if account.is_disabled {
            return Err(Refusal::UserDisabled.into());
        }
        if !account.password.is_some_and(|hash| hash.is_of(password)) {
            return Err(Refusal::InvalidLoginCredentials.into());
        }
        let now = self.now();
        let refresh_token = chance::token()?;
        let account = self
            .change(|accounts| accounts.grant(&user_id, Provider::Password, &refresh_token, now))?;
        Ok(self.session(user_id, account, Provider::Password, refresh_token))
    }

    /// Exchanges a refresh token, which stays as it is, for a new ID token.
    pub fn refresh(&self, refresh_token: &str) -> Result<Session, Error> {
        let (Grant { user_id, provider, auth_secs, .. }, account) =
            self.accounts().granted(refresh_token)?;
        let id_token = self.token(&Claims::of(&account, &user_id, provider, auth_secs));
        let refresh_token = refresh_token.to_owned();
        Ok(Session { user_id, email: account.email, id_token, refresh_token })
    }

    /// Revokes every refresh token of an account, as the Admin SDK does: they have then expired.
    pub fn revoke(&self, user_id: &str) -> Result<(), Error> {
        let now = self.now();
        self.change(|accounts| accounts.revoke(user_id, now))
    }

    /// Disables an account: it neither signs in nor refreshes any more.
    pub fn disable(&self, user_id: &str) -> Result<(), Error> {
        self.change(|accounts| accounts.disable(user_id))
    }

    /// A token for `user_id`, with or without an account, as from a custom sign-in.
    ///
    /// What Firebase reserves, `custom_claims` cannot replace; [`Issuer::sign`] can.
    pub fn id_token(&self, user_id: &str, custom_claims: &Map<String, Value>) -> String {
        let account = self.accounts().by_id(user_id);
        let account = account.unwrap_or_else(|| Account::new(None, None, self.now()));
        let claims = Claims::of(&account, user_id, Provider::Custom, self.now().div_euclid(1000));
        self.token(&claims.with_custom(custom_claims))
    }

    /// Signs anything at all, to try what a verifier says to it.
    ///
    /// The signature is RS256 by this issuer's key, whatever the header claims.
    pub fn sign(&self, header: &Header, claims: &Value) -> String {
        self.0.key.sign(header, claims)
    }

    /// Whose a token of ours is, if it is good.
    pub(crate) fn holder(&self, id_token: &str) -> Result<(String, Account), Refusal> {
        let now = self.0.clock.unix_secs();
        let claims = self.0.key.verify(id_token).ok_or(Refusal::InvalidIdToken)?;
        let user_id = claims::subject(&claims, &self.issuer_url(), self.project(), now)?;
        let account = self.accounts().by_id(&user_id).ok_or(Refusal::UserNotFound)?;
        if account.is_disabled { Err(Refusal::UserDisabled) } else { Ok((user_id, account)) }
    }

    fn add(&self, account: Account) -> Result<Session, Error> {
        let provider = match account.email {
            Some(_) => Provider::Password,
            None => Provider::Anonymous,
        };
        let (user_id, refresh_token, now) = (chance::user_id()?, chance::token()?, self.now());
        let account = self.change(|accounts| {
            accounts.add(&user_id, account)?;
            accounts.grant(&user_id, provider, &refresh_token, now)
        })?;
        Ok(self.session(user_id, account, provider, refresh_token))
    }

    fn session(
        &self,
        user_id: String,
        account: Account,
        provider: Provider,
        refresh_token: String,
    ) -> Session {
        let auth_secs = account.signed_in_ms.div_euclid(1000);
        let id_token = self.token(&Claims::of(&account, &user_id, provider, auth_secs));
        Session { user_id, email: account.email, id_token, refresh_token }
    }

    fn token(&self, claims: &Claims) -> String {
        let claims = claims.issued(&self.issuer_url(), self.project(), self.0.clock.unix_secs());
        self.sign(&self.0.key.header(), &claims)
    }

    /// Changes the accounts whole or not at all, in memory and on disk.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Accounts) -> Result<T, Refusal>,
    ) -> Result<T, Error> {
        let mut accounts = self.accounts();
        let mut changed = accounts.clone();
        let answer = change(&mut changed)?;
        if let Some(file) = &self.0.file {
            file.save(&changed)?;
        }
        *accounts = changed;
        Ok(answer)
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        // They are replaced whole, so a panic elsewhere leaves nothing half-done.
        self.0.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> i64 {
        self.0.clock.unix_micros().div_euclid(1000)
    }
}

// Written by hand: keys, hashes and tokens are not for logs.
impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kid = self.0.key.id();
        f.debug_struct("Issuer")
            .field("project", &self.0.project)
            .field("kid", &kid)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}
