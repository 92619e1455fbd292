//! The REST surface: as much of Identity Toolkit's and Secure Token's as Firebase's SDKs need.
//!
//! Every path answers with and without its host as a prefix; that is how the SDKs address an
//! emulator. What stands under a project is an administrator's, as with Google; here that is
//! whoever says `Bearer owner`, as the Admin SDK does to an emulator, or shows an access token.

use axum::{
    Form, Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, FromRequest, Request, State, rejection::BytesRejection},
    http::{HeaderName, HeaderValue, header},
    middleware,
    response::IntoResponse,
    routing::{MethodRouter, delete, get, post},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Error, Issuer, service_account::TOKEN_PATH};

mod access;
mod account;
mod admin;
mod answer;
mod caller;
mod code;
mod cors;
mod project;
mod service;
mod sign_in;
mod update;

use answer::Failure;

const BODY_BYTES_MAX: usize = 64 << 10;

pub(crate) fn router(issuer: Issuer) -> Router {
    let owner = middleware::from_fn_with_state(issuer.clone(), caller::is_owner);
    let toolkit = for_people().merge(for_owner().route_layer(owner.clone()));
    let tokens = Router::new().route("/v1/token", post(sign_in::refresh));
    Router::new()
        .route(Issuer::key_path(), get(keys))
        .route(Issuer::certificate_path(), get(certificates))
        .route(TOKEN_PATH, post(access::token))
        .route(service::PATH, post(service::token))
        .merge(toolkit.clone())
        .nest("/identitytoolkit.googleapis.com", toolkit)
        .merge(tokens.clone())
        .nest("/securetoken.googleapis.com", tokens)
        .merge(for_emulator().route_layer(owner))
        .route("/emulator/action", get(code::act))
        .method_not_allowed_fallback(async || Failure::Method)
        .fallback(async || Failure::NotFound)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        // Outermost: a browser is told of failures too.
        .layer(middleware::from_fn(cors::allow_everyone))
        .with_state(issuer)
}

/// What an app calls.
fn for_people() -> Router<Issuer> {
    let both =
        for_both().into_iter().map(|(name, handler)| (format!("/v1/accounts:{name}"), handler));
    both.fold(Router::new(), |router, (path, handler)| router.route(&path, handler))
        .route("/v1/accounts:signUp", post(sign_in::sign_up))
        .route("/v1/accounts:signInWithPassword", post(sign_in::sign_in))
        .route("/v1/accounts:signInWithCustomToken", post(sign_in::sign_in_by_custom_token))
        .route("/v1/accounts:resetPassword", post(code::reset_password))
        .route("/v1/accounts:createAuthUri", post(project::create_auth_uri))
        .route("/v1/projects", get(project::config))
        .route("/v2/recaptchaConfig", get(project::recaptcha))
        .route("/v2/passwordPolicy", get(project::password_policy))
}

/// What an administrator calls.
fn for_owner() -> Router<Issuer> {
    let of = |name: &str| format!("/v1/projects/{{project}}/accounts:{name}");
    let both = for_both().into_iter().map(|(name, handler)| (of(name), handler));
    both.fold(Router::new(), |router, (path, handler)| router.route(&path, handler))
        .route("/v1/projects/{project}/accounts", post(admin::create))
        .route(&of("batchGet"), get(admin::batch_get))
        .route(&of("batchDelete"), post(admin::batch_delete))
        .route(&of("query"), post(admin::query))
}

/// What each of them calls: an app for the holder of a token, an administrator for anybody.
fn for_both() -> [(&'static str, MethodRouter<Issuer>); 4] {
    [
        ("lookup", post(account::lookup)),
        ("update", post(update::update)),
        ("delete", post(account::delete)),
        ("sendOobCode", post(code::send)),
    ]
}

/// What only an emulator has.
fn for_emulator() -> Router<Issuer> {
    Router::new()
        .route("/emulator/v1/projects/{project}/oobCodes", get(code::list))
        .route("/emulator/v1/projects/{project}/accounts", delete(admin::delete_all))
        .route("/emulator/v1/projects/{project}/keys:rotate", post(admin::rotate))
}

/// Google's answers may be kept for hours too.
const AN_HOUR: [(HeaderName, &str); 1] =
    [(header::CACHE_CONTROL, "public, max-age=3600, must-revalidate")];

async fn keys(State(issuer): State<Issuer>) -> Result<impl IntoResponse, Failure> {
    let keys = blocking(move || Ok(issuer.keys())).await?;
    Ok((AN_HOUR, Json(keys)))
}

async fn certificates(State(issuer): State<Issuer>) -> Result<impl IntoResponse, Failure> {
    let certificates = blocking(move || issuer.certificates()).await?;
    Ok((AN_HOUR, Json(certificates)))
}

type RawBody = Result<Bytes, BytesRejection>;

/// Hashing and writing take their time, away from the threads that serve.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(panicked) => Err(Failure::Internal(panicked.to_string())),
    }
}

/// Reads JSON whatever its type is said to be, as Google does; no body is an empty message.
fn json_of<T: DeserializeOwned + Default>(body: RawBody) -> Result<T, Failure> {
    let body = body?;
    if body.is_empty() {
        return Ok(T::default());
    }
    // By way of a map: a struct would be read from a list too.
    serde_json::from_slice::<Map<String, Value>>(&body)
        .and_then(|fields| serde_json::from_value(Value::Object(fields)))
        .map_err(|error| Failure::Malformed(error.to_string()))
}

async fn form_of<T: DeserializeOwned>(body: RawBody) -> Result<T, Failure> {
    let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
    let mut request = Request::post("/").body(Body::from(body?)).unwrap_or_default();
    request.headers_mut().insert(header::CONTENT_TYPE, form_type);
    match Form::from_request(request, &()).await {
        Ok(Form(form)) => Ok(form),
        Err(rejection) => Err(Failure::Malformed(rejection.body_text())),
    }
}
