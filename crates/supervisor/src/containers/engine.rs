use std::collections::HashMap;
use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::{
    ContainerInspectResponse, ContainerSummary, EndpointSettings, NetworkConnectRequest, NetworkDisconnectRequest,
};
use bollard::query_parameters::{
    InspectContainerOptions, KillContainerOptionsBuilder, ListContainersOptionsBuilder, LogsOptionsBuilder,
    StartContainerOptions, StopContainerOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::{Stream, StreamExt};
use tokio::net::UnixStream;

use crate::containers::ContainerError;

/// Where Docker Engine listens unless it was told otherwise.
pub const DOCKER_SOCKET: &str = "/var/run/docker.sock";
/// One question to the engine. It answers in milliseconds; only a machine on its knees takes longer than this.
const CALL_MAX: Duration = Duration::from_secs(10);
/// The first word: whether there is an engine at all should be known sooner.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// What the engine may take beyond the time that a container is given to end.
const STOP_MARGIN: Duration = Duration::from_secs(10);

/// A connection to the Docker engine on this machine. It can do only what this module offers, on containers that
/// [`crate::containers::Scope`] has found.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: Docker,
    path: PathBuf,
}

impl Engine {
    /// Asks the engine behind the Unix socket `path` which version it speaks, and speaks that.
    ///
    /// # Errors
    /// Tells apart: no socket, no permission on it, an engine that does not answer; each with the remedy.
    pub async fn connect(path: &Path) -> Result<Self, ContainerError> {
        UnixStream::connect(path)
            .await
            .map_err(|error| ContainerError::of_socket(path, &error))?;
        let not_answering = |why: String| ContainerError::NotAnswering {
            path: path.to_owned(),
            why,
        };
        let docker = Docker::connect_with_unix(&path.display().to_string(), CALL_MAX.as_secs(), API_DEFAULT_VERSION)
            .map_err(|error| not_answering(error.to_string()))?;
        let docker = tokio::time::timeout(CONNECT_MAX, docker.negotiate_version())
            .await
            .map_err(|_| not_answering(format!("no answer within {CONNECT_MAX:?}")))?
            .map_err(|error| not_answering(error.to_string()))?;
        Ok(Self {
            docker,
            path: path.to_owned(),
        })
    }

    /// The API version that both sides speak, such as `1.41`.
    pub fn api_version(&self) -> String {
        self.docker.client_version().to_string()
    }

    /// Containers, running or not, that bear all of `labels` (`NAME` or `NAME=VALUE`).
    pub(crate) async fn list(&self, labels: Vec<String>) -> Result<Vec<ContainerSummary>, ContainerError> {
        let filters = HashMap::from([("label".to_owned(), labels)]);
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&filters)
            .build();
        self.docker
            .list_containers(Some(options))
            .await
            .map_err(self.failed("list"))
    }

    pub(crate) async fn inspect(&self, id: &str) -> Result<ContainerInspectResponse, ContainerError> {
        self.docker
            .inspect_container(id, None::<InspectContainerOptions>)
            .await
            .map_err(self.failed("inspect"))
    }

    pub(crate) async fn sigkill(&self, id: &str) -> Result<(), ContainerError> {
        let options = KillContainerOptionsBuilder::default().signal("SIGKILL").build();
        self.docker
            .kill_container(id, Some(options))
            .await
            .map_err(self.failed("kill"))
    }

    /// The engine counts in seconds; a part of one counts as a whole.
    pub(crate) async fn stop(&self, id: &str, within: Duration) -> Result<(), ContainerError> {
        let seconds = within.as_millis().div_ceil(1000);
        let options = StopContainerOptionsBuilder::default()
            .t(i32::try_from(seconds).unwrap_or(i32::MAX))
            .build();
        let patient = self.docker.clone().with_timeout(within + STOP_MARGIN);
        patient
            .stop_container(id, Some(options))
            .await
            .map_err(self.failed("stop"))
    }

    pub(crate) async fn start(&self, id: &str) -> Result<(), ContainerError> {
        self.docker
            .start_container(id, None::<StartContainerOptions>)
            .await
            .map_err(self.failed("start"))
    }

    pub(crate) async fn pause(&self, id: &str) -> Result<(), ContainerError> {
        self.docker.pause_container(id).await.map_err(self.failed("pause"))
    }

    pub(crate) async fn unpause(&self, id: &str) -> Result<(), ContainerError> {
        self.docker.unpause_container(id).await.map_err(self.failed("unpause"))
    }

    pub(crate) async fn disconnect(&self, id: &str, network: &str) -> Result<(), ContainerError> {
        let request = NetworkDisconnectRequest {
            container: id.to_owned(),
            force: None,
        };
        self.docker
            .disconnect_network(network, request)
            .await
            .map_err(self.failed("disconnect"))
    }

    pub(crate) async fn connect_network(
        &self,
        id: &str,
        network: &str,
        endpoint: EndpointSettings,
    ) -> Result<(), ContainerError> {
        let request = NetworkConnectRequest {
            container: id.to_owned(),
            endpoint_config: Some(endpoint),
        };
        self.docker
            .connect_network(network, request)
            .await
            .map_err(self.failed("connect"))
    }

    /// Both streams up to now, each frame with its time before it. The engine's filter counts in whole seconds here.
    pub(crate) fn logs(
        &self,
        id: &str,
        since_s: i32,
    ) -> impl Stream<Item = Result<LogOutput, ContainerError>> + Send + use<> {
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .since(since_s)
            .build();
        let failed = self.failed("logs");
        self.docker
            .logs(id, Some(options))
            .map(move |frame| frame.map_err(&failed))
    }

    fn failed(&self, call: &'static str) -> impl Fn(Error) -> ContainerError + Send + use<> {
        let path = self.path.clone();
        move |error| match error {
            Error::DockerResponseServerError { status_code, message } => ContainerError::Engine {
                call,
                status: status_code,
                message,
            },
            Error::JsonDataError { .. } | Error::JsonSerdeError { .. } => ContainerError::Malformed {
                call,
                what: "something that can be read",
            },
            Error::RequestTimeoutError => ContainerError::NotAnswering {
                path: path.clone(),
                why: format!("no answer to {call}"),
            },
            other => of_transport(&path, &other),
        }
    }
}

/// A connection that fails later: the engine was stopped, or its socket taken away.
fn of_transport(path: &Path, error: &Error) -> ContainerError {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(error) = inner.downcast_ref::<io::Error>() {
            return ContainerError::of_socket(path, error);
        }
        cause = inner.source();
    }
    ContainerError::NotAnswering {
        path: path.to_owned(),
        why: error.to_string(),
    }
}
