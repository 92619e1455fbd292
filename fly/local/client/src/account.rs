//! Who calls unless a token is given: a developer's account at the local issuer.

use serde_json::{Value, json};

use crate::{call::Caller, failure::Failure};

/// An account that is made when it is first needed; the issuer keeps it with the other local data.
const EMAIL: &str = "developer@example.com";
const PASSWORD: &str = "a password for this machine only";

/// Signs in, or up.
pub(crate) async fn token(caller: &Caller, issuer: &str) -> Result<String, Failure> {
    let mut told = Value::Null;
    for method in ["signInWithPassword", "signUp"] {
        let url = format!("{issuer}/identitytoolkit.googleapis.com/v1/accounts:{method}?key=any");
        let account = json!({ "email": EMAIL, "password": PASSWORD, "returnSecureToken": true });
        told = caller.post_json(&url, account.to_string()).await?;
        if let Some(token) = told["idToken"].as_str() {
            return Ok(token.to_owned());
        }
    }
    let why = told["error"]["message"].as_str().unwrap_or("it answers no token").to_owned();
    Err(Failure::Usage(format!("the issuer at {issuer} lets {EMAIL} in neither way: {why}")))
}
