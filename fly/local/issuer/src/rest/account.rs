//! Looking accounts up and deleting them: one's own by its token, anybody's as the owner.

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    RawBody,
    answer::{Answer, Failure},
    blocking,
    caller::Caller,
    json_of,
};
use crate::{Issuer, Refusal, account::Account};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Lookup {
    id_token: Option<String>,
    local_id: Many,
    email: Many,
}

/// What clients send by itself or as a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Many {
    One(String),
    List(Vec<String>),
}

impl Default for Many {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Many {
    fn into_list(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::List(list) => list,
        }
    }
}

pub(super) async fn lookup(
    State(issuer): State<Issuer>,
    caller: Caller,
    body: RawBody,
) -> Result<Answer, Failure> {
    let Lookup { id_token, local_id, email } = json_of(body)?;
    let users = match (caller, id_token) {
        (Caller::App, id_token) => {
            let holder = issuer.holder(&id_token.ok_or(Refusal::MissingIdToken)?)?;
            vec![user(&holder.user_id, &holder.account)]
        }
        (Caller::Owner, Some(id_token)) => {
            let holder = issuer.holder(&id_token)?;
            vec![user(&holder.user_id, &holder.account)]
        }
        (Caller::Owner, None) => {
            let found = issuer.find(&local_id.into_list(), &email.into_list());
            found.iter().map(|(user_id, account)| user(user_id, account)).collect()
        }
    };
    let mut answer = Map::new();
    answer.insert("kind".into(), json!("identitytoolkit#GetAccountInfoResponse"));
    // Nobody is no list, as with Google.
    if !users.is_empty() {
        answer.insert("users".into(), json!(users));
    }
    Ok(answer.into())
}

/// An account, as Google describes it.
pub(super) fn user(user_id: &str, account: &Account) -> Value {
    let mut user = Map::new();
    user.insert("localId".into(), json!(user_id));
    if let Some(email) = &account.email {
        user.insert("email".into(), json!(email.address));
        user.insert("emailVerified".into(), json!(email.is_verified));
    }
    if account.password.is_some() {
        // The apps' SDKs ask whether there is one; nobody is told what it is.
        user.insert("passwordHash".into(), json!("REDACTED"));
        user.insert("passwordUpdatedAt".into(), json!(account.valid_since_ms));
    }
    user.extend(profile(account));
    if !account.custom_claims.is_empty() {
        let claims = Value::Object(account.custom_claims.clone()).to_string();
        user.insert("customAttributes".into(), json!(claims));
    }
    user.insert("disabled".into(), json!(account.is_disabled()));
    user.insert("validSince".into(), json!(account.valid_since_ms.div_euclid(1000).to_string()));
    user.insert("lastLoginAt".into(), json!(account.signed_in_ms.to_string()));
    user.insert("createdAt".into(), json!(account.created_ms.to_string()));
    Value::Object(user)
}

/// What people say of themselves, and how they sign in.
pub(super) fn profile(account: &Account) -> Map<String, Value> {
    let mut profile = Map::new();
    let texts = [("displayName", &account.display_name), ("photoUrl", &account.photo_url)];
    for (name, text) in texts {
        if let Some(text) = text {
            profile.insert(name.into(), json!(text));
        }
    }
    if let (Some(email), Some(_)) = (account.address(), &account.password) {
        let mut provider = profile.clone();
        provider.insert("providerId".into(), json!("password"));
        for name in ["email", "federatedId", "rawId"] {
            provider.insert(name.into(), json!(email));
        }
        profile.insert("providerUserInfo".into(), json!([provider]));
    }
    profile
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Delete {
    id_token: Option<String>,
    local_id: Option<String>,
}

pub(super) async fn delete(
    State(issuer): State<Issuer>,
    caller: Caller,
    body: RawBody,
) -> Result<Answer, Failure> {
    let Delete { id_token, local_id } = json_of(body)?;
    let user_id = match (caller, id_token) {
        (Caller::Owner, None) => local_id.ok_or(Refusal::MissingLocalId)?,
        (_, id_token) => {
            let holder = issuer.holder(&id_token.ok_or(Refusal::MissingIdToken)?)?;
            issuer.check_is_recent(&holder)?;
            holder.user_id
        }
    };
    blocking(move || issuer.remove(&user_id)).await?;
    Ok(Answer::of("identitytoolkit#DeleteAccountResponse"))
}
