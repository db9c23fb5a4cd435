use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::FutureExt;
use thunes_proto::guard::v1::container_guard_service_client::ContainerGuardServiceClient;
use thunes_proto::guard::v1::{
    DisconnectContainerRequest, InspectContainerRequest, KillContainerRequest, ListContainersRequest,
    PauseContainerRequest, ReadLogsRequest, ReconnectContainerRequest, StartContainerRequest, StopContainerRequest,
    UnpauseContainerRequest,
};
use thunes_rpc::{Client, deadline, reason_of};
use tonic::{Code, Status};

use crate::containers::{Answer, Container, ContainerControl, ContainerError, LogLine, NetworkName, ServiceName};

/// Longer than the guard itself waits for the engine to confirm, so that its word is heard and not cut off.
const CALL_MAX: Duration = Duration::from_secs(40);
/// One line can be as large as a whole log.
const MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The containers of the guard's project, through the guard.
#[derive(Debug, Clone)]
pub struct GuardClient {
    client: ContainerGuardServiceClient<Client>,
    path: PathBuf,
}

impl GuardClient {
    /// Prepares a client; it connects when it is first used, and again after every loss.
    ///
    /// # Errors
    /// When `path` cannot be a socket's path.
    pub fn new(path: &Path) -> Result<Self, ContainerError> {
        let unreachable = |why: String| ContainerError::GuardUnreachable {
            path: path.to_owned(),
            why,
        };
        let channel = thunes_rpc::connect_unix(path).map_err(|error| unreachable(error.to_string()))?;
        Ok(Self {
            client: ContainerGuardServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX),
            path: path.to_owned(),
        })
    }

    fn heard(&self, status: &Status) -> ContainerError {
        if let Some(reason) = reason_of(status) {
            let message = status.message().to_owned();
            return ContainerError::Refused { reason, message };
        }
        let why = match status.code() {
            Code::DeadlineExceeded | Code::Cancelled => format!("no answer within {CALL_MAX:?}"),
            _ => status.message().to_owned(),
        };
        ContainerError::GuardUnreachable {
            path: self.path.clone(),
            why,
        }
    }
}

fn known(container: Option<thunes_proto::guard::v1::Container>) -> Result<Container, ContainerError> {
    let lacks = ContainerError::Malformed {
        call: "the guard",
        what: "the container",
    };
    Container::try_from(container.ok_or(lacks)?)
}

macro_rules! one {
    ($self:ident, $call:ident, $request:expr, $limit:expr) => {
        async move {
            let mut client = $self.client.clone();
            let answer = client.$call(deadline($request, $limit)).await;
            known(answer.map_err(|status| $self.heard(&status))?.into_inner().container)
        }
        .boxed()
    };
}

macro_rules! networks {
    ($self:ident, $call:ident, $request:expr) => {
        async move {
            let mut client = $self.client.clone();
            let answer = client.$call(deadline($request, CALL_MAX)).await;
            Ok(answer.map_err(|status| $self.heard(&status))?.into_inner().networks)
        }
        .boxed()
    };
}

impl ContainerControl for GuardClient {
    fn list(&self) -> Answer<'_, Vec<Container>> {
        async move {
            let request = deadline(ListContainersRequest {}, CALL_MAX);
            let answer = self.client.clone().list_containers(request).await;
            let containers = answer.map_err(|status| self.heard(&status))?.into_inner().containers;
            containers.into_iter().map(Container::try_from).collect()
        }
        .boxed()
    }

    fn inspect<'a>(&'a self, service: &'a ServiceName) -> Answer<'a, Container> {
        let service = service.to_string();
        one!(self, inspect_container, InspectContainerRequest { service }, CALL_MAX)
    }

    fn kill<'a>(&'a self, service: &'a ServiceName) -> Answer<'a, Container> {
        let service = service.to_string();
        one!(self, kill_container, KillContainerRequest { service }, CALL_MAX)
    }

    fn stop<'a>(&'a self, service: &'a ServiceName, within: Duration) -> Answer<'a, Container> {
        let request = StopContainerRequest {
            service: service.to_string(),
            within_ms: i64::try_from(within.as_millis()).unwrap_or(i64::MAX),
        };
        one!(self, stop_container, request, CALL_MAX.saturating_add(within))
    }

    fn start<'a>(&'a self, service: &'a ServiceName) -> Answer<'a, Container> {
        let service = service.to_string();
        one!(self, start_container, StartContainerRequest { service }, CALL_MAX)
    }

    fn pause<'a>(&'a self, service: &'a ServiceName) -> Answer<'a, Container> {
        let service = service.to_string();
        one!(self, pause_container, PauseContainerRequest { service }, CALL_MAX)
    }

    fn unpause<'a>(&'a self, service: &'a ServiceName) -> Answer<'a, Container> {
        let service = service.to_string();
        one!(self, unpause_container, UnpauseContainerRequest { service }, CALL_MAX)
    }

    fn disconnect<'a>(&'a self, service: &'a ServiceName, network: Option<&'a NetworkName>) -> Answer<'a, Vec<String>> {
        let request = DisconnectContainerRequest {
            service: service.to_string(),
            network: network.map(ToString::to_string).unwrap_or_default(),
        };
        networks!(self, disconnect_container, request)
    }

    fn reconnect<'a>(&'a self, service: &'a ServiceName, network: Option<&'a NetworkName>) -> Answer<'a, Vec<String>> {
        let request = ReconnectContainerRequest {
            service: service.to_string(),
            network: network.map(ToString::to_string).unwrap_or_default(),
        };
        networks!(self, reconnect_container, request)
    }

    fn logs<'a>(&'a self, service: &'a ServiceName, since_ms: i64) -> Answer<'a, Vec<LogLine>> {
        let service = service.to_string();
        async move {
            let request = deadline(ReadLogsRequest { service, since_ms }, CALL_MAX);
            let heard = |status| self.heard(&status);
            let mut stream = self
                .client
                .clone()
                .read_logs(request)
                .await
                .map_err(heard)?
                .into_inner();
            let mut lines = Vec::new();
            while let Some(part) = stream.message().await.map_err(heard)? {
                for line in part.lines {
                    lines.push(LogLine::try_from(line)?);
                }
            }
            Ok(lines)
        }
        .boxed()
    }
}
