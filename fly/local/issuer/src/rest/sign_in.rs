//! Signing up and in, and staying so.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, header},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    RawBody,
    answer::{Answer, Failure},
    blocking, form_of, json_of,
};
use crate::{Issuer, Refusal, Session, TOKEN_SECS};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SignUp {
    email: Option<String>,
    password: Option<String>,
    id_token: Option<String>,
    local_id: Option<String>,
}

pub(super) async fn sign_up(
    State(issuer): State<Issuer>,
    body: RawBody,
) -> Result<Answer, Failure> {
    let SignUp { email, password, id_token, local_id } = json_of(body)?;
    if local_id.is_some() {
        // An administrator chooses ids, on the path of the project.
        return Err(Refusal::OperationNotAllowed.into());
    }

    let session = blocking(move || match (email, password) {
        (None, None) if id_token.is_none() => issuer.sign_up_anonymously(),
        (email, password) => {
            let (email, password) = (email.unwrap_or_default(), password.unwrap_or_default());
            match (email.is_empty(), password.is_empty(), id_token) {
                (true, false, _) => Err(Refusal::MissingEmail.into()),
                (_, _, None) => issuer.sign_up(&email, &password),
                (_, _, Some(id_token)) => issuer.link(&id_token, &email, &password),
            }
        }
    });

    Ok(signed_in("identitytoolkit#SignupNewUserResponse", &session.await?).into())
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SignIn {
    email: Option<String>,
    password: Option<String>,
}

pub(super) async fn sign_in(
    State(issuer): State<Issuer>,
    body: RawBody,
) -> Result<Answer, Failure> {
    let SignIn { email, password } = json_of(body)?;
    let email = email.ok_or(Refusal::MissingEmail)?;
    let password = password.unwrap_or_default();

    let (session, account) = blocking(move || {
        let session = issuer.sign_in(&email, &password)?;
        let account = issuer.account(&session.user_id)?;
        Ok((session, account))
    })
    .await?;

    let mut answer = signed_in("identitytoolkit#VerifyPasswordResponse", &session);
    answer.insert("displayName".into(), json!(account.display_name.unwrap_or_default()));
    answer.insert("registered".into(), json!(true));
    Ok(answer.into())
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CustomToken {
    token: Option<String>,
}

pub(super) async fn sign_in_by_custom_token(
    State(issuer): State<Issuer>,
    body: RawBody,
) -> Result<Answer, Failure> {
    let CustomToken { token } = json_of(body)?;
    let token = token.ok_or(Refusal::MissingCustomToken)?;

    let (session, is_new) = blocking(move || issuer.sign_in_by_custom_token(&token)).await?;

    let mut answer = signed_in("identitytoolkit#VerifyCustomTokenResponse", &session);
    answer.insert("isNewUser".into(), json!(is_new.0));
    Ok(answer.into())
}

fn signed_in(kind: &str, session: &Session) -> Map<String, Value> {
    let mut answer = Map::new();
    answer.insert("kind".into(), json!(kind));
    answer.insert("localId".into(), json!(session.user_id));
    if let Some(email) = &session.email {
        answer.insert("email".into(), json!(email));
    }
    add_tokens(&mut answer, session);
    answer
}

pub(super) fn add_tokens(answer: &mut Map<String, Value>, session: &Session) {
    answer.insert("idToken".into(), json!(session.id_token));
    answer.insert("refreshToken".into(), json!(session.refresh_token));
    // A number of seconds, as text.
    answer.insert("expiresIn".into(), json!(TOKEN_SECS.to_string()));
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refresh {
    #[serde(alias = "grantType")]
    grant_type: Option<String>,
    #[serde(alias = "refreshToken")]
    refresh_token: Option<String>,
}

pub(super) async fn refresh(
    State(issuer): State<Issuer>,
    headers: HeaderMap,
    body: RawBody,
) -> Result<Answer, Failure> {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let Refresh { grant_type, refresh_token } = match content_type {
        Some(kind) if kind.to_ascii_lowercase().starts_with(b"application/json") => json_of(body)?,
        _ => form_of(body).await?,
    };
    match grant_type.as_deref() {
        None | Some("") => return Err(Refusal::MissingGrantType.into()),
        Some("refresh_token") => {}
        Some(_) => return Err(Refusal::InvalidGrantType.into()),
    }
    let refresh_token = refresh_token.filter(|token| !token.is_empty());
    let refresh_token = refresh_token.ok_or(Refusal::MissingRefreshToken)?;

    let project = issuer.project().to_owned();
    let session = blocking(move || issuer.refresh(&refresh_token)).await?;

    let mut answer = Map::new();
    answer.insert("access_token".into(), json!(session.id_token));
    answer.insert("expires_in".into(), json!(TOKEN_SECS.to_string()));
    answer.insert("token_type".into(), json!("Bearer"));
    answer.insert("refresh_token".into(), json!(session.refresh_token));
    answer.insert("id_token".into(), json!(session.id_token));
    answer.insert("user_id".into(), json!(session.user_id));
    answer.insert("project_id".into(), json!(project));
    Ok(answer.into())
}
