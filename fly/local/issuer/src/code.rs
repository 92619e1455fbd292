//! The codes that Firebase sends by email: here they are kept, and shown to whoever asks.

use crate::Refusal;

/// For how long a code is good.
const CODE_SECS: i64 = 3600;

/// How many codes are kept; the oldest makes way.
const CODES_MAX: usize = 1000;

/// Codes that nobody has used yet, the oldest first.
#[derive(Clone, Default)]
pub(crate) struct Codes(Vec<Code>);

/// One code.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Code {
    /// What stands in the link.
    pub(crate) secret: String,
    pub(crate) email: String,
    pub(crate) purpose: Purpose,
    expires_secs: i64,
}

/// What a code is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    ResetPassword,
    VerifyEmail,
}

impl Codes {
    pub(crate) fn add(&mut self, code: Code) {
        if self.0.len() >= CODES_MAX {
            self.0.remove(0);
        }
        self.0.push(code);
    }

    /// A code that is good for something, and stays so.
    pub(crate) fn find(&self, code: &str, now_secs: i64) -> Result<&Code, Refusal> {
        let found = self.0.iter().find(|known| known.secret == code);
        match found.ok_or(Refusal::InvalidOobCode)? {
            old if old.expires_secs <= now_secs => Err(Refusal::ExpiredOobCode),
            good => Ok(good),
        }
    }

    /// Uses a code up: with it go all that were sent to the same address for the same purpose.
    pub(crate) fn take(
        &mut self,
        code: &str,
        purpose: Purpose,
        now_secs: i64,
    ) -> Result<String, Refusal> {
        let found = self.find(code, now_secs)?;
        if found.purpose != purpose {
            return Err(Refusal::InvalidOobCode);
        }
        let email = found.email.clone();
        self.0.retain(|code| code.email != email || code.purpose != purpose);
        Ok(email)
    }

    pub(crate) fn all(&self) -> &[Code] {
        &self.0
    }
}

// === impl Code ===

impl Code {
    pub(crate) fn new(secret: String, email: String, purpose: Purpose, now_secs: i64) -> Self {
        Self { secret, email, purpose, expires_secs: now_secs + CODE_SECS }
    }
}

// === impl Purpose ===

impl Purpose {
    /// As Google names it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ResetPassword => "PASSWORD_RESET",
            Self::VerifyEmail => "VERIFY_EMAIL",
        }
    }

    /// As links name it.
    pub(crate) fn mode(self) -> &'static str {
        match self {
            Self::ResetPassword => "resetPassword",
            Self::VerifyEmail => "verifyEmail",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_good_once_for_an_hour_and_for_one_thing() {
        let mut codes = Codes::default();
        for code in ["one", "two"] {
            codes.add(Code::new(code.into(), "a@b".into(), Purpose::ResetPassword, 0));
        }
        assert!(codes.find("one", CODE_SECS - 1).is_ok());
        assert_eq!(codes.find("one", CODE_SECS).err(), Some(Refusal::ExpiredOobCode));
        assert_eq!(codes.take("one", Purpose::VerifyEmail, 0), Err(Refusal::InvalidOobCode));
        assert_eq!(codes.take("one", Purpose::ResetPassword, 0).unwrap(), "a@b");
        for used in ["one", "two"] {
            assert_eq!(codes.find(used, 0).err(), Some(Refusal::InvalidOobCode), "{used}");
        }
    }

    #[test]
    fn the_oldest_code_makes_way() {
        let mut codes = Codes::default();
        for number in 0..=CODES_MAX {
            codes.add(Code::new(number.to_string(), "a@b".into(), Purpose::VerifyEmail, 0));
        }
        assert_eq!(codes.all().len(), CODES_MAX);
        assert_eq!(codes.find("0", 0).err(), Some(Refusal::InvalidOobCode));
    }
}
