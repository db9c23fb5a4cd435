use thunes_rpc::{BindUnixError, ServeError};
use thunes_supervisor::containers::ContainerError;

/// Why the guard cannot work.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    #[error(transparent)]
    Containers(#[from] ContainerError),
    #[error("the guard {0}")]
    Bind(#[from] BindUnixError),
    #[error(transparent)]
    Serve(#[from] ServeError),
}
