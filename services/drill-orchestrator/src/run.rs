use std::time::{Duration, Instant};

use thunes_proto::gateway::v1::OrderState;
use thunes_runtime::clock;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::actions::RUNBOOK;
use crate::domain::{DrillDefinition, RollbackOutcome, Runbook, Verdict, run_verdict};
use crate::engine::{Context, DrillRunner, all_done};
use crate::environment::{Ask, Clients, Command, Drilled, until};
use crate::error::{ActionError, DrillError};
use crate::journal::{Found, Journal, JournalLock, NewRun, RunPlan};
use crate::library;
use crate::options::{RunOptions, RunOutcome};
use crate::plan::{environment_plan, is_refused, new_run_id, run_plan, stand_ins, with_failpoints};
use crate::progress::{Progress, ProgressEvent};
use crate::recovery::{recover_unfinished, undone_drill};
use crate::report::{
    DrillReport, EnvironmentInfo, Reconciliation, Report, RollbackReport, SCHEMA_VERSION, StepRecord, link,
    write_report,
};

const ANSWERS_WITHIN: Duration = Duration::from_secs(20);
/// What the last steps wrote is in the trail by then.
const DELIVERED_WITHIN: Duration = Duration::from_secs(5);

/// Runs drills in an environment of their own and writes the report. A second run beside it is refused. Cancelling stops
/// the run after the present step, rolls back, and makes the verdict ABORTED.
///
/// # Errors
/// Why it could not be begun, or its outcome not be kept; what happens in the run is in its report.
pub async fn run_local(
    options: RunOptions,
    progress: Progress,
    cancel: CancellationToken,
) -> Result<RunOutcome, DrillError> {
    let prepared = Prepared::new(options, &progress).await?;
    prepared.run(progress, cancel).await
}

/// A run that nothing stands in the way of any more.
#[derive(Debug)]
pub(crate) struct Prepared {
    options: RunOptions,
    drills: Vec<DrillDefinition>,
    journal: Journal,
    _lock: JournalLock,
    run_id: String,
    plan: RunPlan,
    started_ms: i64,
    begun: Instant,
}

/// What is gathered until the report is written.
struct Gathered {
    environment: EnvironmentInfo,
    drills: Vec<DrillReport>,
    reconciliation: Reconciliation,
    measurements: Vec<crate::report::Measurement>,
    rollback: RollbackReport,
    /// Empty when the run came to its end.
    aborted: String,
}

impl Prepared {
    /// Checks what was asked for, takes the journal, and rolls back what an earlier run left.
    pub(crate) async fn new(options: RunOptions, progress: &Progress) -> Result<Self, DrillError> {
        let drills = library::select(&options.config, &options.drills)?;
        if !options.failpoints.is_empty() && !thunes_store::failpoint::available() {
            return Err(DrillError::NoFailpoints);
        }
        let journal = Journal::open(&options.journal_dir()).await?;
        let lock = journal.lock()?;
        recover_unfinished(&journal, &lock, &options.config, progress).await?;
        let started_ms = clock::now_ms();
        let run_id = options.run_id.clone().unwrap_or_else(|| new_run_id(started_ms));
        let plan = run_plan(&options, &run_id);
        Ok(Self {
            options,
            drills,
            journal,
            _lock: lock,
            run_id,
            plan,
            started_ms,
            begun: clock::instant(),
        })
    }

    pub(crate) fn run_id(&self) -> &str {
        &self.run_id
    }

