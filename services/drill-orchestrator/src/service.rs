use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use thunes_proto::drill::v1::drill_service_server::{DrillServiceServer, SERVICE_NAME};
use thunes_proto::drill::v1::{RunDrillRequest, RunDrillResponse};
use thunes_rpc::{MESSAGE_BYTES_MAX, refusal};
use thunes_runtime::clock;
use thunes_store::{Repeated, StoreError, begin_write, remember_answer, repeated_answer};
use thunes_types::ReasonCode;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Code, Status};

use crate::config::{DrillConfig, DrilledEnvironment};
use crate::domain::DrillDefinition;
use crate::error::DrillError;
use crate::failpoints::failpoints_from_env;
use crate::grpc::{DrillGrpc, status};
use crate::hub::Hub;
use crate::journal::Journal;
use crate::library::list_drills;
use crate::options::RunOptions;
use crate::plan::new_run_id;
use crate::progress::{Progress, ProgressEvent};
use crate::recovery::recover_unfinished;
use crate::run::Prepared;
use crate::wire;

const METHOD: &str = "thunes.drill.v1.RunDrill";

/// Starts runs, one at a time, and keeps what they came to.
#[derive(Debug)]
pub(crate) struct Orchestrator {
    config: DrillConfig,
    program: PathBuf,
    pub journal: Journal,
    pub hub: Arc<Hub>,
    shutdown: CancellationToken,
    run: Mutex<Option<JoinHandle<()>>>,
    /// Two requests must not both find that nothing runs.
    starting: tokio::sync::Mutex<()>,
}

/// Serves the API until `shutdown`; a run that goes on then is stopped and rolled back first.
///
/// # Errors
/// When the journal cannot be used or the server fails.
pub async fn serve(config: DrillConfig, listener: TcpListener, shutdown: CancellationToken) -> Result<(), DrillError> {
    let program = std::env::current_exe().map_err(DrillError::Program)?;
    let journal = Journal::open(&config.data_dir).await?;
    let log: Progress = Arc::new(|event: &ProgressEvent| tracing::info!("{event}"));
    match journal.lock() {
        Ok(lock) => match recover_unfinished(&journal, &lock, &config, &log).await {
            // Who asks for the next run is told; without the service nobody would be.
            Err(error @ DrillError::NotRolledBack { .. }) => tracing::error!(%error, "a run is not rolled back"),
            ended => ended?,
        },
        Err(DrillError::Running { .. }) => tracing::info!("another process runs a drill of this journal"),
        Err(error) => return Err(error),
    }
    let orchestrator = Arc::new(Orchestrator {
        config,
        program,
        journal,
        hub: Arc::new(Hub::new()),
        shutdown: shutdown.clone(),
        run: Mutex::new(None),
        starting: tokio::sync::Mutex::new(()),
    });
    let service = DrillServiceServer::new(DrillGrpc {
        orchestrator: orchestrator.clone(),
    })
    .max_decoding_message_size(MESSAGE_BYTES_MAX);
    thunes_rpc::serve(listener, &[SERVICE_NAME], Routes::new(service), shutdown).await?;
    orchestrator.finish().await;
    Ok(())
}

impl Orchestrator {
    pub(crate) fn drills(&self) -> Result<Vec<DrillDefinition>, DrillError> {
        list_drills(&self.config)
    }

    /// Starts a run and answers with its id. The same request id with the same payload gives the same run.
    pub(crate) async fn start(&self, request: RunDrillRequest, seed: u64, actor: String) -> Result<String, Status> {
        let _starting = self.starting.lock().await;
        if let Some(known) = self.repeated(&request).await? {
            return Ok(known.run_id);
        }
        if let Some(run) = self.hub.current() {
            let message = format!("run {} goes on; watch it, or cancel it first", run.run_id);
            return Err(refusal(Code::FailedPrecondition, ReasonCode::DrillRunning, message));
        }
        let options = self.options(&request, seed, actor).map_err(status)?;
        let hub = self.hub.clone();
        let progress: Progress = Arc::new(move |event: &ProgressEvent| {
            tracing::info!("{event}");
            hub.tell(event);
        });
        // In a task of its own: a caller who goes away must not end a rollback in its middle.
        let preparing = progress.clone();
        let prepared = tokio::spawn(async move { Prepared::new(options, &preparing).await });
        let prepared = prepared.await.map_err(|error| Status::internal(error.to_string()))?;
        let prepared = prepared.map_err(status)?;
        let run_id = prepared.run_id().to_owned();
        self.remember(&request, &RunDrillResponse { run_id: run_id.clone() })
            .await?;
        let cancel = self.shutdown.child_token();
        self.hub.begin(&run_id, cancel.clone());
        let (hub, journal, id) = (self.hub.clone(), self.journal.clone(), run_id.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = prepared.run(progress, cancel).await {
                tracing::error!(%error, run_id = id, "the drill run failed");
            }
            let ended = journal.run(&id).await.ok().flatten().map(|row| wire::row(&row));
            hub.end(ended.unwrap_or_default());
        });
        *self.run.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        Ok(run_id)
    }

    fn options(&self, request: &RunDrillRequest, seed: u64, actor: String) -> Result<RunOptions, DrillError> {
        let run_id = new_run_id(clock::now_ms());
        let mut options = RunOptions::new(&self.program, self.config.clone());
        options.drills.clone_from(&request.drill_ids);
        options.reason.clone_from(&request.reason);
        options.out_dir = Some(self.config.data_dir.join("drill-reports").join(&run_id));
        options.seed = if seed == 0 { 1 } else { seed };
        options.actor = actor;
        options.failpoints = failpoints_from_env()?;
        options.run_id = Some(run_id);
        options.compose = self.config.environment == DrilledEnvironment::Compose;
        Ok(options)
    }

    async fn repeated(&self, request: &RunDrillRequest) -> Result<Option<RunDrillResponse>, Status> {
        if request.request_id.is_empty() {
            return Ok(None);
        }
        let failed = |error: StoreError| status(error.into());
        let mut tx = begin_write(&self.journal.database().pool)
            .await
            .map_err(|e| failed(e.into()))?;
        match repeated_answer(&mut tx, METHOD, &request.request_id, request)
            .await
            .map_err(failed)?
        {
            Repeated::No => Ok(None),
            Repeated::Same(answer) => Ok(Some(answer)),
            Repeated::Other => {
                let message = format!(
                    "request_id {:?} was used for another request; choose a new one",
                    request.request_id
                );
                Err(refusal(Code::AlreadyExists, ReasonCode::RequestIdReused, message))
            }
        }
    }

    async fn remember(&self, request: &RunDrillRequest, answer: &RunDrillResponse) -> Result<(), Status> {
        if request.request_id.is_empty() {
            return Ok(());
        }
        let failed = |error: StoreError| status(error.into());
        let mut tx = begin_write(&self.journal.database().pool)
            .await
            .map_err(|e| failed(e.into()))?;
        remember_answer(&mut tx, METHOD, &request.request_id, request, answer)
            .await
            .map_err(failed)?;
        tx.commit().await.map_err(|e| failed(e.into()))
    }

    /// Waits until the run has rolled back; `shutdown` has stopped it.
    async fn finish(&self) {
        let task = self.run.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // A run that panicked is rolled back by the next start.
            let _ = task.await;
        }
    }
}
