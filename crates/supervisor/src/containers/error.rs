use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thunes_types::{FieldError, ReasonCode};

use crate::containers::{DRILL_LABEL, PROJECT_LABEL};

/// What can go wrong with containers. Nothing was done to any other container, whatever it is.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    #[error(
        "no Docker: there is no socket {path}; install Docker Engine, or name its socket (`guard.docker_socket`, DOCKER_HOST)"
    )]
    NoSocket { path: PathBuf },
    #[error(
        "no permission on {path}: add this user to the group that owns the socket (`sudo usermod -aG docker $USER`, then log in \
         again), or run this with sudo"
    )]
    Permission { path: PathBuf },
    #[error("the Docker engine behind {path} does not answer ({why}); start it: `sudo systemctl start docker`")]
    NotAnswering { path: PathBuf, why: String },
    #[error("the Docker engine refused {call} ({status}): {message}")]
    Engine {
        call: &'static str,
        status: u16,
        message: String,
    },
    #[error("the Docker engine's answer to {call} lacks {what}; this engine is too old or too new to be used")]
    Malformed { call: &'static str, what: &'static str },
    #[error(transparent)]
    BadName(#[from] FieldError),
    #[error(
        "this process runs in no container of a compose project, so the project must be named (--project, `guard.project`)"
    )]
    NoOwnProject,
    #[error("{}", not_found(.project, .service.as_deref(), .known))]
    NotFound {
        project: String,
        /// None when there is not a single one.
        service: Option<String>,
        /// The labelled services that there are.
        known: Vec<String>,
    },
    #[error(
        "the container of {service:?} in project {project:?} does not bear the label {DRILL_LABEL}=true, so it is not touched; \
         give its service that label in the compose file if drills may kill it"
    )]
    NotLabelled { project: String, service: String },
    #[error("{service:?} is {why}, and a drill that ended it would end itself; it can be looked at, not touched")]
    Protected { service: String, why: &'static str },
    #[error(
        "{service:?} of project {project:?} has {count} containers; a drill needs exactly one: \
         `docker compose up -d --scale {service}=1`"
    )]
    Ambiguous {
        project: String,
        service: String,
        count: usize,
    },
    #[error(
        "project {project:?} has no running container of {service} that publishes its port {port}; start it with \
         `docker-compose -p {project} up -d`"
    )]
    NotPublished {
        project: String,
        service: String,
        port: u16,
    },
    #[error("{service} is not running: it is {state}")]
    NotRunning { service: String, state: String },
    #[error("{service} runs already")]
    Running { service: String },
    #[error("{service} was to be ended by SIGKILL, but ended otherwise: {how}")]
    EndedOtherwise { service: String, how: String },
    #[error("{service} ended at once after its start, with exit code {exit_code}; the end of its log:\n{tail}")]
    ExitedEarly {
        service: String,
        exit_code: i64,
        tail: String,
    },
    #[error("{service} was not ready within {waited:?} ({last})")]
    NotReady {
        service: String,
        waited: Duration,
        last: String,
    },
    #[error("nothing says when {service} is ready: give its address, or a healthcheck in the compose file")]
    NoReadiness { service: String },
    #[error("{call} of {service} was not confirmed within {waited:?}: the engine says {seen}")]
    NotConfirmed {
        service: String,
        call: &'static str,
        waited: Duration,
        seen: String,
    },
    #[error("{service} is not on {}; it is on {}", shown_network(.network.as_deref()), listed(.known))]
    NoSuchNetwork {
        service: String,
        /// None when it was to be taken off all, and is on none.
        network: Option<String>,
        known: Vec<String>,
    },
    #[error(
        "{service} is on no network and it is not known which it was on; recreate it: `docker compose up -d --force-recreate \
         {service}`"
    )]
    NothingSaved { service: String },
    #[error("the log of {service} since then is larger than {bytes_max} bytes; ask from a later time on")]
    LogTooLarge { service: String, bytes_max: usize },
    #[error(
        "{path} cannot be used: {source}; it keeps the networks of a container that was cut off, so nothing was cut off; \
         choose a folder that this process can write"
    )]
    State { path: PathBuf, source: io::Error },
    #[error(
        "the guard at {path} does not answer ({why}); start it (`docker-compose up -d container-guard`, `thunes guard`)"
    )]
    GuardUnreachable { path: PathBuf, why: String },
    /// The guard's own word.
    #[error("{message}")]
    Refused { reason: ReasonCode, message: String },
}

