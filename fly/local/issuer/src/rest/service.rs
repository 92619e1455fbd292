//! The tokens of functions, as a machine's own API hands them out on Fly.

use axum::{
    extract::State,
    http::{HeaderMap, header},
};
use serde::Deserialize;

use super::{RawBody, answer::Failure, blocking, json_of};
use crate::{Issuer, Refusal};

/// Where they are asked for, on Fly below the machine's socket.
pub(super) const PATH: &str = "/v1/tokens/oidc";

const FUNCTION_NAME_BYTES_MAX: usize = 63;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    aud: String,
    /// Who asks. On Fly the machine is known; here whoever asks is believed.
    sub: String,
}

/// A token by which one function calls another, as plain text.
pub(super) async fn token(
    State(issuer): State<Issuer>,
    headers: HeaderMap,
    body: RawBody,
) -> Result<String, Failure> {
    // A function is no page: none that a developer opens may call as one.
    if headers.contains_key(header::ORIGIN) {
        return Err(Refusal::OperationNotAllowed.into());
    }
    let Asked { aud, sub } = json_of(body)?;
    let is_name = |name: &str| {
        let is_of_name = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        (1..=FUNCTION_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_of_name)
    };
    if !is_name(&aud) || !is_name(&sub) {
        return Err(Failure::Malformed("aud and sub are names of functions".to_owned()));
    }
    blocking(move || Ok(issuer.service_token(&sub, &aud))).await
}
