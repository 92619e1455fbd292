//! Changing an account: some of one's own by its token, all of anybody's as the owner.

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    RawBody,
    account::profile,
    answer::{Answer, Failure},
    blocking,
    caller::Caller,
    json_of,
    sign_in::add_tokens,
};
use crate::{
    Error, Issuer, Refusal, Session,
    account::{self, Account, Change, Provider, Standing},
    password,
};

/// What this issuer has not: to leave it out without a word would be a lie.
const UNSUPPORTED: [&str; 6] =
    ["deleteProvider", "linkProviderUserInfo", "mfa", "mfaInfo", "phoneNumber", "tenantId"];

/// What can be deleted of an account.
const DELETABLE: [&str; 2] = ["DISPLAY_NAME", "PHOTO_URL"];

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Update {
    id_token: Option<String>,
    oob_code: Option<String>,
    return_secure_token: bool,
    local_id: Option<String>,
    #[serde(flatten)]
    fields: Fields,
}

/// What may be said of an account when it is made or changed.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Fields {
    email: Option<String>,
    password: Option<String>,
    display_name: Option<String>,
    photo_url: Option<String>,
    delete_attribute: Vec<String>,
    #[serde(flatten)]
    owners: Owners,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// What only the owner says.
#[derive(Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Owners {
    email_verified: Option<bool>,
    custom_attributes: Option<String>,
    #[serde(alias = "disabled")]
    disable_user: Option<bool>,
    /// Seconds, as a number or as text.
    valid_since: Option<Value>,
}

pub(super) async fn update(
    State(issuer): State<Issuer>,
    caller: Caller,
    body: RawBody,
) -> Result<Answer, Failure> {
    let Update { id_token, oob_code, return_secure_token, local_id, fields } = json_of(body)?;
    let kind = "identitytoolkit#SetAccountInfoResponse";
    if let Some(code) = oob_code {
        let verified =
            blocking(move || issuer.verify_email(&code).map(|user_id| (issuer, user_id)));
        let (issuer, user_id) = verified.await?;
        let account = issuer.account(&user_id)?;
        return Ok(answer(kind, &user_id, &account).into());
    }

    let (user_id, account, session) = blocking(move || match (caller, id_token) {
        (Caller::Owner, None) => {
            let user_id = local_id.ok_or(Refusal::MissingLocalId)?;
            let account = issuer.change_account(&user_id, fields.change()?)?;
            Ok((user_id, account, None))
        }
        (_, id_token) => own(&issuer, &id_token.ok_or(Refusal::MissingIdToken)?, fields),
    })
    .await?;

    let mut answer = answer(kind, &user_id, &account);
    if let (Some(session), true) = (session, return_secure_token) {
        add_tokens(&mut answer, &session);
    }
    Ok(answer.into())
}

/// Changes the account of the holder of a token, who is signed in anew where that has revoked it.
fn own(
    issuer: &Issuer,
    id_token: &str,
    fields: Fields,
) -> Result<(String, Account, Option<Session>), Error> {
    if fields.owners != Owners::default() {
        return Err(Refusal::OperationNotAllowed.into());
    }
    let holder = issuer.holder(id_token)?;
    let change = fields.change()?;
    let is_of_credentials = change.is_of_credentials(&holder.account);
    if is_of_credentials {
        issuer.check_is_recent(&holder)?;
    }
    let account = issuer.change_account(&holder.user_id, change)?;
    let entered = is_of_credentials
        .then(|| issuer.enter_again(holder.user_id.clone(), Provider::Password))
        .transpose()?;
    Ok((holder.user_id, account, entered))
}

/// An account that was made or changed, as Google answers it.
pub(super) fn answer(kind: &str, user_id: &str, account: &Account) -> Map<String, Value> {
    let mut answer = Map::new();
    answer.insert("kind".into(), json!(kind));
    answer.insert("localId".into(), json!(user_id));
    if let Some(email) = &account.email {
        answer.insert("email".into(), json!(email.address));
        answer.insert("emailVerified".into(), json!(email.is_verified));
    }
    answer.extend(profile(account));
    answer
}

// === impl Fields ===

impl Fields {
    /// Hashes the password, if there is one.
    pub(super) fn change(self) -> Result<Change, Error> {
        let is_deletable = |name: &String| DELETABLE.contains(&name.as_str());
        if UNSUPPORTED.iter().any(|name| self.others.contains_key(*name))
            || !self.delete_attribute.iter().all(is_deletable)
        {
            return Err(Refusal::OperationNotAllowed.into());
        }
        let is_deleted = |name: &str| self.delete_attribute.iter().any(|deleted| deleted == name);
        let text = |name: &str, text: Option<String>| {
            if is_deleted(name) { Some(String::new()) } else { text }
        };
        let standing = |is_disabled| if is_disabled { Standing::Disabled } else { Standing::Good };
        Ok(Change {
            display_name: text("DISPLAY_NAME", self.display_name),
            photo_url: text("PHOTO_URL", self.photo_url),
            email: self.email.as_deref().map(account::email).transpose()?,
            is_email_verified: self.owners.email_verified,
            custom_claims: match self.owners.custom_attributes.as_deref() {
                None => None,
                Some("") => Some(Map::new()),
                Some(text) => Some(account::custom_claims(text)?),
            },
            standing: self.owners.disable_user.map(standing),
            valid_since_secs: self.owners.valid_since.as_ref().map(secs).transpose()?,
            password: match &self.password {
                Some(password) => {
                    password::check(password)?;
                    Some(password::Hash::of(password)?)
                }
                None => None,
            },
        })
    }
}

fn secs(value: &Value) -> Result<i64, Refusal> {
    let secs = match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_i64(),
    };
    secs.filter(|secs| *secs >= 0).ok_or(Refusal::InvalidValidSince)
}
