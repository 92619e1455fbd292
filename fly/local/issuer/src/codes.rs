//! Codes: asking for one, and what each is good for.

use crate::{
    Error, Issuer, Refusal,
    account::{self, Change},
    chance,
    code::{Code, Purpose},
    password,
};

impl Issuer {
    /// A new code for whoever has this address, which is in the one case they are compared in.
    pub(crate) fn make_code(
        &self,
        email: &str,
        purpose: Purpose,
        continue_url: Option<String>,
    ) -> Result<Code, Error> {
        let email = account::email(email)?;
        let code = Code::new(chance::code()?, email, purpose, self.now_secs());
        let code = code.going_on(continue_url);
        let mut state = self.state();
        state.accounts.by_email(&code.email).ok_or(Refusal::EmailNotFound)?;
        // In memory alone, so nothing is saved.
        state.codes.add(code.clone());
        Ok(code)
    }

    /// A code that is good for something, and stays so.
    pub(crate) fn code(&self, code: &str) -> Result<Code, Refusal> {
        self.state().codes.find(code, self.now_secs()).cloned()
    }

    pub(crate) fn codes(&self) -> Vec<Code> {
        self.state().codes.all().to_vec()
    }

    /// Sets a new password for a code, which is then used up.
    pub(crate) fn reset_password(&self, code: &str, password: &str) -> Result<String, Error> {
        self.code(code)?;
        password::check(password)?;
        let password = Some(password::Hash::of(password)?);
        // Whoever has the code has read what was sent there.
        let is_email_verified = Some(true);
        let change = Change { is_email_verified, password, ..Change::default() };
        self.use_code(code, Purpose::ResetPassword, change)
    }

    /// Notes that an address is its owner's, for a code, which is then used up.
    pub(crate) fn verify_email(&self, code: &str) -> Result<String, Error> {
        let change = Change { is_email_verified: Some(true), ..Change::default() };
        self.use_code(code, Purpose::VerifyEmail, change)
    }

    /// Whose code it was.
    fn use_code(&self, code: &str, purpose: Purpose, change: Change) -> Result<String, Error> {
        let (now_secs, now_ms) = (self.now_secs(), self.now_ms());
        self.change(|state| {
            let email = state.codes.take(code, purpose, now_secs)?;
            let (user_id, account) =
                state.accounts.by_email(&email).ok_or(Refusal::UserNotFound)?;
            if account.is_disabled() {
                return Err(Refusal::UserDisabled);
            }
            state.accounts.change(&user_id, change, now_ms)?;
            Ok(user_id)
        })
    }
}
