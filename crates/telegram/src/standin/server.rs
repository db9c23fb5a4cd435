use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use thunes_runtime::{METRICS_CONTENT_TYPE, metrics_text};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::answer::Failure;
use super::book::Book;
use super::params::Params;
use super::{bot_api, control};

/// The largest request that is read.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// How long requests under way may take to end after the shutdown began.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// What every request sees.
#[derive(Clone)]
pub(crate) struct Shared {
    book: Arc<Mutex<Book>>,
    pub(crate) shutdown: CancellationToken,
}

impl Shared {
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing in the book panics half-way, so a poisoned lock guards a whole book.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves the Bot API (`/bot<token>/<method>`) and the control API (`/standin/…`) until shut down.
///
/// # Errors
/// When the listener fails.
pub async fn serve_standin(listener: TcpListener, shutdown: CancellationToken) -> std::io::Result<()> {
    let shared = Shared {
        book: Arc::default(),
        shutdown: shutdown.clone(),
    };
    let metrics = async || ([(CONTENT_TYPE, METRICS_CONTENT_TYPE)], metrics_text());
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/standin/messages", get(control::messages))
        .route("/standin/fail", post(control::fail))
        .route("/standin/health", get(control::health))
        .fallback(bot_call)
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(shared);
    let serving = axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let patience = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN_MAX).await;
    };
    tokio::select! {
        ended = serving.into_future() => ended,
        // Somebody holds a request open half sent; waiting for it would hold up the end for ever.
        () = patience => Ok(()),
    }
}

async fn bot_call(State(shared): State<Shared>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    // Some clients encode the colon of a token.
    let path = uri.path().replace("%3A", ":").replace("%3a", ":");
    let Some((token, name)) = path.strip_prefix("/bot").and_then(|rest| rest.split_once('/')) else {
        return Failure::not_found("no such path").into_response();
    };
    if !matches!(method, Method::GET | Method::POST) {
        return Failure::not_found("GET or POST").into_response();
    }
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let params = Params::read(uri.query(), content_type, &body);
    bot_api::call(&shared, token, name, params).await
}
