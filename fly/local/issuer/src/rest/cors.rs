//! Lets every web page in, as Firebase's emulator does: whatever it signs is for this machine.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

/// Answers preflights, and allows any origin to read any answer.
pub(super) async fn allow_everyone(request: Request, next: Next) -> Response {
    let is_preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_preflight {
        (StatusCode::NO_CONTENT, preflight(request.headers())).into_response()
    } else {
        next.run(request).await
    };
    let anyone = HeaderValue::from_static("*");
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, anyone);
    response
}

fn preflight(asked: &HeaderMap) -> HeaderMap {
    let mut allowed = HeaderMap::new();
    let methods = HeaderValue::from_static("GET, POST, DELETE, OPTIONS");
    allowed.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    // SDKs send headers of their own, and more with every version.
    if let Some(headers) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        allowed.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
    }
    allowed.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
    // A page from elsewhere that calls this machine is asked for this one too.
    allowed.insert("access-control-allow-private-network", HeaderValue::from_static("true"));
    allowed
}