    pub(crate) async fn run(self, progress: Progress, cancel: CancellationToken) -> Result<RunOutcome, DrillError> {
        let ids: Vec<String> = self.drills.iter().map(|drill| drill.id.clone()).collect();
        self.journal
            .begin(&NewRun {
                run_id: &self.run_id,
                reason: &self.options.reason,
                actor: &self.options.actor,
                seed: i64::try_from(self.options.seed).unwrap_or(i64::MAX),
                drill_ids: &ids,
                plan: &self.plan,
                started_ms: self.started_ms,
            })
            .await?;
        progress(&ProgressEvent::RunStarted {
            run_id: self.run_id.clone(),
            drills: ids,
        });
        // A trace of its own for what belongs to no step.
        let span = tracing::info_span!(parent: None, "drill_run", run_id = self.run_id);
        let gathered = match self.in_environment(&progress, &cancel).instrument(span).await {
            Ok(gathered) => gathered,
            // Nothing was changed yet: there is nothing to report but the reason, which the caller gets.
            Err(
                error @ (DrillError::LiveAccount { .. }
                | DrillError::Environment(_)
                | DrillError::Attach(_)
                | DrillError::Address(_)
                | DrillError::Folder { .. }),
            ) => {
                let report = self.report(self.nothing(&error));
                self.journal.end(&report, clock::now_ms()).await?;
                if let Some(folder) = self
                    .options
                    .out_dir
                    .as_ref()
                    .filter(|_| !matches!(error, DrillError::LiveAccount { .. }))
                {
                    // The error itself matters more to the caller than a report of nothing that cannot be written.
                    let _ = write_report(folder, &report);
                }
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        let report = self.report(gathered);
        self.journal.end(&report, clock::now_ms()).await?;
        let files = self
            .options
            .out_dir
            .as_ref()
            .map(|folder| write_report(folder, &report))
            .transpose()?;
        let (run_id, duration_ms) = (self.run_id.clone(), report.duration_ms);
        progress(&ProgressEvent::RunEnded {
            run_id,
            verdict: report.verdict,
            duration_ms,
        });
        Ok(RunOutcome { report, files })
    }

    async fn in_environment(&self, progress: &Progress, cancel: &CancellationToken) -> Result<Gathered, DrillError> {
        let environment = self.start(progress).await?;
        let result = self.drill(environment, progress, cancel).await;
        if self.plan.temporary {
            // What cannot be removed now is removed by nobody, but it is only a folder in the place for such.
            let _ = std::fs::remove_dir_all(&self.plan.data_dir);
        }
        result
    }

    async fn start(&self, progress: &Progress) -> Result<Drilled, DrillError> {
        let folder = &self.plan.data_dir;
        std::fs::create_dir_all(folder).map_err(|source| DrillError::Folder {
            path: folder.clone(),
            source,
        })?;
        let begun = clock::instant();
        let environment = match self.reach(progress).await {
            Ok(environment) => environment,
            Err(error) => {
                if self.plan.temporary {
                    let _ = std::fs::remove_dir_all(folder);
                }
                return Err(error);
            }
        };
        let (data_dir, took_ms) = (folder.display().to_string(), clock::elapsed_ms(begun));
        progress(&ProgressEvent::EnvironmentReady { data_dir, took_ms });
        Ok(environment)
    }

    /// Starts the environment, or reaches for the one that is there.
    async fn reach(&self, progress: &Progress) -> Result<Drilled, DrillError> {
        if self.plan.compose {
            let (program, scratch) = (self.plan.program.clone(), self.plan.data_dir.clone());
            return Drilled::attach(&self.options.config.compose, program, scratch).await;
        }
        let plan = with_failpoints(environment_plan(&self.plan), &self.options)?;
        let mut tell = |event: thunes_supervisor::embedded::Progress| progress(&starting(event));
        Drilled::start(plan, &mut tell).await
    }

    async fn drill(
        &self,
        environment: Drilled,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Gathered, DrillError> {
        let (found, info) = match self.look(&environment).await {
            Ok(seen) => seen,
            Err(error) => {
                environment.place.end().await;
                return Ok(self.nothing_but(
                    EnvironmentInfo::default(),
                    format!("the environment did not answer: {error}"),
                ));
            }
        };
        if is_refused(&info.exchange, self.options.allow_live, self.options.config.allow_live) {
            environment.place.end().await;
            return Err(DrillError::LiveAccount {
                url: info.exchange_base_url,
            });
        }
        self.journal.found(&self.run_id, &found).await?;
        let mut context = Context::new(environment, &self.run_id, found);
        let payload = serde_json::json!({ "run_id": self.run_id, "actor": self.options.actor });
        let noted = context
            .note_in_audit("DRILL_STARTED", &self.options.reason, &payload)
            .await;
        if let Err(error) = noted {
            context.environment.place.end().await;
            return Ok(self.nothing_but(info, format!("the start could not be audited: {error}")));
        }
        let mut runner = DrillRunner {
            context: &mut context,
            journal: &self.journal,
            progress: progress.clone(),
            cancel: cancel.clone(),
            run_started: self.begun,
            rollback_steps: Vec::new(),
        };
        let mut drills = Vec::new();
        for drill in &self.drills {
            if cancel.is_cancelled() {
                drills.push(undone_drill(drill, "the run was stopped before it"));
                continue;
            }
            drills.push(runner.run(drill).await?);
        }
        self.journal.rolling_back(&self.run_id).await?;
        runner.roll_back_run().await?;
        let mut rollback = rollback_report(std::mem::take(&mut runner.rollback_steps));
        let verdict = verdict_of(&drills, rollback.outcome, cancel.is_cancelled());
        self.note_end(&mut context, verdict).await;
        let steps = drills.iter_mut().flat_map(|drill| drill.steps.iter_mut());
        self.link_events(&context, steps.chain(rollback.steps.iter_mut())).await;
        context.environment.place.end().await;
        let aborted = if cancel.is_cancelled() {
            "stopped on request; rolled back"
        } else {
            ""
        }
        .to_owned();
        Ok(Gathered {
            environment: info,
            drills,
            reconciliation: context.reconciliation,
            measurements: context.measurements,
            rollback,
            aborted,
        })
    }

    /// Audits the end.
    async fn note_end(&self, context: &mut Context, verdict: Verdict) {
        let payload = serde_json::json!({ "run_id": self.run_id, "verdict": verdict.as_str() });
        let noted = context
            .note_in_audit("DRILL_ENDED", &self.options.reason, &payload)
            .await;
        if let Err(error) = noted {
            tracing::warn!(%error, "the end of the drill could not be audited");
        }
    }

    /// Ties the steps to their audit events, once these had the time to arrive.
    async fn link_events<'a>(&self, context: &Context, steps: impl Iterator<Item = &'a mut StepRecord>) {
        if let Err(error) = until("every event to be delivered", DELIVERED_WITHIN, || delivered(context)).await {
            tracing::warn!(%error, "the report may lack audit events of its last steps");
        }
        match context.trail_of_run() {
            Ok(trail) => link(steps, &trail, &self.options.config.trace_url),
            Err(error) => tracing::warn!(%error, "the audit trail cannot be read: the report's steps have no events"),
        }
    }

    /// How the environment is before anything is done to it.
    async fn look(&self, environment: &Drilled) -> Result<(Found, EnvironmentInfo), ActionError> {
        let clients = &environment.clients;
        let found = until("the environment to answer", ANSWERS_WITHIN, || async {
            look_at(clients)
                .await
                .map_or_else(|error| Ask::NotYet(error.to_string()), Ask::Yes)
        })
        .await?;
        let (risk, gateway) = (clients.risk_status().await?, clients.gateway_status().await?);
        let receiver = risk.alerts.map(|alerts| alerts.receiver).unwrap_or_default();
        let version = Command::new(&environment.place.terminal(), &self.plan.program, &["--version"])
            .run(ANSWERS_WITHIN)
            .await?;
        let version = version.stdout.split_whitespace().last().unwrap_or("unknown").to_owned();
        let services = environment.targets.services();
        let info = EnvironmentInfo {
            target: environment.place.target().to_owned(),
            stand_ins: stand_ins(&gateway.environment, &receiver, self.options.seed),
            exchange: gateway.environment,
            exchange_base_url: gateway.exchange_base_url,
            seed: i64::try_from(self.options.seed).unwrap_or(i64::MAX),
            service_versions: services
                .iter()
                .map(|service| (service.name().to_owned(), version.clone()))
                .collect(),
            receiver,
            data_dir: self.plan.data_dir.display().to_string(),
            data_dir_kept: !self.plan.temporary,
            failpoints: self.options.failpoints.clone(),
            runbook_sha256: Runbook::new(RUNBOOK).sha256(),
        };
        Ok((found, info))
    }

    fn nothing(&self, error: &DrillError) -> Gathered {
        self.nothing_but(EnvironmentInfo::default(), error.to_string())
    }

    fn nothing_but(&self, environment: EnvironmentInfo, why: String) -> Gathered {
        Gathered {
            environment,
            drills: self.drills.iter().map(|drill| undone_drill(drill, &why)).collect(),
            reconciliation: Reconciliation::default(),
            measurements: Vec::new(),
            rollback: RollbackReport {
                outcome: RollbackOutcome::NotNeeded,
                steps: Vec::new(),
                detail: String::new(),
            },
            aborted: why,
        }
    }

    fn report(&self, gathered: Gathered) -> Report {
        Report {
            schema_version: SCHEMA_VERSION,
            run_id: self.run_id.clone(),
            verdict: verdict_of(
                &gathered.drills,
                gathered.rollback.outcome,
                !gathered.aborted.is_empty(),
            ),
            started_at: clock::iso_utc(self.started_ms),
            ended_at: clock::iso_utc(clock::now_ms()),
            duration_ms: clock::elapsed_ms(self.begun),
            reason: self.options.reason.clone(),
            note: gathered.aborted,
            environment: gathered.environment,
            drills: gathered.drills,
            reconciliation: gathered.reconciliation,
            measurements: gathered.measurements,
            rollback: gathered.rollback,
            form: self.options.config.form.clone(),
        }
    }
}

async fn delivered(context: &Context) -> Ask<()> {
    let (gateway, risk) = tokio::join!(context.clients().gateway_status(), context.clients().risk_status());
    match (gateway, risk) {
        (Ok(gateway), Ok(risk)) => {
            let waiting = gateway.audit_outbox_depth + risk.audit_outbox.map_or(0, |outbox| outbox.depth);
            if waiting == 0 {
                Ask::Yes(())
            } else {
                Ask::NotYet(format!("{waiting} wait"))
            }
        }
        (Err(error), _) | (_, Err(error)) => Ask::NotYet(error.to_string()),
    }
}

fn verdict_of(drills: &[DrillReport], rollback: RollbackOutcome, stopped: bool) -> Verdict {
    run_verdict(
        &drills.iter().map(|drill| drill.verdict).collect::<Vec<_>>(),
        rollback,
        stopped,
    )
}

pub(crate) fn rollback_report(steps: Vec<crate::report::StepRecord>) -> RollbackReport {
    let failed: Vec<_> = steps
        .iter()
        .filter(|step| step.outcome != "done")
        .map(|step| format!("{}: {}", step.name, step.detail))
        .collect();
    let outcome = if all_done(&steps) {
        RollbackOutcome::Done
    } else {
        RollbackOutcome::Failed
    };
    RollbackReport {
        outcome,
        steps,
        detail: failed.join("; "),
    }
}

async fn look_at(clients: &Clients) -> Result<Found, ActionError> {
    let status = clients.risk_status().await?;
    let positions = clients.holding().await?;
    let open = clients.orders(&[OrderState::New, OrderState::PartiallyFilled]).await?;
    clients.gateway_status().await?;
    Ok(Found {
        kill_switch_active: status.kill_switch_active,
        kill_switch_reason: status.kill_switch_reason,
        positions: positions
            .into_iter()
            .map(|(symbol, quantity)| (symbol, quantity.to_string()))
            .collect(),
        open_orders: open.into_iter().map(|order| order.client_order_id).collect(),
    })
}

fn starting(event: thunes_supervisor::embedded::Progress) -> ProgressEvent {
    match event {
        thunes_supervisor::embedded::Progress::Starting { service } => ProgressEvent::ServiceStarting {
            service: service.name().to_owned(),
        },
        thunes_supervisor::embedded::Progress::Ready { service, url, took, .. } => ProgressEvent::ServiceReady {
            service: service.name().to_owned(),
            url,
            took_ms: i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
        },
    }
}
