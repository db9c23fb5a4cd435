use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::book::Fault;

/// A failed call of the Bot API: the status stands in the answer and in its body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    status: StatusCode,
    description: String,
    retry_after_s: Option<u32>,
}

impl Failure {
    pub(crate) fn bad_request(what: &str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            description: format!("Bad Request: {what}"),
            retry_after_s: None,
        }
    }

    pub(crate) fn unauthorized() -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            description: "Unauthorized".to_owned(),
            retry_after_s: None,
        }
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            description: format!("Not Found: {what}"),
            retry_after_s: None,
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::RetryAfter { seconds } => Self {
                status: StatusCode::TOO_MANY_REQUESTS,
                description: format!("Too Many Requests: retry after {seconds}"),
                retry_after_s: Some(seconds),
            },
            Fault::Status { status } => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let description = status.canonical_reason().unwrap_or("Error").to_owned();
                Self {
                    status,
                    description,
                    retry_after_s: None,
                }
            }
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut body = json!({"ok": false, "error_code": self.status.as_u16(), "description": self.description});
        if let Some(seconds) = self.retry_after_s {
            body["parameters"] = json!({"retry_after": seconds});
        }
        let mut response = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// A successful call of the Bot API.
pub(crate) fn success(result: Value) -> Response {
    Json(json!({"ok": true, "result": result})).into_response()
}
