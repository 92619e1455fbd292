//! Who has an account, and who may refresh. Pure: no clock, no chance, no files.

use std::{collections::BTreeMap, ops::Bound};

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Refusal,
    account::{Account, Change, Provider},
};

/// How many accounts are kept.
pub(crate) const ACCOUNTS_MAX: usize = 10_000;

/// How many sign-ins of one account can be refreshed; the oldest makes way.
const GRANTS_PER_ACCOUNT_MAX: usize = 20;

/// How many sign-ins of deleted accounts are remembered, to say why they are no good.
const ORPHANS_MAX: usize = 1000;

/// All accounts.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Accounts {
    /// By user id.
    accounts: BTreeMap<String, Account>,
    /// By the hash of the refresh token: whoever reads the file cannot refresh.
    grants: BTreeMap<String, Grant>,
}

/// Who signs in, how, and with which claims of their custom token.
pub(crate) struct SignIn {
    pub(crate) user_id: String,
    pub(crate) provider: Provider,
    pub(crate) claims: Map<String, Value>,
}

/// What a refresh token stands for.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) user_id: String,
    pub(crate) provider: Provider,
    pub(crate) claims: Map<String, Value>,
    pub(crate) auth_secs: i64,
    is_revoked: bool,
    /// Counts up within an account: two sign-ins may share a second.
    number: u64,
}

impl Accounts {
    pub(crate) fn by_id(&self, user_id: &str) -> Option<Account> {
        self.accounts.get(user_id).cloned()
    }

    pub(crate) fn by_email(&self, email: &str) -> Option<(String, Account)> {
        let is_it = |account: &Account| account.address() == Some(email);
        let (user_id, account) = self.accounts.iter().find(|(_, account)| is_it(account))?;
        Some((user_id.clone(), account.clone()))
    }

    /// So many accounts behind this one, in the order of their ids.
    pub(crate) fn after(&self, user_id: &str, count: usize) -> Vec<(String, Account)> {
        let behind = (Bound::Excluded(user_id), Bound::Unbounded);
        let behind = self.accounts.range::<str, _>(behind).take(count);
        behind.map(|(user_id, account)| (user_id.clone(), account.clone())).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.accounts.len()
    }

    pub(crate) fn check_can_add(&self, email: Option<&str>) -> Result<(), Refusal> {
        match email {
            Some(email) if self.by_email(email).is_some() => Err(Refusal::EmailExists),
            _ if self.accounts.len() >= ACCOUNTS_MAX => Err(Refusal::QuotaExceeded),
            _ => Ok(()),
        }
    }

    pub(crate) fn add(&mut self, user_id: &str, account: Account) -> Result<(), Refusal> {
        self.check_can_add(account.address())?;
        if self.accounts.contains_key(user_id) {
            return Err(Refusal::DuplicateLocalId);
        }
        self.accounts.insert(user_id.to_owned(), account);
        Ok(())
    }

    pub(crate) fn remove(&mut self, user_id: &str) -> Result<(), Refusal> {
        self.accounts.remove(user_id).ok_or(Refusal::UserNotFound)?;
        // Revoked, so that whoever is given the same id later does not inherit them.
        for grant in self.grants.values_mut().filter(|grant| grant.user_id == user_id) {
            grant.is_revoked = true;
        }
        let is_orphan = |grant: &Grant| !self.accounts.contains_key(&grant.user_id);
        if self.grants.values().filter(|grant| is_orphan(grant)).count() > ORPHANS_MAX {
            self.grants.retain(|_, grant| self.accounts.contains_key(&grant.user_id));
        }
        Ok(())
    }

    /// Notes that an account has just signed in, and that `refresh_token` continues it.
    pub(crate) fn grant(
        &mut self,
        sign_in: SignIn,
        refresh_token: &str,
        now_ms: i64,
    ) -> Result<(Grant, Account), Refusal> {
        let SignIn { user_id, provider, claims } = sign_in;
        let account = self.accounts.get_mut(&user_id).ok_or(Refusal::UserNotFound)?;
        if account.is_disabled() {
            return Err(Refusal::UserDisabled);
        }
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

        let auth_secs = now_ms.div_euclid(1000);
        let grant = Grant { user_id, provider, claims, auth_secs, is_revoked: false, number };
        self.grants.insert(hash(refresh_token), grant.clone());
        Ok((grant, account))
    }

    /// What a refresh token stands for, if it still does.
    pub(crate) fn granted(&self, refresh_token: &str) -> Result<(Grant, Account), Refusal> {
        let grant = self.grants.get(&hash(refresh_token)).ok_or(Refusal::InvalidRefreshToken)?;
        let account = self.accounts.get(&grant.user_id).ok_or(Refusal::UserNotFound)?;
        match (account.is_disabled(), grant.is_revoked) {
            (true, _) => Err(Refusal::UserDisabled),
            (false, true) => Err(Refusal::TokenExpired),
            (false, false) => Ok((grant.clone(), account.clone())),
        }
    }

