//! Who signs up, in and out, and what is changed of them.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use crate::{
    Error, Issuer, Refusal,
    account::{self, Account, Change, Provider, Standing},
    accounts::{Accounts, Grant, SignIn},
    chance,
    claims::{self, Claims},
    password,
};

/// How long after a sign-in somebody may change what they sign in with.
const RECENT_SECS: i64 = 300;

/// Somebody who has just signed in.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Session {
    /// Firebase's uid: 28 letters and digits, unless somebody chose another.
    pub user_id: String,
    /// None for whoever is anonymous.
    pub email: Option<String>,
    /// The token to call with, good for an hour.
    pub id_token: String,
    /// Exchanged for another ID token, again and again.
    pub refresh_token: String,
}

/// Whose an ID token is.
pub(crate) struct Holder {
    pub(crate) user_id: String,
    pub(crate) account: Account,
    auth_secs: i64,
}

impl Issuer {
    /// Makes an account for an email address nobody has yet, and signs it in.
    pub fn sign_up(&self, email: &str, password: &str) -> Result<Session, Error> {
        let email = account::email(email)?;
        // Whether there is one comes first, as with Firebase's emulator: whoever asks by way of a
        // password that is too short is told as well.
        // Hashing takes long: not before it is known to be of use, and not under the lock.
        self.state().accounts.check_can_add(Some(&email))?;
        password::check(password)?;
        let password = Some(password::Hash::of(password)?);
        self.admit(Provider::Password, Change { email: Some(email), password, ..Change::default() })
    }

    /// Makes an account that is nobody's in particular, and signs it in.
    pub fn sign_up_anonymously(&self) -> Result<Session, Error> {
        self.admit(Provider::Anonymous, Change::default())
    }

    /// Signs in by email address and password.
    pub fn sign_in(&self, email: &str, password: &str) -> Result<Session, Error> {
        let email = account::email(email)?;
        if password.is_empty() {
            return Err(Refusal::MissingPassword.into());
        }
        // Which of the two was wrong is nobody's business, as with Firebase's default protection.
        let found = self.state().accounts.by_email(&email);
        let Some((user_id, account)) = found else {
            // It takes as long as a wrong password.
            password::Hash::of(password)?;
            return Err(Refusal::InvalidLoginCredentials.into());
        };
        if account.is_disabled() {
            return Err(Refusal::UserDisabled.into());
        }
        if !account.password.is_some_and(|hash| hash.is_of(password)) {
            return Err(Refusal::InvalidLoginCredentials.into());
        }
        self.enter_again(user_id, Provider::Password)
    }

    /// Signs in by a token that an administrator has made; the account is made when it is missing.
    pub(crate) fn sign_in_by_custom_token(&self, token: &str) -> Result<(Session, IsNew), Error> {
        let claims = token.split('.').nth(1).ok_or(Refusal::InvalidCustomToken)?;
        let claims = URL_SAFE_NO_PAD.decode(claims).unwrap_or_default();
        let claims: Value = serde_json::from_slice(&claims).unwrap_or_default();
        let (user_id, claims) = claims::custom(&claims, self.now_secs())?;
        let account = Account::new(self.now_ms());
        let sign_in = SignIn { user_id, provider: Provider::Custom, claims };
        self.enter(sign_in, |accounts, user_id| {
            let is_new = accounts.by_id(user_id).is_none();
            if is_new {
                accounts.add(user_id, account)?;
            }
            Ok(IsNew(is_new))
        })
    }

    /// Exchanges a refresh token, which stays as it is, for a new ID token.
    pub fn refresh(&self, refresh_token: &str) -> Result<Session, Error> {
        let (grant, account) = self.state().accounts.granted(refresh_token)?;
        Ok(self.session(grant, &account, refresh_token.to_owned()))
    }

    /// Revokes every refresh token of an account, as the Admin SDK does: they have then expired.
    pub fn revoke(&self, user_id: &str) -> Result<(), Error> {
        let now = self.now_ms();
        self.change(|state| state.accounts.revoke(user_id, now))
    }

    /// Disables an account: it neither signs in nor refreshes any more.
    pub fn disable(&self, user_id: &str) -> Result<(), Error> {
        let standing = Some(Standing::Disabled);
        self.change_account(user_id, Change { standing, ..Change::default() }).map(drop)
    }

