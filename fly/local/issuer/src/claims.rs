//! What tokens say: the claims of Firebase's, of a function's own, and of the custom ones we take.

use serde_json::{Map, Value, json};

use crate::{
    Refusal, TOKEN_SECS,
    account::{Account, Provider},
};

/// For how long a function's token is good.
pub(crate) const SERVICE_SECS: i64 = 600;

/// Whom custom tokens are for: the one audience that Google gives them.
const CUSTOM_AUDIENCE: &str =
    "https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit";

const USER_ID_CHARS_MAX: usize = 128;

/// The claims about a person; who issued them, and when, is added last.
pub(crate) struct Claims(Map<String, Value>);

/// What an ID token of ours says of its holder.
pub(crate) struct Said {
    pub(crate) user_id: String,
    pub(crate) auth_secs: i64,
    pub(crate) issued_secs: i64,
}

impl Claims {
    pub(crate) fn of(account: &Account, user_id: &str, provider: Provider, auth_secs: i64) -> Self {
        let mut claims = Map::new();
        let mut identities = Map::new();
        if let Some(email) = &account.email {
            claims.insert("email".into(), json!(email.address));
            claims.insert("email_verified".into(), json!(email.is_verified));
            identities.insert("email".into(), json!([email.address]));
        }
        if let Some(name) = &account.display_name {
            claims.insert("name".into(), json!(name));
        }
        if let Some(picture) = &account.photo_url {
            claims.insert("picture".into(), json!(picture));
        }
        // Google names the provider twice for anonymous people, and for nobody else.
        if provider == Provider::Anonymous {
            claims.insert("provider_id".into(), json!(provider.as_str()));
        }
        let firebase = json!({ "identities": identities, "sign_in_provider": provider.as_str() });
        claims.insert("firebase".into(), firebase);
        claims.insert("auth_time".into(), json!(auth_secs));
        claims.insert("user_id".into(), json!(user_id));
        claims.insert("sub".into(), json!(user_id));
        Self(claims)
    }

    /// Adds claims of one's own, which replace none that are there.
    pub(crate) fn with_custom(mut self, custom: &Map<String, Value>) -> Self {
        for (name, value) in custom {
            self.0.entry(name.as_str()).or_insert_with(|| value.clone());
        }
        self
    }

    pub(crate) fn issued(&self, issuer: &str, project: &str, now_secs: i64) -> Value {
        let mut claims = self.0.clone();
        claims.insert("iss".into(), json!(issuer));
        claims.insert("aud".into(), json!(project));
        claims.insert("iat".into(), json!(now_secs));
        claims.insert("exp".into(), json!(now_secs + TOKEN_SECS));
        Value::Object(claims)
    }
}

/// What the function `caller` shows to the function `audience`, and can show to no other.
pub(crate) fn of_service(issuer: &str, caller: &str, audience: &str, now_secs: i64) -> Value {
    let expires = now_secs + SERVICE_SECS;
    json!({ "iss": issuer, "aud": audience, "sub": caller, "iat": now_secs, "exp": expires })
}

/// Reads the claims of a token that we signed.
pub(crate) fn said(
    claims: &Value,
    issuer: &str,
    project: &str,
    now_secs: i64,
) -> Result<Said, Refusal> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let secs = |name: &str| claims.get(name).and_then(Value::as_i64).ok_or(Refusal::InvalidIdToken);
    if text("iss") != Some(issuer) || text("aud") != Some(project) {
        return Err(Refusal::InvalidIdToken);
    }
    if secs("exp")? <= now_secs {
        return Err(Refusal::TokenExpired);
    }
    let user_id = text("sub").ok_or(Refusal::InvalidIdToken)?.to_owned();
    Ok(Said { user_id, auth_secs: secs("auth_time")?, issued_secs: secs("iat")? })
}

/// Who a custom token is about, and which claims it asks for.
///
/// Its signature is not looked at: it is by a service account, of which this machine has none, or
/// missing, as the Admin SDK leaves it for emulators.
pub(crate) fn custom(
    claims: &Value,
    now_secs: i64,
) -> Result<(String, Map<String, Value>), Refusal> {
    let wrong = Refusal::InvalidCustomToken;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let user_id = text("uid").filter(|id| (1..=USER_ID_CHARS_MAX).contains(&id.chars().count()));
    let expires = claims.get("exp").and_then(Value::as_i64).ok_or(wrong)?;
    if text("aud") != Some(CUSTOM_AUDIENCE) || expires <= now_secs {
        return Err(wrong);
    }
    let asked = claims.get("claims").and_then(Value::as_object).cloned();
    Ok((user_id.ok_or(wrong)?.to_owned(), asked.unwrap_or_default()))
}