    /// Changes an account. Whatever its sign-ins rested on, if it changes, revokes them.
    pub(crate) fn change(
        &mut self,
        user_id: &str,
        change: Change,
        now_ms: i64,
    ) -> Result<Account, Refusal> {
        let account = self.accounts.get(user_id).ok_or(Refusal::UserNotFound)?;
        let owner = change.email.as_deref().and_then(|email| self.by_email(email));
        if owner.is_some_and(|(owner, _)| owner != user_id) {
            return Err(Refusal::EmailExists);
        }
        let since_ms = match change.valid_since_secs {
            Some(secs) => Some(secs.saturating_mul(1000)),
            None => change.is_of_credentials(account).then_some(now_ms),
        };
        if let Some(since_ms) = since_ms {
            self.revoke(user_id, since_ms)?;
        }
        let account = self.accounts.get_mut(user_id).ok_or(Refusal::UserNotFound)?;
        account.change(change);
        Ok(account.clone())
    }

    /// Revokes what was granted until then.
    pub(crate) fn revoke(&mut self, user_id: &str, since_ms: i64) -> Result<(), Refusal> {
        let account = self.accounts.get_mut(user_id).ok_or(Refusal::UserNotFound)?;
        account.valid_since_ms = since_ms;
        // Marked one by one: compared later, a sign-in within the same second would slip through.
        let is_theirs = |grant: &&mut Grant| {
            grant.user_id == user_id && grant.auth_secs <= since_ms.div_euclid(1000)
        };
        for grant in self.grants.values_mut().filter(is_theirs) {
            grant.is_revoked = true;
        }
        Ok(())
    }
}

fn hash(refresh_token: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, refresh_token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_last_account() {
        let mut accounts = Accounts::default();
        for number in 0..ACCOUNTS_MAX {
            accounts.add(&number.to_string(), Account::new(0)).unwrap();
        }
        let refused = accounts.add("one more", Account::new(0)).unwrap_err();
        assert_eq!(refused, Refusal::QuotaExceeded);
        assert!(refused.to_string().contains("10000 accounts"), "{refused}");
    }

    #[test]
    fn the_oldest_sign_in_makes_way() {
        let mut accounts = of(["alice", "bob"]);
        sign_in(&mut accounts, "bob", "bob's", 0);
        for number in 0..=GRANTS_PER_ACCOUNT_MAX {
            sign_in(&mut accounts, "alice", &number.to_string(), 0);
        }
        assert!(matches!(accounts.granted("0"), Err(Refusal::InvalidRefreshToken)));
        for kept in ["1", "20", "bob's"] {
            assert!(accounts.granted(kept).is_ok(), "{kept}");
        }
    }

    #[test]
    fn what_was_granted_until_then_is_revoked_and_nothing_later() {
        let mut accounts = of(["alice"]);
        sign_in(&mut accounts, "alice", "first", 10_000);
        sign_in(&mut accounts, "alice", "same second", 20_999);
        sign_in(&mut accounts, "alice", "later", 21_000);
        let change = Change { valid_since_secs: Some(20), ..Change::default() };
        let alice = accounts.change("alice", change, 99_000).unwrap();
        assert_eq!(alice.valid_since_ms, 20_000);
        assert!((alice.has_revoked(19), alice.has_revoked(20)) == (true, false));
        for revoked in ["first", "same second"] {
            let refused = accounts.granted(revoked).err();
            assert_eq!(refused, Some(Refusal::TokenExpired), "{revoked}");
        }
        assert!(accounts.granted("later").is_ok());
    }

    #[test]
    fn whoever_is_removed_leaves_nothing_to_whoever_has_their_id_next() {
        let mut accounts = of(["alice", "bob"]);
        sign_in(&mut accounts, "alice", "hers", 0);
        sign_in(&mut accounts, "bob", "his", 0);
        accounts.remove("alice").unwrap();
        assert_eq!(accounts.remove("alice"), Err(Refusal::UserNotFound));
        assert_eq!(accounts.granted("hers").err(), Some(Refusal::UserNotFound));
        accounts.add("alice", Account::new(0)).unwrap();
        assert_eq!(accounts.granted("hers").err(), Some(Refusal::TokenExpired));
        assert!(accounts.granted("his").is_ok());
    }

    #[test]
    fn those_who_were_removed_are_forgotten_in_the_end() {
        let mut accounts = of(["bob"]);
        sign_in(&mut accounts, "bob", "his", 0);
        for number in 0..=ORPHANS_MAX {
            let name = number.to_string();
            accounts.add(&name, Account::new(0)).unwrap();
            sign_in(&mut accounts, &name, &name, 0);
            accounts.remove(&name).unwrap();
        }
        assert_eq!(accounts.grants.len(), 1);
        assert!(accounts.granted("his").is_ok());
    }

    fn of<const N: usize>(names: [&str; N]) -> Accounts {
        let mut accounts = Accounts::default();
        for name in names {
            accounts.add(name, Account::new(0)).unwrap();
        }
        accounts
    }

    fn sign_in(accounts: &mut Accounts, user_id: &str, refresh_token: &str, now_ms: i64) {
        let (user_id, claims) = (user_id.to_owned(), Map::new());
        let sign_in = SignIn { user_id, provider: Provider::Anonymous, claims };
        accounts.grant(sign_in, refresh_token, now_ms).unwrap();
    }
}
