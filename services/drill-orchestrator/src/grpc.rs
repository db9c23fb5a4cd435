use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use thunes_proto::drill::v1::drill_service_server::DrillService;
use thunes_proto::drill::v1::{
    CancelDrillRunRequest, CancelDrillRunResponse, DrillRun, GetDrillReportRequest, GetDrillReportResponse,
    GetDrillRunRequest, GetDrillRunResponse, ListDrillRunsRequest, ListDrillRunsResponse, ListDrillsRequest,
    ListDrillsResponse, ReportFormat, RunDrillRequest, RunDrillResponse, WatchDrillRunRequest, WatchDrillRunResponse,
};
use thunes_rpc::{actor_of, invalid, refusal};
use thunes_types::{FieldError, Reason, ReasonCode, RequestId};
use tokio::sync::broadcast::error::RecvError;
use tokio_stream::Stream;
use tonic::{Code, Request, Response, Status};

use crate::error::DrillError;
use crate::report::{Report, render_html, render_markdown};
use crate::service::Orchestrator;
use crate::wire;

const HEARTBEAT: Duration = Duration::from_secs(1);
const PAGE_DEFAULT: i64 = 20;
const PAGE_MAX: i32 = 100;

/// The API over the orchestrator.
#[derive(Debug, Clone)]
pub(crate) struct DrillGrpc {
    pub orchestrator: Arc<Orchestrator>,
}

type Answer<T> = Result<Response<T>, Status>;
type Watch = Pin<Box<dyn Stream<Item = Result<WatchDrillRunResponse, Status>> + Send>>;

#[tonic::async_trait]
impl DrillService for DrillGrpc {
    async fn list_drills(&self, _request: Request<ListDrillsRequest>) -> Answer<ListDrillsResponse> {
        let drills = self.orchestrator.drills().map_err(status)?;
        Ok(Response::new(ListDrillsResponse {
            drills: drills.iter().map(wire::info).collect(),
        }))
    }

    async fn run_drill(&self, request: Request<RunDrillRequest>) -> Answer<RunDrillResponse> {
        let actor = actor_of(request.metadata());
        let request = request.into_inner();
        Reason::parse(&request.reason).map_err(invalid)?;
        if !request.request_id.is_empty() {
            RequestId::parse(&request.request_id).map_err(invalid)?;
        }
        let seed = u64::try_from(request.seed).map_err(|_| {
            invalid(FieldError::new(
                "seed",
                &request.seed.to_string(),
                "must not be negative",
            ))
        })?;
        let run_id = self.orchestrator.start(request, seed, actor).await?;
        Ok(Response::new(RunDrillResponse { run_id }))
    }

    async fn get_drill_run(&self, request: Request<GetDrillRunRequest>) -> Answer<GetDrillRunResponse> {
        let run = self.run(&request.into_inner().run_id).await?;
        Ok(Response::new(GetDrillRunResponse { run: Some(run) }))
    }

    async fn list_drill_runs(&self, request: Request<ListDrillRunsRequest>) -> Answer<ListDrillRunsResponse> {
        let request = request.into_inner();
        let (limit, offset) = (page_size(request.page_size)?, page_offset(&request.page_token)?);
        let mut rows = self
            .orchestrator
            .journal
            .runs(limit + 1, offset)
            .await
            .map_err(|e| status(e.into()))?;
        let page = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > page;
        rows.truncate(page);
        let live = |row| self.orchestrator.hub.run(row);
        let runs = rows
            .iter()
            .map(|row| live(&row.run_id).unwrap_or_else(|| wire::row(row)))
            .collect();
        let next_page_token = if more {
            format!("o{}", offset + limit)
        } else {
            String::new()
        };
        Ok(Response::new(ListDrillRunsResponse { runs, next_page_token }))
    }

    type WatchDrillRunStream = Watch;

    async fn watch_drill_run(&self, request: Request<WatchDrillRunRequest>) -> Answer<Watch> {
        let run_id = request.into_inner().run_id;
        let Some(watching) = self.orchestrator.hub.watch(&run_id) else {
            let run = self.run(&run_id).await?;
            let only = WatchDrillRunResponse {
                heartbeat: false,
                message: "ended".to_owned(),
                run: Some(run),
            };
            return Ok(Response::new(Box::pin(tokio_stream::once(Ok(only)))));
        };
        let (sender, receiver) = tokio::sync::mpsc::channel(16);
        tokio::spawn(watch(self.orchestrator.clone(), run_id, watching, sender));
        Ok(Response::new(Box::pin(tokio_stream::wrappers::ReceiverStream::new(
            receiver,
        ))))
    }

    async fn cancel_drill_run(&self, request: Request<CancelDrillRunRequest>) -> Answer<CancelDrillRunResponse> {
        let request = request.into_inner();
        Reason::parse(&request.reason).map_err(invalid)?;
        if let Some(run) = self.orchestrator.hub.cancel(&request.run_id, &request.reason) {
            return Ok(Response::new(CancelDrillRunResponse { run: Some(run) }));
        }
        self.run(&request.run_id).await?;
        let message = format!("run {} has ended; there is nothing to cancel", request.run_id);
        Err(refusal(Code::FailedPrecondition, ReasonCode::DrillNotRunning, message))
    }