    /// A token for `user_id`, with or without an account, as from a custom sign-in.
    ///
    /// What Firebase reserves, `custom_claims` cannot replace; [`Issuer::sign`] can.
    pub fn id_token(&self, user_id: &str, custom_claims: &Map<String, Value>) -> String {
        let account = self.state().accounts.by_id(user_id);
        let account = account.unwrap_or_else(|| Account::new(self.now_ms()));
        let claims = Claims::of(&account, user_id, Provider::Custom, self.now_secs());
        let claims = claims.with_custom(custom_claims).with_custom(&account.custom_claims);
        self.id_token_of(&claims)
    }

    /// Whose a token of ours is, if it is good.
    pub(crate) fn holder(&self, id_token: &str) -> Result<Holder, Refusal> {
        let now = self.now_secs();
        let state = self.state();
        let claims = state.keys.verify(id_token, now).ok_or(Refusal::InvalidIdToken)?;
        let said = claims::said(&claims, &self.issuer_url(), self.project(), now)?;
        let account = state.accounts.by_id(&said.user_id).ok_or(Refusal::UserNotFound)?;
        if account.is_disabled() {
            return Err(Refusal::UserDisabled);
        }
        if account.has_revoked(said.issued_secs) {
            return Err(Refusal::TokenExpired);
        }
        Ok(Holder { user_id: said.user_id, account, auth_secs: said.auth_secs })
    }

    /// Refuses whoever signed in too long ago to change what they sign in with.
    pub(crate) fn check_is_recent(&self, holder: &Holder) -> Result<(), Refusal> {
        if self.now_secs().saturating_sub(holder.auth_secs) > RECENT_SECS {
            return Err(Refusal::CredentialTooOld);
        }
        Ok(())
    }

    /// Signs in an account that is there, whatever it has shown for it.
    pub(crate) fn enter_again(
        &self,
        user_id: String,
        provider: Provider,
    ) -> Result<Session, Error> {
        let sign_in = SignIn { user_id, provider, claims: Map::new() };
        self.enter(sign_in, |_accounts, _user_id| Ok(())).map(|(session, ())| session)
    }

    /// Makes an account and signs it in.
    fn admit(&self, provider: Provider, change: Change) -> Result<Session, Error> {
        let mut account = Account::new(self.now_ms());
        account.change(change);
        let sign_in = SignIn { user_id: chance::user_id()?, provider, claims: Map::new() };
        let entered = self.enter(sign_in, |accounts, user_id| accounts.add(user_id, account));
        entered.map(|(session, ())| session)
    }

    /// Signs an account in once `prepare` has done its part, or does nothing.
    fn enter<T>(
        &self,
        sign_in: SignIn,
        prepare: impl FnOnce(&mut Accounts, &str) -> Result<T, Refusal>,
    ) -> Result<(Session, T), Error> {
        let (refresh_token, now) = (chance::token()?, self.now_ms());
        let entered = self.change(|state| {
            let prepared = prepare(&mut state.accounts, &sign_in.user_id)?;
            let (grant, account) = state.accounts.grant(sign_in, &refresh_token, now)?;
            Ok((grant, account, prepared))
        });
        let (grant, account, prepared) = entered?;
        Ok((self.session(grant, &account, refresh_token), prepared))
    }

    /// Gives an account an email address and a password. Where it has either, only to whoever has
    /// signed in lately.
    pub(crate) fn link(
        &self,
        id_token: &str,
        email: &str,
        password: &str,
    ) -> Result<Session, Error> {
        let holder = self.holder(id_token)?;
        if holder.account.has_credentials() {
            self.check_is_recent(&holder)?;
        }
        let user_id = holder.user_id;
        let email = Some(account::email(email)?);
        password::check(password)?;
        let password = Some(password::Hash::of(password)?);
        self.change_account(&user_id, Change { email, password, ..Change::default() })?;
        self.enter_again(user_id, Provider::Password)
    }

    fn session(&self, grant: Grant, account: &Account, refresh_token: String) -> Session {
        let Grant { user_id, provider, claims: custom, auth_secs, .. } = grant;
        // Those of the sign-in come before those of the account.
        let claims = Claims::of(account, &user_id, provider, auth_secs).with_custom(&custom);
        let id_token = self.id_token_of(&claims.with_custom(&account.custom_claims));
        let email = account.address().map(str::to_owned);
        Session { user_id, email, id_token, refresh_token }
    }

    fn id_token_of(&self, claims: &Claims) -> String {
        self.token(&claims.issued(&self.issuer_url(), self.project(), self.now_secs()))
    }
}

/// Whether an account was made for a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IsNew(pub(crate) bool);

// Written by hand: tokens are not for logs.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}
