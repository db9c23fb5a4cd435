use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use thunes_proto::guard::v1::container_guard_service_server::ContainerGuardService;
use thunes_proto::guard::v1::{
    DisconnectContainerRequest, DisconnectContainerResponse, InspectContainerRequest, InspectContainerResponse,
    KillContainerRequest, KillContainerResponse, ListContainersRequest, ListContainersResponse, LogLine,
    PauseContainerRequest, PauseContainerResponse, ReadLogsRequest, ReadLogsResponse, ReconnectContainerRequest,
    ReconnectContainerResponse, StartContainerRequest, StartContainerResponse, StopContainerRequest,
    StopContainerResponse, UnpauseContainerRequest, UnpauseContainerResponse,
};
use thunes_rpc::{Refusal, unix_peer};
use thunes_runtime::clock;
use thunes_supervisor::containers::{
    Container, ContainerControl, ContainerError, NetworkName, STOP_WITHIN_MAX, STOP_WITHIN_MIN, ServiceName,
};
use thunes_types::{FieldError, ReasonCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Code, Request, Response, Status};

use crate::refusal::{overloaded, status};

/// Calls under way at once; a drill makes one at a time for each of a handful of containers.
const CALLS_MAX: usize = 64;
/// Logs that are held at once: each can be 16 MiB.
const LOGS_MAX: usize = 4;
/// Text of one part of a log.
const LOG_PART_BYTES: usize = 256 * 1024;

type Parts = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<ReadLogsResponse, Status>> + Send>>;

/// Translates; what may be done is decided by the scope below.
pub(crate) struct Guard {
    containers: Arc<dyn ContainerControl>,
    calls: Arc<Semaphore>,
    logs: Arc<Semaphore>,
}

impl Guard {
    pub(crate) fn new(containers: Arc<dyn ContainerControl>) -> Self {
        Self {
            containers,
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            logs: Arc::new(Semaphore::new(LOGS_MAX)),
        }
    }

    /// Runs one call to its end, also when the caller goes away meanwhile, and logs who asked and what came of it.
    async fn run<T, F>(
        &self,
        call: &'static str,
        asked: Asked,
        work: impl FnOnce(Arc<dyn ContainerControl>) -> F,
    ) -> Result<T, Status>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ContainerError>> + Send + 'static,
    {
        let permit = self.calls.clone().try_acquire_owned();
        let Ok(permit) = permit else {
            tracing::warn!(
                call,
                service = asked.service,
                peer = asked.peer,
                outcome = "OVERLOADED",
                "refused"
            );
            return Err(overloaded("calls", CALLS_MAX));
        };
        let work = work(self.containers.clone());
        let done = tokio::spawn(async move {
            let begun = clock::instant();
            let done = work.await;
            let took_ms = clock::elapsed_ms(begun);
            let Asked { service, peer } = asked;
            match &done {
                Ok(_) => tracing::info!(call, service, peer, took_ms, outcome = "OK", "done"),
                Err(error) => {
                    let outcome = error.reason().as_str();
                    tracing::warn!(call, service, peer, took_ms, outcome, %error, "refused");
                }
            }
            drop(permit);
            done
        });
        match done.await {
            Ok(done) => done.map_err(status),
            Err(_) => Err(Refusal::new(
                Code::Internal,
                ReasonCode::Internal,
                "a defect of the guard; see its log",
            )
            .into()),
        }
    }
}

/// Who asks for what, for the log.
struct Asked {
    service: String,
    peer: String,
}

impl Asked {
    fn of<T>(request: &Request<T>, service: &str) -> Self {
        Self {
            // Cut and without control characters, as in errors: it comes from outside.
            service: FieldError::new("service", service, "").value,
            peer: unix_peer(request).map_or_else(|| "unknown".to_owned(), |peer| peer.to_string()),
        }
    }
}

fn network(text: &str) -> Result<Option<NetworkName>, ContainerError> {
    if text.is_empty() {
        return Ok(None);
    }
    Ok(Some(NetworkName::parse(text)?))
}

fn within(within_ms: i64) -> Result<Duration, ContainerError> {
    let bounds = STOP_WITHIN_MIN.as_millis()..=STOP_WITHIN_MAX.as_millis();
    let rule = || format!("a whole number from {} to {}", bounds.start(), bounds.end());
    let refused = || FieldError::new("within_ms", &within_ms.to_string(), rule());
    let ms = u64::try_from(within_ms).map_err(|_| refused())?;
    if bounds.contains(&u128::from(ms)) {
        Ok(Duration::from_millis(ms))
    } else {
        Err(refused().into())
    }
}

fn since(since_ms: i64) -> Result<i64, ContainerError> {
    if since_ms < 0 {
        return Err(FieldError::new("since_ms", &since_ms.to_string(), "0 or greater").into());
    }
    Ok(since_ms)
}