impl ContainerError {
    /// The stable code of this error.
    pub fn reason(&self) -> ReasonCode {
        match self {
            Self::NoSocket { .. } | Self::Permission { .. } | Self::NotAnswering { .. } => {
                ReasonCode::EngineUnavailable
            }
            Self::Engine { .. } | Self::Malformed { .. } => ReasonCode::EngineRefused,
            Self::BadName(_) => ReasonCode::InvalidArgument,
            Self::NotFound { .. } | Self::NoOwnProject | Self::NotPublished { .. } => ReasonCode::ContainerNotFound,
            Self::NotLabelled { .. } => ReasonCode::ContainerNotLabelled,
            Self::Protected { .. } => ReasonCode::ContainerProtected,
            Self::Ambiguous { .. } => ReasonCode::ContainerAmbiguous,
            Self::NotRunning { .. } => ReasonCode::ContainerNotRunning,
            Self::Running { .. } => ReasonCode::ContainerRunning,
            Self::EndedOtherwise { .. } | Self::ExitedEarly { .. } => ReasonCode::ContainerEndedOtherwise,
            Self::NotReady { .. } | Self::NoReadiness { .. } | Self::NotConfirmed { .. } => ReasonCode::NotConfirmed,
            Self::NoSuchNetwork { .. } => ReasonCode::NetworkNotFound,
            Self::NothingSaved { .. } => ReasonCode::NetworksNotSaved,
            Self::LogTooLarge { .. } => ReasonCode::LogTooLarge,
            Self::State { .. } => ReasonCode::StorageFailed,
            Self::GuardUnreachable { .. } => ReasonCode::DependencyUnavailable,
            Self::Refused { reason, .. } => *reason,
        }
    }

    /// What a failed connection to the engine's socket means.
    pub fn of_socket(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::NoSocket { path },
            io::ErrorKind::PermissionDenied => Self::Permission { path },
            _ => Self::NotAnswering {
                path,
                why: error.to_string(),
            },
        }
    }
}

fn not_found(project: &str, service: Option<&str>, known: &[String]) -> String {
    match (service, known) {
        (None, _) => format!(
            "no container of the compose project {project:?} ({PROJECT_LABEL}) bears the label {DRILL_LABEL}=true; start the \
             environment (`docker compose up -d`), or name another project (`docker compose ls`)"
        ),
        (Some(service), []) => format!(
            "there is no container of a service {service:?} in project {project:?}, and none at all that bears the label \
             {DRILL_LABEL}=true; start the environment (`docker compose up -d`)"
        ),
        (Some(service), known) => format!(
            "there is no container of a service {service:?} in project {project:?}; there are {}",
            known.join(", ")
        ),
    }
}

fn shown_network(network: Option<&str>) -> String {
    network.map_or_else(|| "any network".to_owned(), |name| format!("the network {name:?}"))
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_docker_no_permission_and_a_stopped_engine_are_told_apart_with_a_remedy() {
        let path = Path::new("/var/run/docker.sock");
        let said = |kind: io::ErrorKind| ContainerError::of_socket(path, &io::Error::from(kind)).to_string();
        assert!(said(io::ErrorKind::NotFound).contains("install Docker"));
        assert!(said(io::ErrorKind::PermissionDenied).contains("usermod -aG docker"));
        assert!(said(io::ErrorKind::ConnectionRefused).contains("systemctl start docker"));
    }
}
