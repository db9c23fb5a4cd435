use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::book::Fault;
use super::server::Shared;

/// The longest wait that a 429 can be ordered to ask for, seconds.
const RETRY_AFTER_MAX_S: u32 = 3600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FailOrder {
    count: u32,
    retry_after_s: Option<u32>,
    status: Option<u16>,
}

/// `GET /standin/messages`
pub(crate) async fn messages(State(shared): State<Shared>) -> Response {
    Json(shared.book().messages()).into_response()
}

/// `GET /standin/health`
pub(crate) async fn health() -> Response {
    Json(json!({"status": "serving"})).into_response()
}

/// `POST /standin/fail`: the next `count` messages are answered 429 (`retry_after_s`) or `status`.
pub(crate) async fn fail(State(shared): State<Shared>, body: Bytes) -> Response {
    let order: FailOrder = match serde_json::from_slice(&body) {
        Ok(order) => order,
        Err(error) => return refused(&format!("the body is not {{count, retry_after_s | status}}: {error}")),
    };
    let fault = match (order.retry_after_s, order.status) {
        (Some(seconds), None) if (1..=RETRY_AFTER_MAX_S).contains(&seconds) => Fault::RetryAfter { seconds },
        (Some(_), None) => return refused("retry_after_s: from 1 to 3600"),
        (None, Some(status)) if (400..=599).contains(&status) && status != 429 => Fault::Status { status },
        (None, Some(_)) => return refused("status: from 400 to 599, and retry_after_s instead of 429"),
        (None, None) | (Some(_), Some(_)) => return refused("exactly one of retry_after_s and status is needed"),
    };
    shared.book().fail_next(order.count, fault);
    Json(json!({"count": order.count})).into_response()
}

fn refused(why: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({"error": why}))).into_response()
}