/// Parts of bounded size; the permit goes with them, so that what is held is bounded, too.
fn parts(lines: Vec<LogLine>, permit: OwnedSemaphorePermit) -> Parts {
    let mut lines = lines.into_iter().peekable();
    let parts = std::iter::from_fn(move || {
        let _held_until_the_end = &permit;
        let mut part = vec![lines.next()?];
        let mut bytes = part[0].text.len();
        while let Some(line) = lines.next_if(|line| bytes + line.text.len() <= LOG_PART_BYTES) {
            bytes += line.text.len();
            part.push(line);
        }
        Some(Ok(ReadLogsResponse { lines: part }))
    });
    Box::pin(tokio_stream::iter(parts))
}

/// The calls that name a service, do one thing, and answer with the container.
macro_rules! one {
    ($self:ident, $call:literal, $request:ident, $response:ident, |$control:ident, $service:ident, $inner:ident| $work:expr) => {{
        let asked = Asked::of(&$request, &$request.get_ref().service);
        let $inner = $request.into_inner();
        let container: Container = $self
            .run($call, asked, |$control| async move {
                let $service = ServiceName::parse(&$inner.service)?;
                $work
            })
            .await?;
        Ok(Response::new($response {
            container: Some(container.into()),
        }))
    }};
}

#[tonic::async_trait]
impl ContainerGuardService for Guard {
    async fn list_containers(
        &self,
        request: Request<ListContainersRequest>,
    ) -> Result<Response<ListContainersResponse>, Status> {
        let asked = Asked::of(&request, "");
        let list = self
            .run("list", asked, |control| async move { control.list().await })
            .await?;
        let containers = list.into_iter().map(Into::into).collect();
        Ok(Response::new(ListContainersResponse { containers }))
    }

    async fn inspect_container(
        &self,
        request: Request<InspectContainerRequest>,
    ) -> Result<Response<InspectContainerResponse>, Status> {
        one!(
            self,
            "inspect",
            request,
            InspectContainerResponse,
            |control, service, asked| control.inspect(&service).await
        )
    }

    async fn kill_container(
        &self,
        request: Request<KillContainerRequest>,
    ) -> Result<Response<KillContainerResponse>, Status> {
        one!(
            self,
            "kill",
            request,
            KillContainerResponse,
            |control, service, asked| control.kill(&service).await
        )
    }

    async fn stop_container(
        &self,
        request: Request<StopContainerRequest>,
    ) -> Result<Response<StopContainerResponse>, Status> {
        one!(
            self,
            "stop",
            request,
            StopContainerResponse,
            |control, service, asked| control.stop(&service, within(asked.within_ms)?).await
        )
    }

    async fn start_container(
        &self,
        request: Request<StartContainerRequest>,
    ) -> Result<Response<StartContainerResponse>, Status> {
        one!(
            self,
            "start",
            request,
            StartContainerResponse,
            |control, service, asked| control.start(&service).await
        )
    }

    async fn pause_container(
        &self,
        request: Request<PauseContainerRequest>,
    ) -> Result<Response<PauseContainerResponse>, Status> {
        one!(
            self,
            "pause",
            request,
            PauseContainerResponse,
            |control, service, asked| control.pause(&service).await
        )
    }

    async fn unpause_container(
        &self,
        request: Request<UnpauseContainerRequest>,
    ) -> Result<Response<UnpauseContainerResponse>, Status> {
        one!(
            self,
            "unpause",
            request,
            UnpauseContainerResponse,
            |control, service, asked| control.unpause(&service).await
        )
    }

    async fn disconnect_container(
        &self,
        request: Request<DisconnectContainerRequest>,
    ) -> Result<Response<DisconnectContainerResponse>, Status> {
        let asked = Asked::of(&request, &request.get_ref().service);
        let inner = request.into_inner();
        let networks = self
            .run("disconnect", asked, |control| async move {
                let service = ServiceName::parse(&inner.service)?;
                control.disconnect(&service, network(&inner.network)?.as_ref()).await
            })
            .await?;
        Ok(Response::new(DisconnectContainerResponse { networks }))
    }

    async fn reconnect_container(
        &self,
        request: Request<ReconnectContainerRequest>,
    ) -> Result<Response<ReconnectContainerResponse>, Status> {
        let asked = Asked::of(&request, &request.get_ref().service);
        let inner = request.into_inner();
        let networks = self
            .run("reconnect", asked, |control| async move {
                let service = ServiceName::parse(&inner.service)?;
                control.reconnect(&service, network(&inner.network)?.as_ref()).await
            })
            .await?;
        Ok(Response::new(ReconnectContainerResponse { networks }))
    }

    type ReadLogsStream = Parts;

    async fn read_logs(&self, request: Request<ReadLogsRequest>) -> Result<Response<Parts>, Status> {
        let asked = Asked::of(&request, &request.get_ref().service);
        let inner = request.into_inner();
        let Ok(permit) = self.logs.clone().try_acquire_owned() else {
            return Err(overloaded("readings of logs", LOGS_MAX));
        };
        let lines = self
            .run("logs", asked, |control| async move {
                let service = ServiceName::parse(&inner.service)?;
                control.logs(&service, since(inner.since_ms)?).await
            })
            .await?;
        let lines = lines.into_iter().map(Into::into).collect();
        Ok(Response::new(parts(lines, permit)))
    }
}
