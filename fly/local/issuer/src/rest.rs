//! The REST surface: as much of Identity Toolkit's and Secure Token's as a client needs to sign in.
//!
//! Every path answers with and without its host as a prefix; that is how Firebase's SDKs address an
//! emulator.

use axum::{
    Form, Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, FromRequest, Request, State, rejection::BytesRejection},
    http::{HeaderMap, HeaderValue, header},
    middleware,
    response::IntoResponse,
    routing::{get, post},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::{Error, Issuer, Refusal, Session, TOKEN_SECS};

mod answer;
mod cors;

use answer::{Answer, Failure};

const BODY_BYTES_MAX: usize = 64 << 10;

pub(crate) fn router(issuer: Issuer) -> Router {
    let mut router = Router::new().route(Issuer::key_path(), get(keys));
    for host in ["", "/identitytoolkit.googleapis.com"] {
        router = router
            .route(&format!("{host}/v1/accounts:signUp"), post(sign_up))
            .route(&format!("{host}/v1/accounts:signInWithPassword"), post(sign_in))
            .route(&format!("{host}/v1/accounts:lookup"), post(lookup));
    }
    for host in ["", "/securetoken.googleapis.com"] {
        router = router.route(&format!("{host}/v1/token"), post(refresh));
    }
    router
        .method_not_allowed_fallback(async || Failure::Method)
        .fallback(async || Failure::NotFound)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        // Outermost: a browser is told of failures too.
        .layer(middleware::from_fn(cors::allow_everyone))
        .with_state(issuer)
}

type RawBody = Result<Bytes, BytesRejection>;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SignUp {
    email: Option<String>,
    password: Option<String>,
    id_token: Option<String>,
    local_id: Option<String>,
}

async fn sign_up(State(issuer): State<Issuer>, body: RawBody) -> Result<Answer, Failure> {
    let SignUp { email, password, id_token, local_id } = json_of(body)?;
    if id_token.is_some() || local_id.is_some() {
        // Linking, and what only an administrator may do.
        return Err(Refusal::OperationNotAllowed.into());
    }

    let session = blocking(move || match (email, password) {
        (None, None) => issuer.sign_up_anonymously(),
        (email, password) => {
            let (email, password) = (email.unwrap_or_default(), password.unwrap_or_default());
            match (email.is_empty(), password.is_empty()) {
                (true, false) => Err(Refusal::MissingEmail.into()),
                _ => issuer.sign_up(&email, &password),
            }
        }
    });

    Ok(signed_in("identitytoolkit#SignupNewUserResponse", session.await?).into())
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SignIn {
    email: Option<String>,
    password: Option<String>,
}

async fn sign_in(State(issuer): State<Issuer>, body: RawBody) -> Result<Answer, Failure> {
    let SignIn { email, password } = json_of(body)?;
    let email = email.ok_or(Refusal::MissingEmail)?;
    let password = password.unwrap_or_default();

    let session = blocking(move || issuer.sign_in(&email, &password)).await?;

    let mut answer = signed_in("identitytoolkit#VerifyPasswordResponse", session);
    answer.insert("displayName".into(), json!(""));
    answer.insert("registered".into(), json!(true));
    Ok(answer.into())
}

fn signed_in(kind: &str, session: Session) -> Map<String, Value> {
    let Session { user_id, email, id_token, refresh_token } = session;
    let mut answer = Map::new();
    answer.insert("kind".into(), json!(kind));
    answer.insert("localId".into(), json!(user_id));
    if let Some(email) = email {
        answer.insert("email".into(), json!(email));
    }
    answer.insert("idToken".into(), json!(id_token));
    answer.insert("refreshToken".into(), json!(refresh_token));
    // A number of seconds, as text.
    answer.insert("expiresIn".into(), json!(TOKEN_SECS.to_string()));
    answer
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Lookup {
    id_token: Option<String>,
}

async fn lookup(State(issuer): State<Issuer>, body: RawBody) -> Result<Answer, Failure> {
    let Lookup { id_token } = json_of(body)?;
    let id_token = id_token.ok_or(Refusal::MissingIdToken)?;

    let (user_id, account) = issuer.holder(&id_token)?;

    let mut user = Map::new();
    user.insert("localId".into(), json!(user_id));
    if let Some(email) = &account.email {
        let provider = json!({ "providerId": "password", "federatedId": email, "email": email, "rawId": email });
        user.insert("email".into(), json!(email));
        user.insert("emailVerified".into(), json!(false));
        user.insert("providerUserInfo".into(), json!([provider]));
    }
    user.insert("validSince".into(), json!(account.valid_since_ms.div_euclid(1000).to_string()));
    user.insert("lastLoginAt".into(), json!(account.signed_in_ms.to_string()));
    user.insert("createdAt".into(), json!(account.created_ms.to_string()));
    let mut answer = Map::new();
    answer.insert("kind".into(), json!("identitytoolkit#GetAccountInfoResponse"));
    answer.insert("users".into(), json!([user]));
    Ok(answer.into())
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refresh {
    #[serde(alias = "grantType")]
    grant_type: Option<String>,
    #[serde(alias = "refreshToken")]
    refresh_token: Option<String>,
}

async fn refresh(
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

async fn keys(State(issuer): State<Issuer>) -> impl IntoResponse {
    let an_hour = [(header::CACHE_CONTROL, "public, max-age=3600, must-revalidate")];
    (an_hour, Json(issuer.keys()))
}

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
