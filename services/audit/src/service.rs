use thunes_proto::audit::v1::audit_service_server::AuditServiceServer;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::grpc::AuditApi;
use crate::journal::Journal;
use crate::metrics::show_metrics;
use crate::tasks::{Queue, write_loop};
use crate::{AuditConfig, AuditError};

/// Largest request: 500 events of the usual size fit many times over.
const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Serves the audit trail of a data folder until `shutdown`. The log is verified before anything is served.
///
/// # Errors
/// When the log cannot be opened or was tampered with; later, when the disk refuses or the server fails.
pub async fn serve(config: AuditConfig, listener: TcpListener, shutdown: CancellationToken) -> Result<(), AuditError> {
    let data_dir = config.data_dir.clone();
    let journal = spawn_blocking(move || Journal::start(&data_dir)).await??;
    let trail = journal.trail();
    show_metrics(&trail);
    let (queue, commands) = Queue::new(config.queue_max);
    // The writer ends the service when it fails.
    let stop = shutdown.child_token();
    let failed = stop.clone();
    let writer = spawn_blocking(move || write_loop(journal, commands, &failed));
    let api = AuditApi::new(queue.clone(), trail, stop.clone());
    let server = AuditServiceServer::new(api).max_decoding_message_size(REQUEST_BYTES_MAX);
    let served = thunes_rpc::serve(listener, &["thunes.audit.v1.AuditService"], Routes::new(server), stop).await;
    queue.stop().await;
    // What the writer says goes first: it is why the server ended.
    writer.await??;
    Ok(served?)
}
