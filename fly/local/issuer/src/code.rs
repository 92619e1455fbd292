//! The codes that Firebase sends by email: here they are kept, and shown to whoever asks.

use axum::http::Uri;

use crate::Refusal;

/// For how long a code is good.
const CODE_SECS: i64 = 3600;

const CONTINUE_URL_BYTES_MAX: usize = 2048;

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
    /// Where to go on once it is used.
    pub(crate) continue_url: Option<String>,
    expires_secs: i64,
}

/// What a code is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    ResetPassword,
    VerifyEmail,
}

/// Reads where to go on, as it stands in a header.
pub(crate) fn continue_url(text: String) -> Result<String, Refusal> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    let is_short = text.len() <= CONTINUE_URL_BYTES_MAX;
    let is_web = |url: Uri| {
        matches!(url.scheme_str(), Some("http" | "https"))
            && url.host().is_some_and(|host| !host.is_empty())
    };
    if !is_plain || !is_short || !text.parse().is_ok_and(is_web) {
        return Err(Refusal::InvalidContinueUri);
    }
    Ok(text)
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
        Self { secret, email, purpose, continue_url: None, expires_secs: now_secs + CODE_SECS }
    }

    /// The same, from which one goes on there.
    pub(crate) fn going_on(self, continue_url: Option<String>) -> Self {
        Self { continue_url, ..self }
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
    fn one_goes_on_in_the_web_alone() {
        for good in ["http://localhost:3000", "https://a.example/b?c=d&e=%20#f"] {
            assert_eq!(continue_url(good.into()).as_deref(), Ok(good));
        }
        let long = format!("http://a/{}", "b".repeat(CONTINUE_URL_BYTES_MAX));
        for bad in ["/a", "a.example", "http:", "http://", "javascript:alert(1)", "ftp://a", &long]
        {
            assert_eq!(continue_url(bad.into()), Err(Refusal::InvalidContinueUri), "{bad}");
        }
        for bad in ["http://a b", "http://a/\r\nSet-Cookie: b", "http://a/#\n", "http://a/ü"] {
            assert_eq!(continue_url(bad.into()), Err(Refusal::InvalidContinueUri), "{bad:?}");
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
