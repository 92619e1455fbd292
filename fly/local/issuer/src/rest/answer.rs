//! Answers and failures, in the shapes Google gives them.

use std::{error, iter};

use axum::{
    Json,
    extract::rejection::BytesRejection,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use crate::{Error, Refusal};

/// What went well. Holds tokens, so nobody may keep it.
pub(super) struct Answer(Map<String, Value>);

/// What did not.
pub(super) enum Failure {
    Refused(Refusal),
    /// The body is not what it should be, and why.
    Malformed(String),
    /// Neither an app's call nor the owner's.
    Unauthenticated,
    /// What a service account has shown is not good: OAuth's word for it, and ours.
    Grant(&'static str, &'static str),
    TooLarge,
    NotFound,
    Method,
    /// Our fault; told in full, since whoever calls is whoever runs this.
    Internal(String),
}

// === impl Answer ===

impl Answer {
    /// An answer that says no more than of which kind it is.
    pub(super) fn of(kind: &str) -> Self {
        Self(Map::from_iter([("kind".to_owned(), json!(kind))]))
    }
}

impl From<Map<String, Value>> for Answer {
    fn from(fields: Map<String, Value>) -> Self {
        Self(fields)
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        ([(header::CACHE_CONTROL, "no-store")], Json(Value::Object(self.0))).into_response()
    }
}

// === impl Failure ===

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => Self::Refused(refusal),
            error => {
                let causes = iter::successors(Some(&error as &dyn error::Error), |e| e.source());
                let causes: Vec<_> = causes.map(ToString::to_string).collect();
                Self::Internal(causes.join(": "))
            }
        }
    }
}

impl From<BytesRejection> for Failure {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            _ => Self::Malformed(rejection.body_text()),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (code, message, reason, status) = match self {
            // The one answer that has OAuth's shape.
            Self::Grant(error, why) => {
                let told = json!({ "error": error, "error_description": why });
                return (StatusCode::BAD_REQUEST, Json(told)).into_response();
            }
            Self::Refused(refusal) => {
                (StatusCode::BAD_REQUEST, refusal.to_string(), "invalid", None)
            }
            Self::Malformed(why) => {
                let message = format!("Invalid payload received. {why}");
                (StatusCode::BAD_REQUEST, message, "parseError", Some("INVALID_ARGUMENT"))
            }
            Self::Unauthenticated => {
                let message = "Request had invalid authentication credentials. This issuer knows \
                               `Bearer owner` and its service account's access tokens.";
                let status = Some("UNAUTHENTICATED");
                (StatusCode::UNAUTHORIZED, message.to_owned(), "unauthorized", status)
            }
            Self::TooLarge => {
                let message = "Request payload size exceeds the limit.".to_owned();
                (StatusCode::PAYLOAD_TOO_LARGE, message, "badRequest", Some("INVALID_ARGUMENT"))
            }
            Self::NotFound => {
                let message = "This issuer does not serve that path.".to_owned();
                (StatusCode::NOT_FOUND, message, "notFound", Some("NOT_FOUND"))
            }
            Self::Method => {
                let message = "That path takes another method.".to_owned();
                let status = Some("UNIMPLEMENTED");
                (StatusCode::METHOD_NOT_ALLOWED, message, "httpMethodNotAllowed", status)
            }
            Self::Internal(why) => {
                let message = format!("INTERNAL_ERROR : {why}");
                (StatusCode::INTERNAL_SERVER_ERROR, message, "backendError", Some("INTERNAL"))
            }
        };
        let errors = json!([{ "message": message, "domain": "global", "reason": reason }]);
        let mut error = json!({ "code": code.as_u16(), "message": message, "errors": errors });
        if let (Some(status), Some(error)) = (status, error.as_object_mut()) {
            error.insert("status".to_owned(), json!(status));
        }
        (code, Json(json!({ "error": error }))).into_response()
    }
}
