//! Codes: what Google would send by email is logged and listed here.

use axum::{
    Json,
    extract::{Query, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use serde_json::{Map, json};

use super::{
    RawBody,
    answer::{Answer, Failure},
    blocking,
    caller::Caller,
    json_of,
};
use crate::{
    Error, Issuer, Refusal,
    code::{self, Code, Purpose},
};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Send {
    request_type: Option<String>,
    email: Option<String>,
    id_token: Option<String>,
    continue_url: Option<String>,
    return_oob_link: bool,
}

pub(super) async fn send(
    State(issuer): State<Issuer>,
    caller: Caller,
    headers: HeaderMap,
    body: RawBody,
) -> Result<Answer, Failure> {
    let Send { request_type, email, id_token, continue_url, return_oob_link } = json_of(body)?;
    let purpose = match request_type.as_deref() {
        None | Some("") => return Err(Refusal::MissingRequestType.into()),
        Some("PASSWORD_RESET") => Purpose::ResetPassword,
        Some("VERIFY_EMAIL") => Purpose::VerifyEmail,
        // Signing in by a link, and changing an address by one.
        Some(_) => return Err(Refusal::OperationNotAllowed.into()),
    };
    let email = match (purpose, caller) {
        (Purpose::VerifyEmail, Caller::App) => {
            let holder = issuer.holder(&id_token.ok_or(Refusal::MissingIdToken)?)?;
            holder.account.address().map(str::to_owned)
        }
        _ => email,
    };
    let email = email.ok_or(Refusal::MissingEmail)?;
    let continue_url = continue_url.filter(|url| !url.is_empty());
    let continue_url = continue_url.map(code::continue_url).transpose()?;

    let mut answer = Map::new();
    answer.insert("kind".into(), json!("identitytoolkit#GetOobConfirmationCodeResponse"));
    answer.insert("email".into(), json!(email));
    match (issuer.make_code(&email, purpose, continue_url), caller) {
        (Ok(code), _) => {
            let link = link(&headers, &code);
            let purpose = purpose.as_str();
            tracing::info!(email = code.email, purpose, link, "an email would be sent");
            if caller == Caller::Owner && return_oob_link {
                answer.insert("oobCode".into(), json!(code.secret));
                answer.insert("oobLink".into(), json!(link));
            }
        }
        // Who has an account is nobody's business, as with Firebase's default protection.
        (Err(Error::Refused(Refusal::EmailNotFound)), Caller::App) => {}
        (Err(error), _) => return Err(error.into()),
    }
    Ok(answer.into())
}

/// Where a code is used by hand; for a password, `&newPassword=` is put behind it.
fn link(headers: &HeaderMap, code: &Code) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let (mode, secret) = (code.purpose.mode(), &code.secret);
    let link =
        format!("http://{host}/emulator/action?mode={mode}&lang=en&oobCode={secret}&apiKey=any");
    match &code.continue_url {
        Some(url) => format!("{link}&continueUrl={}", percent_encoded(url)),
        None => link,
    }
}

fn percent_encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encoded = |byte| match byte {
        byte if is_plain(byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encoded).collect()
}

pub(super) async fn list(State(issuer): State<Issuer>, headers: HeaderMap) -> Answer {
    let code = |code: &Code| {
        let (email, purpose) = (&code.email, code.purpose.as_str());
        let link = link(&headers, code);
        json!({ "email": email, "requestType": purpose, "oobCode": code.secret, "oobLink": link })
    };
    let codes: Vec<_> = issuer.codes().iter().map(code).collect();
    Answer::from(Map::from_iter([("oobCodes".to_owned(), json!(codes))]))
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Reset {
    oob_code: Option<String>,
    new_password: Option<String>,
}

pub(super) async fn reset_password(
    State(issuer): State<Issuer>,
    body: RawBody,
) -> Result<Answer, Failure> {
    let Reset { oob_code, new_password } = json_of(body)?;
    let code = oob_code.filter(|code| !code.is_empty()).ok_or(Refusal::MissingOobCode)?;
    let Code { email, purpose, .. } = issuer.code(&code)?;
    // Without a password, it is asked what the code is good for.
    if let Some(password) = new_password {
        blocking(move || issuer.reset_password(&code, &password)).await?;
    }
    let mut answer = Map::new();
    answer.insert("kind".into(), json!("identitytoolkit#ResetPasswordResponse"));
    answer.insert("email".into(), json!(email));
    answer.insert("requestType".into(), json!(purpose.as_str()));
    Ok(answer.into())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Act {
    mode: String,
    oob_code: String,
    new_password: Option<String>,
}

/// Follows a link, as whoever was sent it would, and goes on from there if the link says so.
pub(super) async fn act(
    State(issuer): State<Issuer>,
    Query(Act { mode, oob_code, new_password }): Query<Act>,
) -> Result<Response, Failure> {
    let continue_url = issuer.code(&oob_code).ok().and_then(|code| code.continue_url);
    let user_id = blocking(move || match (&*mode, new_password) {
        ("resetPassword", Some(password)) => issuer.reset_password(&oob_code, &password),
        ("resetPassword", None) => Err(Refusal::MissingPassword.into()),
        ("verifyEmail", _) => issuer.verify_email(&oob_code),
        _ => Err(Refusal::OperationNotAllowed.into()),
    });
    let user_id = user_id.await?;
    Ok(match continue_url {
        Some(url) => Redirect::to(&url).into_response(),
        None => Json(json!({ "done": true, "localId": user_id })).into_response(),
    })
}
