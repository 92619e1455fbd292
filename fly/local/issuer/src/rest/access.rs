//! Access tokens for service accounts, as `oauth2.googleapis.com` gives them out.

use axum::{
    extract::State,
    http::{HeaderMap, header},
};
use serde::Deserialize;
use serde_json::{Map, json};

use super::{
    RawBody,
    answer::{Answer, Failure},
    blocking, form_of,
};
use crate::{
    Issuer,
    service_account::{ACCESS_SECS, Denied, TOKEN_PATH},
};

/// What an assertion is exchanged by (RFC 7523).
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Grant {
    grant_type: String,
    assertion: String,
}

pub(super) async fn token(
    State(issuer): State<Issuer>,
    headers: HeaderMap,
    body: RawBody,
) -> Result<Answer, Failure> {
    let Grant { grant_type, assertion } = form_of(body).await?;
    if grant_type != GRANT_TYPE {
        return Err(Failure::Grant("unsupported_grant_type", "only assertions are exchanged"));
    }
    // Wherever it is that this was asked at: an assertion for elsewhere is none for here.
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let audience = format!("http://{host}{TOKEN_PATH}");
    let granted = blocking(move || Ok(issuer.grant_access(&assertion, &audience))).await?;
    let token = granted.map_err(|denied| match denied {
        Denied::Grant(why) => Failure::Grant("invalid_grant", why),
        Denied::Failed(error) => error.into(),
    })?;
    let mut answer = Map::new();
    answer.insert("access_token".into(), json!(token));
    answer.insert("expires_in".into(), json!(ACCESS_SECS));
    answer.insert("token_type".into(), json!("Bearer"));
    Ok(answer.into())
}
