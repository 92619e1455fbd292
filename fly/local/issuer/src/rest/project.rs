//! What SDKs ask about the project itself.

use axum::{Json, extract::State};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    RawBody,
    answer::{Answer, Failure},
    json_of,
};
use crate::{Issuer, Refusal, account, chance, password};

pub(super) async fn config(State(issuer): State<Issuer>) -> Json<Value> {
    let domains = ["localhost", "127.0.0.1"];
    Json(json!({ "projectId": issuer.project(), "authorizedDomains": domains }))
}

/// Nobody here has to show that they are no robot.
pub(super) async fn recaptcha() -> Json<Value> {
    let off = json!([{ "provider": "EMAIL_PASSWORD_PROVIDER", "enforcementState": "OFF" }]);
    Json(json!({ "recaptchaKey": "projects/any/keys/none", "recaptchaEnforcementState": off }))
}

pub(super) async fn password_policy() -> Json<Value> {
    Json(json!({
        "customStrengthOptions": { "minPasswordLength": password::CHARS_MIN },
        "allowedNonAlphanumericCharacters": [],
        "enforcementState": "OFF",
        "forceUpgradeOnSignin": false,
        "schemaVersion": 1,
    }))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CreateAuthUri {
    identifier: Option<String>,
}

/// Says nothing of how somebody signs in, as with Firebase's default protection.
pub(super) async fn create_auth_uri(body: RawBody) -> Result<Answer, Failure> {
    let CreateAuthUri { identifier } = json_of(body)?;
    account::email(&identifier.ok_or(Refusal::MissingIdentifier)?)?;
    let session = chance::code()?;
    let mut answer = Map::new();
    answer.insert("kind".into(), json!("identitytoolkit#CreateAuthUriResponse"));
    answer.insert("sessionId".into(), json!(session));
    Ok(answer.into())
}
