use std::sync::Arc;

use thunes_proto::guard::v1::container_guard_service_server::ContainerGuardServiceServer;
use thunes_rpc::{bind_unix, serve_unix};
use thunes_supervisor::containers::{Direct, Engine, Scope};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::grpc::Guard;
use crate::{GuardConfig, GuardError};

/// The full name of its gRPC service.
pub const SERVICE: &str = "thunes.guard.v1.ContainerGuardService";
/// Names of a request are short; nothing else is in one.
const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// Serves on the Unix socket until `shutdown`.
///
/// # Errors
/// When the engine cannot be reached, no project is known, or the socket cannot be listened on; each with the remedy.
pub async fn serve(config: GuardConfig, shutdown: CancellationToken) -> Result<(), GuardError> {
    let engine = Engine::connect(&config.docker_socket).await?;
    let project = match config.project {
        Some(project) => project,
        None => Scope::own_project(&engine).await?,
    };
    let listening = bind_unix(&config.socket).await?;
    tracing::info!(
        socket = %config.socket.display(),
        %project,
        engine_api = engine.api_version(),
        pid = std::process::id(),
        "serving"
    );
    let direct = Direct::new(engine, Scope::new(project), config.state_dir);
    let server =
        ContainerGuardServiceServer::new(Guard::new(Arc::new(direct))).max_decoding_message_size(REQUEST_BYTES_MAX);
    serve_unix(listening, &[SERVICE], Routes::new(server), shutdown).await?;
    Ok(())
}
