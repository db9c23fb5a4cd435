//! The admin API: faults are set and counters read. It has no keys: keep its listener on loopback.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde_json::{Map, Value, json};
use thunes_runtime::clock;

use crate::domain::{Fault, shortened};
use crate::link::Link;

/// Bytes a request body may have.
const BODY_BYTES_MAX: usize = 64 * 1024;

type Links = State<Arc<[Arc<Link>]>>;
type Name = Result<Path<String>, PathRejection>;
type Body = Result<Bytes, BytesRejection>;

/// The admin routes.
pub(crate) fn router(links: Arc<[Arc<Link>]>) -> Router {
    Router::new()
        .route("/admin/health", get(health))
        .route("/admin/links", get(all))
        .route("/admin/links/{name}/fault", put(set_one).delete(clear_one))
        .route("/admin/faults", put(set_several).delete(clear_all))
        .fallback(|| async { Refusal::of(StatusCode::NOT_FOUND, "no such admin path").into_response() })
        .method_not_allowed_fallback(|| async {
            Refusal::of(StatusCode::METHOD_NOT_ALLOWED, "this path does not know this method").into_response()
        })
        .route(thunes_rpc::METRICS_PATH, thunes_rpc::metrics_route())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(links)
}

/// A request that is refused; nothing was changed.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    error: String,
}

impl Refusal {
    fn of(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            error: error.into(),
        }
    }

    fn bad(error: impl Into<String>) -> Self {
        Self::of(StatusCode::BAD_REQUEST, error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.error }))).into_response()
    }
}

async fn health(State(links): Links) -> Json<Value> {
    Json(json!({ "status": "SERVING", "now_ms": clock::now_ms(), "links": links.len() }))
}

async fn all(State(links): Links) -> Json<Value> {
    states(&links)
}

async fn set_one(State(links): Links, name: Name, body: Body) -> Result<Json<Value>, Refusal> {
    let link = named(&links, name)?;
    let fields = fields(body, &["kind", "ms"])?;
    link.set(fault(&fields)?);
    link.settled().await;
    Ok(Json(link.state()))
}

async fn clear_one(State(links): Links, name: Name) -> Result<Json<Value>, Refusal> {
    let link = named(&links, name)?;
    link.clear();
    Ok(Json(link.state()))
}

async fn set_several(State(links): Links, body: Body) -> Result<Json<Value>, Refusal> {
    let fields = fields(body, &["links", "kind", "ms"])?;
    let chosen = several(&links, fields.get("links"))?;
    let fault = fault(&fields)?;
    for link in &chosen {
        link.set(fault);
    }
    for link in &chosen {
        link.settled().await;
    }
    Ok(states(&chosen))
}

async fn clear_all(State(links): Links) -> Json<Value> {
    for link in links.iter() {
        link.clear();
    }
    states(&links)
}

fn states(links: &[Arc<Link>]) -> Json<Value> {
    Json(json!({ "links": links.iter().map(|link| link.state()).collect::<Vec<_>>() }))
}

fn named(links: &[Arc<Link>], name: Name) -> Result<Arc<Link>, Refusal> {
    let Path(name) = name.map_err(|rejection| Refusal::bad(format!("link name: {}", rejection.body_text())))?;
    find(links, &name)
}

fn find(links: &[Arc<Link>], name: &str) -> Result<Arc<Link>, Refusal> {
    let found = links.iter().find(|link| link.name() == name);
    found.cloned().ok_or_else(|| {
        let known: Vec<&str> = links.iter().map(|link| link.name()).collect();
        let known = if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        };
        Refusal::of(
            StatusCode::NOT_FOUND,
            format!("there is no link {:?}; there are {known}", shortened(name)),
        )
    })
}

fn several(links: &[Arc<Link>], value: Option<&Value>) -> Result<Vec<Arc<Link>>, Refusal> {
    let rule = |value: &Value| {
        Refusal::bad(format!(
            "links = {}: must be a list of one or more names of links, each once",
            shortened(&value.to_string())
        ))
    };
    let value = value.unwrap_or(&Value::Null);
    let names = value
        .as_array()
        .filter(|names| !names.is_empty())
        .ok_or_else(|| rule(value))?;
    let mut chosen: Vec<Arc<Link>> = Vec::new();
    for name in names {
        let link = find(links, name.as_str().ok_or_else(|| rule(name))?)?;
        if chosen.iter().any(|other| other.name() == link.name()) {
            return Err(rule(name));
        }
        chosen.push(link);
    }
    Ok(chosen)
}

fn fault(fields: &Map<String, Value>) -> Result<Fault, Refusal> {
    Fault::of_fields(fields.get("kind"), fields.get("ms")).map_err(Refusal::bad)
}

/// The fields of a JSON object that has no others than `known`.
fn fields(body: Body, known: &[&str]) -> Result<Map<String, Value>, Refusal> {
    let body = body.map_err(|rejection| Refusal::of(rejection.status(), format!("body: {}", rejection.body_text())))?;
    let value: Value = serde_json::from_slice(&body).map_err(|error| {
        Refusal::bad(format!(
            "body: must be a JSON object with {}: {error}",
            known.join(", ")
        ))
    })?;
    let Value::Object(fields) = value else {
        return Err(Refusal::bad(format!(
            "body = {}: must be a JSON object with {}",
            shortened(&value.to_string()),
            known.join(", ")
        )));
    };
    match fields.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        None => Ok(fields),
        Some((name, value)) => Err(Refusal::bad(format!(
            "{} = {}: no such field; there are {}",
            shortened(name),
            shortened(&value.to_string()),
            known.join(", ")
        ))),
    }
}
