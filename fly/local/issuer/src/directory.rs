//! Who there is: making accounts, looking them up, changing and removing them.

use crate::{
    Error, Issuer, Refusal,
    account::{Account, Change},
    accounts::Accounts,
    chance,
};

impl Issuer {
    /// Makes an account without signing it in; its id, which may be chosen.
    pub(crate) fn add(&self, user_id: Option<String>, change: Change) -> Result<String, Error> {
        let user_id = match user_id {
            Some(user_id) => user_id,
            None => chance::user_id()?,
        };
        let mut account = Account::new(self.now_ms());
        account.change(change);
        self.change(|state| state.accounts.add(&user_id, account))?;
        Ok(user_id)
    }

    pub(crate) fn account(&self, user_id: &str) -> Result<Account, Refusal> {
        self.state().accounts.by_id(user_id).ok_or(Refusal::UserNotFound)
    }

    /// Whoever has one of these ids or addresses, each once.
    pub(crate) fn find(&self, ids: &[String], emails: &[String]) -> Vec<(String, Account)> {
        let state = self.state();
        let by_id = ids.iter().filter_map(|id| Some((id.clone(), state.accounts.by_id(id)?)));
        let by_email =
            emails.iter().filter_map(|email| state.accounts.by_email(&email.to_lowercase()));
        let mut found: Vec<_> = by_id.chain(by_email).collect();
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        found.dedup_by(|(one, _), (other, _)| one == other);
        found
    }

    /// So many accounts behind this one, in the order of their ids.
    pub(crate) fn page(&self, user_id: &str, count: usize) -> Vec<(String, Account)> {
        self.state().accounts.after(user_id, count)
    }

    pub(crate) fn count(&self) -> usize {
        self.state().accounts.len()
    }

    pub(crate) fn remove_all(&self) -> Result<(), Error> {
        self.change(|state| {
            state.accounts = Accounts::default();
            Ok(())
        })
    }

    pub(crate) fn change_account(&self, user_id: &str, change: Change) -> Result<Account, Error> {
        let now = self.now_ms();
        self.change(|state| state.accounts.change(user_id, change, now))
    }

    pub(crate) fn remove(&self, user_id: &str) -> Result<(), Error> {
        self.change(|state| state.accounts.remove(user_id))
    }
}
