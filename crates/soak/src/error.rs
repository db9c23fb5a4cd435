use std::path::PathBuf;

use thunes_supervisor::SupervisorError;
use thunes_supervisor::embedded::Service;

/// Why a soak could not be carried out. What it finds is no error: that is in its report.
#[derive(Debug, thiserror::Error)]
pub enum SoakError {
    #[error(transparent)]
    Supervisor(#[from] SupervisorError),
    #[error("{service} does not come back after a kill: {why}")]
    DoesNotComeBack { service: Service, why: String },
    #[error("{path} cannot be used: {source}")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("the simulated exchange does not answer: {0}")]
    Sim(String),
    #[error("{what} does not answer: {why}")]
    NoAnswer { what: &'static str, why: String },
    #[error("{0}")]
    NotReady(String),
    #[error("this program does not know its own file: {0}")]
    OwnFile(std::io::Error),
}
