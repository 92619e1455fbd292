//! Who has an account, and who may refresh. Pure: no clock, no chance, no files.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::{Refusal, password};

/// How many accounts are kept.
pub(crate) const ACCOUNTS_MAX: usize = 10_000;

/// How many sign-ins of one account can be refreshed; the oldest makes way.
const GRANTS_PER_ACCOUNT_MAX: usize = 20;

const EMAIL_BYTES_MAX: usize = 254;

/// All accounts.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Accounts {
    /// By user id.
    accounts: BTreeMap<String, Account>,
    /// By the hash of the refresh token: whoever reads the file cannot refresh.
    grants: BTreeMap<String, Grant>,
}

/// One account.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Account {
    /// In lower case. None: anonymous.
    pub(crate) email: Option<String>,
    pub(crate) password: Option<password::Hash>,
    pub(crate) is_disabled: bool,
    pub(crate) created_ms: i64,
    pub(crate) signed_in_ms: i64,
    /// Sign-ins before this were revoked.
    pub(crate) valid_since_ms: i64,
}

/// What a refresh token stands for.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) user_id: String,
    pub(crate) provider: Provider,
    pub(crate) auth_secs: i64,
    is_revoked: bool,
    /// Counts up within an account: two sign-ins may share a second.
    number: u64,
}

/// How somebody signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Provider {
    Password,
    Anonymous,
    Custom,
}

/// Reads an email address, in the one case they are compared in.
pub(crate) fn email(text: &str) -> Result<String, Refusal> {
    let is_part = |part: &str| !part.is_empty() && !part.contains(['@', ' ']);
    let is_email = text.split_once('@').is_some_and(|(who, host)| is_part(who) && is_part(host));
    if !is_email || text.len() > EMAIL_BYTES_MAX || text.contains(char::is_control) {
        return Err(Refusal::InvalidEmail);
    }
    Ok(text.to_lowercase())
}

impl Accounts {
    pub(crate) fn by_id(&self, user_id: &str) -> Option<Account> {
        self.accounts.get(user_id).cloned()
    }

    pub(crate) fn by_email(&self, email: &str) -> Option<(String, Account)> {
        let is_it = |account: &Account| account.email.as_deref() == Some(email);
        let (user_id, account) = self.accounts.iter().find(|(_, account)| is_it(account))?;
        Some((user_id.clone(), account.clone()))
    }

    pub(crate) fn check_can_add(&self, email: Option<&str>) -> Result<(), Refusal> {
        match email {
            Some(email) if self.by_email(email).is_some() => Err(Refusal::EmailExists),
            _ if self.accounts.len() >= ACCOUNTS_MAX => Err(Refusal::QuotaExceeded),
            _ => Ok(()),
        }
    }

    pub(crate) fn add(&mut self, user_id: &str, account: Account) -> Result<(), Refusal> {
        self.check_can_add(account.email.as_deref())?;
        self.accounts.insert(user_id.to_owned(), account);
        Ok(())
    }

    /// Notes that an account has just signed in, and that `refresh_token` continues it.
    pub(crate) fn grant(
        &mut self,
        user_id: &str,
        provider: Provider,
        refresh_token: &str,
        now_ms: i64,
    ) -> Result<Account, Refusal> {
        let account = self.accounts.get_mut(user_id).ok_or(Refusal::UserNotFound)?;
        account.signed_in_ms = now_ms;
        let account = account.clone();

        let theirs = self.grants.iter().filter(|(_, grant)| grant.user_id == user_id);
        let mut theirs: Vec<_> = theirs.map(|(hash, grant)| (grant.number, hash.clone())).collect();
        theirs.sort_unstable();
        let number = theirs.last().map_or(0, |(number, _)| number + 1);
        let surplus = (theirs.len() + 1).saturating_sub(GRANTS_PER_ACCOUNT_MAX);
        for (_, hash) in theirs.iter().take(surplus) {
            self.grants.remove(hash);
        }

        let (user_id, auth_secs) = (user_id.to_owned(), now_ms.div_euclid(1000));
        let grant = Grant { user_id, provider, auth_secs, is_revoked: false, number };
        self.grants.insert(hash(refresh_token), grant);
        Ok(account)
    }

