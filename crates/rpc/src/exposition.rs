use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get};
use thunes_runtime::{METRICS_CONTENT_TYPE, metrics_text};

/// Where every process shows its metrics to Prometheus.
pub const METRICS_PATH: &str = "/metrics";

/// The handler for [`METRICS_PATH`], for servers that are not gRPC too.
pub fn metrics_route<S: Clone + Send + Sync + 'static>() -> MethodRouter<S> {
    get(answer)
}

async fn answer() -> impl IntoResponse {
    ([(CONTENT_TYPE, METRICS_CONTENT_TYPE)], metrics_text())
}
