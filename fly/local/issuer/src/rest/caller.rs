//! Who asks: an app, or an administrator.

use std::collections::HashMap;

use axum::{
    extract::{FromRequestParts, Path, Request, State},
    http::{HeaderMap, Uri, header, request::Parts},
    middleware::Next,
    response::Response,
};

use super::answer::Failure;
use crate::{Issuer, Refusal};

/// What the Admin SDK shows to an emulator, where Google would see an access token.
const OWNER: &str = "owner";

/// Where the pages of whoever runs this come from.
const OWN_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// It answers for the holders of ID tokens alone.
    App,
    /// It answers for everybody.
    Owner,
}

impl Caller {
    fn of(issuer: &Issuer, headers: &HeaderMap) -> Result<Self, Failure> {
        let Some(shown) = headers.get(header::AUTHORIZATION) else { return Ok(Self::App) };
        let token = shown.to_str().ok().and_then(|shown| shown.strip_prefix("Bearer "));
        let is_known = token.is_some_and(|token| token == OWNER || issuer.is_access_token(token));
        // Any page may be an app, and a page from elsewhere is not more than that.
        if is_known && is_own(headers) { Ok(Self::Owner) } else { Err(Failure::Unauthenticated) }
    }
}

/// Whether no page of somebody else's asks: programs have no origin.
fn is_own(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    origin.is_some_and(|origin| origin.host().is_some_and(|host| OWN_HOSTS.contains(&host)))
}

impl FromRequestParts<Issuer> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, issuer: &Issuer) -> Result<Self, Failure> {
        Self::of(issuer, &parts.headers)
    }
}

/// Lets the owner alone through to what stands under this issuer's project.
pub(super) async fn is_owner(
    State(issuer): State<Issuer>,
    Path(path): Path<HashMap<String, String>>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    if Caller::of(&issuer, request.headers())? != Caller::Owner {
        return Err(Failure::Unauthenticated);
    }
    match path.get("project") {
        Some(project) if project == issuer.project() => Ok(next.run(request).await),
        _ => Err(Refusal::ProjectNotFound.into()),
    }
}
