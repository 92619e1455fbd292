//! What an ID token says: the claims of Firebase's.

use serde_json::{Map, Value, json};

use crate::{
    Refusal, TOKEN_SECS,
    accounts::{Account, Provider},
};

/// The claims about a person; who issued them, and when, is added last.
pub(crate) struct Claims(Map<String, Value>);

impl Claims {
    pub(crate) fn of(account: &Account, user_id: &str, provider: Provider, auth_secs: i64) -> Self {
        let mut claims = Map::new();
        let mut identities = Map::new();
        // Nobody is sent mail from here, so no address is ever verified.
        if let Some(email) = &account.email {
            claims.insert("email".into(), json!(email));
            claims.insert("email_verified".into(), json!(false));
            identities.insert("email".into(), json!([email]));
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

    /// Adds claims of one's own, which replace none of Firebase's.
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

/// Whom the claims of a token that we signed are about.
pub(crate) fn subject(
    claims: &Value,
    issuer: &str,
    project: &str,
    now_secs: i64,
) -> Result<String, Refusal> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(issuer) || text("aud") != Some(project) {
        return Err(Refusal::InvalidIdToken);
    }
    let expires = claims.get("exp").and_then(Value::as_i64).ok_or(Refusal::InvalidIdToken)?;
    if expires <= now_secs {
        return Err(Refusal::TokenExpired);
    }
    text("sub").map(str::to_owned).ok_or(Refusal::InvalidIdToken)
}