    async fn get_drill_report(&self, request: Request<GetDrillReportRequest>) -> Answer<GetDrillReportResponse> {
        let request = request.into_inner();
        let format = ReportFormat::try_from(request.format).map_err(|_| {
            invalid(FieldError::new(
                "format",
                &request.format.to_string(),
                "one of the formats of ReportFormat",
            ))
        })?;
        let row = self
            .orchestrator
            .journal
            .run(&request.run_id)
            .await
            .map_err(|e| status(e.into()))?;
        let row = row.ok_or_else(|| unknown_run(&request.run_id))?;
        let Some(report) = row.report else {
            let message = format!("run {} goes on; its report is there when it has ended", request.run_id);
            return Err(refusal(Code::FailedPrecondition, ReasonCode::DrillRunning, message));
        };
        let (content_type, content) = rendered(&report, format)?;
        Ok(Response::new(GetDrillReportResponse {
            content_type: content_type.to_owned(),
            content,
        }))
    }
}

impl DrillGrpc {
    async fn run(&self, run_id: &str) -> Result<DrillRun, Status> {
        if let Some(run) = self.orchestrator.hub.run(run_id) {
            return Ok(run);
        }
        let row = self
            .orchestrator
            .journal
            .run(run_id)
            .await
            .map_err(|e| status(e.into()))?;
        row.as_ref().map(wire::row).ok_or_else(|| unknown_run(run_id))
    }
}

fn unknown_run(run_id: &str) -> Status {
    invalid_or_missing(FieldError::new(
        "run_id",
        run_id,
        "no such run; ListDrillRuns names them",
    ))
}

fn invalid_or_missing(error: FieldError) -> Status {
    refusal(Code::NotFound, ReasonCode::DrillUnknown, error.to_string())
}

fn rendered(report: &Report, format: ReportFormat) -> Result<(&'static str, String), Status> {
    Ok(match format {
        ReportFormat::Unspecified | ReportFormat::Json => {
            let json = serde_json::to_string_pretty(report);
            (
                "application/json",
                json.map_err(|e| refusal(Code::Internal, ReasonCode::Internal, e.to_string()))?,
            )
        }
        ReportFormat::Html => ("text/html; charset=utf-8", render_html(report)),
        ReportFormat::Markdown => ("text/markdown; charset=utf-8", render_markdown(report)),
    })
}

fn page_size(asked: i32) -> Result<i64, Status> {
    match asked {
        0 => Ok(PAGE_DEFAULT),
        1..=PAGE_MAX => Ok(i64::from(asked)),
        _ => Err(invalid(FieldError::new(
            "page_size",
            &asked.to_string(),
            "from 1 to 100; 0 means 20",
        ))),
    }
}

fn page_offset(token: &str) -> Result<i64, Status> {
    if token.is_empty() {
        return Ok(0);
    }
    let offset = token
        .strip_prefix('o')
        .and_then(|rest| rest.parse().ok())
        .filter(|offset: &i64| *offset >= 0);
    offset.ok_or_else(|| invalid(FieldError::new("page_token", token, "a token that ListDrillRuns gave")))
}

/// Passes on what happens, until the run has ended or the watcher is gone.
async fn watch(
    orchestrator: Arc<Orchestrator>,
    run_id: String,
    mut watching: crate::hub::Watching,
    sender: tokio::sync::mpsc::Sender<Result<WatchDrillRunResponse, Status>>,
) {
    let mut next = WatchDrillRunResponse {
        heartbeat: false,
        message: "watching".to_owned(),
        run: Some(watching.now),
    };
    loop {
        if sender.send(Ok(next)).await.is_err() {
            return;
        }
        next = match tokio::time::timeout(HEARTBEAT, watching.events.recv()).await {
            Err(_) => WatchDrillRunResponse {
                heartbeat: true,
                message: String::new(),
                run: None,
            },
            Ok(Ok(event)) => event,
            Ok(Err(RecvError::Lagged(missed))) => WatchDrillRunResponse {
                heartbeat: false,
                message: format!("{missed} events were left out"),
                run: orchestrator.hub.run(&run_id),
            },
            Ok(Err(RecvError::Closed)) => return,
        };
    }
}

/// What the caller is told of an error.
pub(crate) fn status(error: DrillError) -> Status {
    let (code, reason) = match &error {
        DrillError::Unknown { .. } => (Code::NotFound, ReasonCode::DrillUnknown),
        DrillError::Running { .. } => (Code::FailedPrecondition, ReasonCode::DrillRunning),
        DrillError::LiveAccount { .. } => (Code::FailedPrecondition, ReasonCode::LiveAccountRefused),
        DrillError::File(_) | DrillError::ReadFile { .. } | DrillError::SameName { .. } => {
            (Code::FailedPrecondition, ReasonCode::InvalidArgument)
        }
        DrillError::FailpointService { .. } | DrillError::NoFailpoints => {
            (Code::InvalidArgument, ReasonCode::InvalidArgument)
        }
        DrillError::Lock { .. } | DrillError::Folder { .. } | DrillError::Journal(_) | DrillError::Report(_) => {
            (Code::Internal, ReasonCode::StorageFailed)
        }
        DrillError::Environment(_)
        | DrillError::Address(_)
        | DrillError::Attach(_)
        | DrillError::NotRolledBack { .. } => (Code::Unavailable, ReasonCode::DependencyUnavailable),
        DrillError::Serve(_) | DrillError::Program(_) => (Code::Internal, ReasonCode::Internal),
    };
    refusal(code, reason, error.to_string())
}
