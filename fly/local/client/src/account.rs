//! Who calls unless a token is given: a developer's account at the local issuer, or one that has a
//! role.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::{call::Caller, failure::Failure, options::Options};

/// What an account is called that was asked to have no role.
const DEVELOPER: &str = "developer";
const PASSWORD: &str = "a password for this machine only";
/// What the issuer takes for its administrator, as emulators do.
const OWNER: &str = "owner";

/// Signs in, or up: the issuer keeps the account with the other local data.
pub(crate) async fn token(caller: &Caller, options: &Options) -> Result<String, Failure> {
    let name = options.role.as_deref().unwrap_or(DEVELOPER);
    let email = format!("{name}@example.com");
    let token = sign_in(caller, &options.issuer, &email).await?;
    let Some(role) = &options.role else {
        return Ok(token);
    };
    give(caller, &options.issuer, &token, role).await?;
    // Claims are in the tokens that are made after it.
    sign_in(caller, &options.issuer, &email).await
}

async fn sign_in(caller: &Caller, issuer: &str, email: &str) -> Result<String, Failure> {
    let mut told = Value::Null;
    for method in ["signInWithPassword", "signUp"] {
        let url = format!("{issuer}/identitytoolkit.googleapis.com/v1/accounts:{method}?key=any");
        let account = json!({ "email": email, "password": PASSWORD, "returnSecureToken": true });
        told = caller.post_json(&url, None, &account).await?;
        if let Some(token) = told["idToken"].as_str() {
            return Ok(token.to_owned());
        }
    }
    Err(refused(issuer, &format!("lets {email} in neither way"), &told))
}

/// Gives the role to whoever the token is of, as an administrator.
async fn give(caller: &Caller, issuer: &str, token: &str, role: &str) -> Result<(), Failure> {
    let claims = claims(token).unwrap_or_default();
    let project = claims["aud"].as_str().unwrap_or_default();
    let path = format!("identitytoolkit.googleapis.com/v1/projects/{project}/accounts:update");
    let roles = json!({ "roles": [role] }).to_string();
    let change = json!({ "localId": claims["sub"], "customAttributes": roles });
    let told = caller.post_json(&format!("{issuer}/{path}"), Some(OWNER), &change).await?;
    if told["localId"].is_string() {
        return Ok(());
    }
    Err(refused(issuer, &format!("gives nobody the role {role:?}"), &told))
}

fn claims(token: &str) -> Option<Value> {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&claims).ok()
}

fn refused(issuer: &str, what: &str, told: &Value) -> Failure {
    let why = told["error"]["message"].as_str().unwrap_or("it does not say why");
    Failure::Usage(format!("the issuer at {issuer} {what}: {why}"))
}
