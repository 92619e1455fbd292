//! The service account: what an administrator's program shows, and what it is given for it, as with
//! Google (RFC 7523).

use serde_json::{Value, json};

use crate::{Error, Issuer, State, chance, key::Key};

/// Where its assertions are exchanged, below wherever the issuer answers.
pub(crate) const TOKEN_PATH: &str = "/token";

/// For how long an access token is good, as with Google.
pub(crate) const ACCESS_SECS: i64 = 3600;

/// For how long an assertion may be good in all.
const ASSERTION_SECS_MAX: i64 = 3600;

/// How far ahead of ours the clock of whoever asks may be.
const SKEW_SECS: i64 = 30;

/// How many access tokens are known at a time; the oldest makes way.
const TOKENS_MAX: usize = 100;

/// What accounts are administered under; one of them is enough.
const SCOPES: [&str; 3] = [
    "https://www.googleapis.com/auth/identitytoolkit",
    "https://www.googleapis.com/auth/firebase",
    "https://www.googleapis.com/auth/cloud-platform",
];

/// Access tokens, each with the second in which it ends.
#[derive(Clone, Default)]
pub(crate) struct AccessTokens(Vec<(String, i64)>);

/// Why there is no access token, in a few words for whoever runs this.
#[derive(Debug)]
pub(crate) enum Denied {
    /// What was shown is not good.
    Grant(&'static str),
    /// None could be made.
    Failed(Error),
}

impl AccessTokens {
    fn add(&mut self, token: String, now_secs: i64) {
        self.0.retain(|(_token, ends_secs)| now_secs < *ends_secs);
        if self.0.len() == TOKENS_MAX {
            self.0.remove(0);
        }
        self.0.push((token, now_secs + ACCESS_SECS));
    }

    fn holds(&self, token: &str, now_secs: i64) -> bool {
        self.0.iter().any(|(known, ends_secs)| known == token && now_secs < *ends_secs)
    }
}

impl Issuer {
    /// The key file of a service account that may administer this issuer, in JSON, as Google hands
    /// them out. `url` is where the issuer answers. The account is made when it is first asked for.
    pub fn service_account(&self, url: &str) -> Result<String, Error> {
        let key = self.state().service_account.clone();
        let key = match key {
            Some(key) => key,
            None => self.make_service_account()?,
        };
        let file = json!({
            "type": "service_account",
            "project_id": self.project(),
            "private_key_id": key.id(),
            "private_key": key.pem(),
            "client_email": self.service_account_email(),
            "token_uri": format!("{}{TOKEN_PATH}", url.trim_end_matches('/')),
        });
        Ok(file.to_string())
    }

    fn make_service_account(&self) -> Result<Key, Error> {
        let fresh = Key::generate()?;
        // Somebody else may have been first.
        self.change(|state| Ok(state.service_account.get_or_insert(fresh).clone()))
    }

    fn service_account_email(&self) -> String {
        format!("administrator@{}.iam.gserviceaccount.com", self.project())
    }

    /// An access token for an assertion that the service account signed for `audience`.
    pub(crate) fn grant_access(&self, assertion: &str, audience: &str) -> Result<String, Denied> {
        let token = chance::token().map_err(Denied::Failed)?;
        let (email, now) = (self.service_account_email(), self.now_secs());
        let mut state = self.state();
        check(&state, assertion, [&email, audience], now).map_err(Denied::Grant)?;
        // In memory alone, so nothing is saved.
        state.access_tokens.add(token.clone(), now);
        Ok(token)
    }

    pub(crate) fn is_access_token(&self, token: &str) -> bool {
        self.state().access_tokens.holds(token, self.now_secs())
    }
}

/// Whether an assertion is the account's, for us, and of now.
fn check(
    state: &State,
    assertion: &str,
    [email, audience]: [&str; 2],
    now_secs: i64,
) -> Result<(), &'static str> {
    let key = state.service_account.as_ref().ok_or("there is no service account")?;
    let claims = key.verify(assertion).ok_or("the signature is not the account's")?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let secs = |name: &str| claims.get(name).and_then(Value::as_i64);
    let is_known = |scope: &str| SCOPES.contains(&scope);
    if text("iss") != Some(email) || text("sub").is_some_and(|sub| sub != email) {
        return Err("the account is another");
    }
    if text("aud") != Some(audience) {
        return Err("the audience is another");
    }
    if !text("scope").is_some_and(|scopes| scopes.split(' ').any(is_known)) {
        return Err("the scopes do not let accounts be administered");
    }
    let (Some(issued), Some(expires)) = (secs("iat"), secs("exp")) else {
        return Err("the times are missing");
    };
    let is_short = expires.saturating_sub(issued) <= ASSERTION_SECS_MAX;
    if now_secs >= expires || issued > now_secs.saturating_add(SKEW_SECS) || !is_short {
        return Err("the times are not good");
    }
    Ok(())
}
