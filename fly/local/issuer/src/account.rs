//! One account: who it is, how it signs in, and what may be changed of it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Refusal, password};

const EMAIL_BYTES_MAX: usize = 254;

/// As much as Firebase keeps.
const CUSTOM_CLAIMS_CHARS_MAX: usize = 1000;

/// Names that Firebase refuses. Of the others, none replaces what a token says by itself.
const RESERVED: [&str; 16] = [
    "acr",
    "amr",
    "at_hash",
    "aud",
    "auth_time",
    "azp",
    "c_hash",
    "cnf",
    "exp",
    "firebase",
    "iat",
    "iss",
    "jti",
    "nbf",
    "nonce",
    "sub",
];

/// One account.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Account {
    /// None: anonymous, or signed in by custom tokens alone.
    pub(crate) email: Option<Email>,
    pub(crate) password: Option<password::Hash>,
    pub(crate) display_name: Option<String>,
    pub(crate) photo_url: Option<String>,
    /// Said in each of its tokens.
    pub(crate) custom_claims: Map<String, Value>,
    pub(crate) standing: Standing,
    pub(crate) created_ms: i64,
    pub(crate) signed_in_ms: i64,
    /// Sign-ins before this were revoked.
    pub(crate) valid_since_ms: i64,
}

/// An email address, and whether whoever has the account has shown that it is theirs.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Email {
    /// In lower case.
    pub(crate) address: String,
    pub(crate) is_verified: bool,
}

/// Whether an account may sign in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    #[default]
    Good,
    Disabled,
}

/// What is to be changed of an account. What is None stays.
#[derive(Default)]
pub(crate) struct Change {
    pub(crate) email: Option<String>,
    pub(crate) is_email_verified: Option<bool>,
    pub(crate) password: Option<password::Hash>,
    /// Empty: it has none any more.
    pub(crate) display_name: Option<String>,
    /// Empty: it has none any more.
    pub(crate) photo_url: Option<String>,
    pub(crate) custom_claims: Option<Map<String, Value>>,
    pub(crate) standing: Option<Standing>,
    /// Every sign-in until then is revoked.
    pub(crate) valid_since_secs: Option<i64>,
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

/// Reads custom claims, which travel as the text of a JSON object.
pub(crate) fn custom_claims(text: &str) -> Result<Map<String, Value>, Refusal> {
    if text.chars().count() > CUSTOM_CLAIMS_CHARS_MAX {
        return Err(Refusal::ClaimsTooLarge);
    }
    let Ok(claims) = serde_json::from_str::<Map<String, Value>>(text) else {
        return Err(Refusal::InvalidClaims);
    };
    match RESERVED.iter().find(|name| claims.contains_key(**name)) {
        Some(name) => Err(Refusal::ForbiddenClaim(name)),
        None => Ok(claims),
    }
}

// === impl Account ===

impl Account {
    pub(crate) fn new(now_ms: i64) -> Self {
        Self {
            email: None,
            password: None,
            display_name: None,
            photo_url: None,
            custom_claims: Map::new(),
            standing: Standing::Good,
            created_ms: now_ms,
            signed_in_ms: now_ms,
            valid_since_ms: now_ms,
        }
    }

    pub(crate) fn address(&self) -> Option<&str> {
        self.email.as_ref().map(|email| email.address.as_str())
    }

    /// Whether there is something to sign in with that could be replaced.
    pub(crate) fn has_credentials(&self) -> bool {
        self.email.is_some() || self.password.is_some()
    }

    pub(crate) fn is_disabled(&self) -> bool {
        self.standing == Standing::Disabled
    }

    /// Whether somebody who signed in then, or was given a token then, has been revoked since.
    pub(crate) fn has_revoked(&self, secs: i64) -> bool {
        secs < self.valid_since_ms.div_euclid(1000)
    }

    pub(crate) fn change(&mut self, change: Change) {
        if let Some(address) = change.email {
            let is_new = self.address() != Some(&address);
            let is_verified = self.email.as_ref().is_some_and(|email| email.is_verified);
            self.email = Some(Email { address, is_verified: is_verified && !is_new });
        }
        if let (Some(is_verified), Some(email)) = (change.is_email_verified, &mut self.email) {
            email.is_verified = is_verified;
        }
        self.password = change.password.or_else(|| self.password.take());
        let text = |new: Option<String>, old: Option<String>| match new {
            Some(new) => Some(new).filter(|new| !new.is_empty()),
            None => old,
        };
        self.display_name = text(change.display_name, self.display_name.take());
        self.photo_url = text(change.photo_url, self.photo_url.take());
        if let Some(claims) = change.custom_claims {
            self.custom_claims = claims;
        }
        self.standing = change.standing.unwrap_or(self.standing);
    }
}

// === impl Change ===

impl Change {
    /// Whether whoever signed in with what was before has to do it again.
    pub(crate) fn is_of_credentials(&self, account: &Account) -> bool {
        let moves = self.email.as_deref().is_some_and(|email| account.address() != Some(email));
        moves || self.password.is_some()
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
    fn custom_claims_are_a_small_object_without_reserved_names() {
        assert_eq!(custom_claims("{\"roles\":[\"admin\"]}").unwrap().len(), 1);
        assert_eq!(custom_claims("{\"sub\":\"root\"}"), Err(Refusal::ForbiddenClaim("sub")));
        for wrong in ["", "[]", "null", "{", "{} {}"] {
            assert_eq!(custom_claims(wrong), Err(Refusal::InvalidClaims), "{wrong:?}");
        }
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(1000));
        assert_eq!(custom_claims(&large), Err(Refusal::ClaimsTooLarge));
    }

    #[test]
    fn a_new_address_is_not_verified_and_an_empty_name_is_none() {
        let mut account = Account::new(0);
        let text = |text: &str| Some(text.to_owned());
        account.change(Change {
            email: text("a@b"),
            is_email_verified: Some(true),
            display_name: text("Ada"),
            ..Change::default()
        });
        assert!(account.email.as_ref().unwrap().is_verified);
        account.change(Change { email: text("a@b"), ..Change::default() });
        assert!(account.email.as_ref().unwrap().is_verified, "the same address is no news");
        assert_eq!(account.display_name.as_deref(), Some("Ada"));
        account.change(Change { email: text("c@d"), display_name: text(""), ..Change::default() });
        assert!(!account.email.as_ref().unwrap().is_verified);
        assert_eq!(account.display_name, None);
    }
}