    /// What a refresh token stands for, if it still does.
    pub(crate) fn granted(&self, refresh_token: &str) -> Result<(Grant, Account), Refusal> {
        let grant = self.grants.get(&hash(refresh_token)).ok_or(Refusal::InvalidRefreshToken)?;
        let account = self.accounts.get(&grant.user_id).ok_or(Refusal::UserNotFound)?;
        match (account.is_disabled, grant.is_revoked) {
            (true, _) => Err(Refusal::UserDisabled),
            (false, true) => Err(Refusal::TokenExpired),
            (false, false) => Ok((grant.clone(), account.clone())),
        }
    }

    pub(crate) fn revoke(&mut self, user_id: &str, now_ms: i64) -> Result<(), Refusal> {
        let account = self.accounts.get_mut(user_id).ok_or(Refusal::UserNotFound)?;
        account.valid_since_ms = now_ms;
        // Marked one by one: by time alone, a sign-in within the same second would slip through.
        for grant in self.grants.values_mut().filter(|grant| grant.user_id == user_id) {
            grant.is_revoked = true;
        }
        Ok(())
    }

    pub(crate) fn disable(&mut self, user_id: &str) -> Result<(), Refusal> {
        let account = self.accounts.get_mut(user_id).ok_or(Refusal::UserNotFound)?;
        account.is_disabled = true;
        Ok(())
    }
}

fn hash(refresh_token: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, refresh_token.as_bytes()))
}

// === impl Account ===

impl Account {
    pub(crate) fn new(
        email: Option<String>,
        password: Option<password::Hash>,
        now_ms: i64,
    ) -> Self {
        Self {
            email,
            password,
            is_disabled: false,
            created_ms: now_ms,
            signed_in_ms: now_ms,
            valid_since_ms: now_ms,
        }
    }
}

// === impl Provider ===

impl Provider {
    /// As tokens name it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Anonymous => "anonymous",
            Self::Custom => "custom",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_in_lower_case() {
        assert_eq!(email("Alice@Example.COM").unwrap(), "alice@example.com");
        for wrong in ["", "alice", "@b", "a@", "a@b@c", "a b@c", "a@b\n"] {
            assert_eq!(email(wrong), Err(Refusal::InvalidEmail), "{wrong:?}");
        }
        assert_eq!(email(&format!("a@{}", "b".repeat(300))), Err(Refusal::InvalidEmail));
    }

    #[test]
    fn there_is_a_last_account() {
        let mut accounts = Accounts::default();
        for number in 0..ACCOUNTS_MAX {
            accounts.add(&number.to_string(), Account::new(None, None, 0)).unwrap();
        }
        let refused = accounts.add("one more", Account::new(None, None, 0)).unwrap_err();
        assert_eq!(refused, Refusal::QuotaExceeded);
        assert!(refused.to_string().contains("10000 accounts"), "{refused}");
    }

    #[test]
    fn the_oldest_sign_in_makes_way() {
        let mut accounts = Accounts::default();
        accounts.add("alice", Account::new(None, None, 0)).unwrap();
        accounts.add("bob", Account::new(None, None, 0)).unwrap();
        accounts.grant("bob", Provider::Anonymous, "bob's", 0).unwrap();
        for number in 0..=GRANTS_PER_ACCOUNT_MAX {
            accounts.grant("alice", Provider::Anonymous, &number.to_string(), 0).unwrap();
        }
        assert!(matches!(accounts.granted("0"), Err(Refusal::InvalidRefreshToken)));
        for kept in ["1", "20", "bob's"] {
            assert!(accounts.granted(kept).is_ok(), "{kept}");
        }
    }
}
