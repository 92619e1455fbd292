//! A Firebase-compatible issuer, for development and for tests.
//!
//! It keeps accounts and signs their ID tokens exactly as Google does: RS256, the same issuer, the
//! same claims, the keys published as a JWK set.
//! So what verifies them is what verifies Google's; only the address of the keys differs.
//! [`Issuer::router`] speaks as much of the Identity Toolkit and Secure Token REST surfaces as
//! Firebase's own SDKs need: an app's to sign up, in and out, an administrator's to look people up,
//! to set claims, to revoke and to disable. An administrator says `owner`, as to an emulator, or
//! comes with a service account, as to Google.
//!
//! ```
//! let issuer = issuer::Issuer::in_memory("demo", clock::Clock::system())?;
//! let session = issuer.sign_up("alice@example.com", "correct horse")?;
//! assert_eq!(session.user_id.len(), 28);
//! # Ok::<(), issuer::Error>(())
//! ```

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::Router;
use clock::Clock;
use jsonwebtoken::Header;
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod account;
mod accounts;
mod certificate;
mod chance;
mod claims;
mod code;
mod codes;
mod directory;
mod error;
mod file;
mod key;
mod password;
mod people;
mod rest;
mod ring;
mod service_account;

pub use crate::{
    error::{Error, Refusal},
    people::Session,
};

use crate::{accounts::Accounts, code::Codes, key::Key, ring::Ring, service_account::AccessTokens};

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
    state: Mutex<State>,
    /// None: nothing is kept.
    path: Option<PathBuf>,
}

/// All that changes.
#[derive(Clone, Serialize, Deserialize)]
struct State {
    keys: Ring,
    /// What an administrator's program signs with, once somebody has asked for it.
    #[serde(default)]
    service_account: Option<Key>,
    #[serde(flatten)]
    accounts: Accounts,
    /// Not kept: whoever waits for one asks again.
    #[serde(skip)]
    codes: Codes,
    /// Not kept either.
    #[serde(skip)]
    access_tokens: AccessTokens,
}

impl Issuer {
    /// Opens the issuer kept in `dir`, making its keys and its file when there is none.
    pub fn open(dir: &Path, project: &str, clock: Clock) -> Result<Self, Error> {
        let path = dir.join("issuer.json");
        let state = if let Some(kept) = file::load(&path)? {
            kept
        } else {
            let made = State::new(&clock)?;
            file::save(&path, &made)?;
            made
        };
        Ok(Self::new(project, clock, state, Some(path)))
    }

    /// Makes an issuer that keeps nothing, with keys of its own.
    pub fn in_memory(project: &str, clock: Clock) -> Result<Self, Error> {
        let state = State::new(&clock)?;
        Ok(Self::new(project, clock, state, None))
    }

    fn new(project: &str, clock: Clock, state: State, path: Option<PathBuf>) -> Self {
        let (project, state) = (project.to_owned(), Mutex::new(state));
        Self(Arc::new(Shared { project, clock, state, path }))
    }

    /// The REST surface, to be served at the root of a port.
    pub fn router(&self) -> Router {
        rest::router(self.clone())
    }

    /// What its tokens say in `iss`: exactly what Google's say for this project.
    pub fn issuer_url(&self) -> String {
        format!("https://securetoken.google.com/{}", self.0.project)
    }

    /// What the tokens of functions say in `iss`, so that none of them is a person's.
    ///
    /// It is a name, where nothing answers: their keys are those of [`Issuer::key_path`].
    pub fn service_issuer_url(&self) -> String {
        format!("https://oidc.localhost/{}", self.0.project)
    }

    /// The project its tokens are for, as they say in `aud`.
    pub fn project(&self) -> &str {
        &self.0.project
    }

    /// The path of the JWK set, as it is at `www.googleapis.com`.
    pub fn key_path() -> &'static str {
        "/robot/v1/metadata/jwk/securetoken@system.gserviceaccount.com"
    }

    /// The path of the same keys as certificates by their ids, as it is there too.
    pub fn certificate_path() -> &'static str {
        "/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com"
    }

    /// The id of the key that signs, as tokens name it in their header.
    pub fn kid(&self) -> String {
        self.signer().id().to_owned()
    }

    /// The JWK set: the key that signs, the one that will, and those whose tokens are still good.
    pub fn keys(&self) -> Value {
        self.rotate_if_due();
        self.state().keys.jwk_set(self.now_secs())
    }

    /// The same keys as certificates, by their ids.
    pub fn certificates(&self) -> Result<Value, Error> {
        self.rotate_if_due();
        self.state().keys.certificates(self.now_secs())
    }

    /// Lets the next key sign, and tells its id. It happens by itself once a day.
    ///
    /// The key was published before, and what the old one signed stays good until it expires.
    pub fn rotate(&self) -> Result<String, Error> {
        let (fresh, now) = (Key::generate()?, self.now_secs());
        self.change(|state| {
            state.keys.rotate(fresh, now);
            Ok(state.keys.current().id().to_owned())
        })
    }

    /// A token by which the function `caller` calls the function `audience`, good for ten minutes.
    pub fn service_token(&self, caller: &str, audience: &str) -> String {
        let issuer = self.service_issuer_url();
        self.token(&claims::of_service(&issuer, caller, audience, self.now_secs()))
    }

    /// Signs anything at all, to try what a verifier says to it.
    ///
    /// The signature is RS256 by this issuer's key, whatever the header claims.
    pub fn sign(&self, header: &Header, claims: &Value) -> String {
        self.signer().sign(header, claims)
    }

    fn token(&self, claims: &Value) -> String {
        let signer = self.signer();
        signer.sign(&signer.header(), claims)
    }

    fn signer(&self) -> Key {
        self.rotate_if_due();
        self.state().keys.current().clone()
    }

    /// A key that cannot be replaced goes on signing; the next token tries again.
    fn rotate_if_due(&self) {
        let now = self.now_secs();
        if !self.state().keys.is_due(now) {
            return;
        }
        let Ok(fresh) = Key::generate() else { return };
        let _outcome = self.change(|state| {
            // Somebody else may have been first.
            if state.keys.is_due(now) {
                state.keys.rotate(fresh, now);
            }
            Ok(())
        });
    }

    /// Changes the state whole or not at all, in memory and on disk.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> Result<T, Refusal>) -> Result<T, Error> {
        let mut state = self.state();
        let mut changed = state.clone();
        let answer = change(&mut changed)?;
        if let Some(path) = &self.0.path {
            file::save(path, &changed)?;
        }
        *state = changed;
        Ok(answer)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // It is replaced whole, so a panic elsewhere leaves nothing half-done.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> i64 {
        self.0.clock.unix_micros().div_euclid(1000)
    }

    fn now_secs(&self) -> i64 {
        self.0.clock.unix_secs()
    }
}

impl State {
    fn new(clock: &Clock) -> Result<Self, Error> {
        let keys = Ring::generate(clock.unix_secs())?;
        Ok(Self {
            keys,
            service_account: None,
            accounts: Accounts::default(),
            codes: Codes::default(),
            access_tokens: AccessTokens::default(),
        })
    }
}

// Written by hand: keys, hashes and tokens are not for logs.
impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kid = self.state().keys.current().id().to_owned();
        f.debug_struct("Issuer")
            .field("project", &self.0.project)
            .field("kid", &kid)
            .finish_non_exhaustive()
    }
}
