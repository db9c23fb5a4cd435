use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::{Connected, TcpIncoming};

use crate::{METRICS_PATH, TraceLayer, metrics_route};

/// Largest message that a server takes.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Most calls that one connection may have under way; the next one waits.
const CALLS_PER_CONNECTION_MAX: usize = 256;
/// No call lasts longer; streams have begun by then.
const CALL_TIMEOUT: Duration = Duration::from_secs(120);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// After the signal, calls under way get this long.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// The server stopped in disorder.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("reflection cannot be built: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    #[error("the gRPC server failed: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves `routes` with health, reflection (v1 and v1alpha), traces, metrics (`GET /metrics`) and bounds until `shutdown`, then
/// drains.
/// `services` are the full names of the gRPC services, which health reports as SERVING.
///
/// # Errors
/// When the server cannot be built or fails.
pub async fn serve(
    listener: TcpListener,
    services: &[&'static str],
    routes: Routes,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    // Small answers must not wait for an acknowledgement of the one before.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    serve_incoming(incoming, services, routes, shutdown).await
}

/// [`serve`] on connections from anywhere.
pub(crate) async fn serve_incoming<I, IO, IE>(
    incoming: I,
    services: &[&'static str],
    routes: Routes,
    shutdown: CancellationToken,
) -> Result<(), ServeError>
where
    I: Stream<Item = Result<IO, IE>>,
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    IE: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (health, health_service) = tonic_health::server::health_reporter();
    for name in services {
        health
            .set_service_status(name, tonic_health::ServingStatus::Serving)
            .await;
    }
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(thunes_proto::FILE_DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let (v1, v1alpha) = (reflection().build_v1()?, reflection().build_v1alpha()?);
    let routes = routes.add_service(health_service).add_service(v1).add_service(v1alpha);
    let routes = Routes::from(routes.into_axum_router().route(METRICS_PATH, metrics_route()));
    let drained = shutdown.clone();
    let server = Server::builder()
        // What scrapes metrics speaks HTTP/1.
        .accept_http1(true)
        .timeout(CALL_TIMEOUT)
        .concurrency_limit_per_connection(CALLS_PER_CONNECTION_MAX)
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .layer(TraceLayer)
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, shutdown.cancelled_owned());
    tokio::select! {
        result = server => Ok(result?),
        () = async { drained.cancelled().await; tokio::time::sleep(DRAIN_TIMEOUT).await } => Ok(()),
    }
}
