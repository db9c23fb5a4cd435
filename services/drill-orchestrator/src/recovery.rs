use std::time::Duration;

use thunes_runtime::clock;

use crate::config::DrillConfig;
use crate::domain::{DrillDefinition, RollbackOutcome, Verdict, drill_verdict};
use crate::engine::{Context, DrillRunner};
use crate::environment::{Drilled, end_leftovers};
use crate::error::DrillError;
use crate::journal::{Found, Journal, JournalLock, RunRow, StepRow};
use crate::library::list_drills;
use crate::plan::environment_plan;
use crate::progress::{Progress, ProgressEvent};
use crate::report::{
    Criterion, DrillReport, EnvironmentInfo, Reconciliation, Report, RollbackReport, SCHEMA_VERSION, StepRecord,
    write_report,
};
use crate::run::rollback_report;

/// How long a rollback on containers is tried at a start.
const TRIED_FOR: Duration = Duration::from_secs(60);
const TRY_INTERVAL: Duration = Duration::from_secs(2);

/// Rolls back every run that was cut off, marks it ABORTED, and writes a report that says so.
///
/// # Errors
/// When the journal fails; a rollback that fails is in the report.
pub async fn recover_unfinished(
    journal: &Journal,
    lock: &JournalLock,
    config: &DrillConfig,
    progress: &Progress,
) -> Result<(), DrillError> {
    for run in journal.unfinished(lock).await? {
        let rollback = roll_back_until(journal, &run, config, progress).await;
        if run.plan.compose && rollback.outcome == RollbackOutcome::Failed {
            // The containers are still there, and as the run left them: the next start or run tries again.
            return Err(DrillError::NotRolledBack {
                run_id: run.run_id,
                why: rollback.detail,
            });
        }
        let report = aborted_report(journal, &run, config, rollback).await?;
        journal.end(&report, clock::now_ms()).await?;
        if let Some(folder) = &run.plan.out_dir
            && let Err(error) = write_report(folder, &report)
        {
            tracing::warn!(%error, run_id = run.run_id, "the report of a run that was cut off could not be written");
        }
        progress(&ProgressEvent::Recovered {
            run_id: run.run_id,
            detail: report.note,
        });
    }
    Ok(())
}

/// Containers beside this one may come up later than it, above all the guard: on compose it is tried for a while.
async fn roll_back_until(journal: &Journal, run: &RunRow, config: &DrillConfig, progress: &Progress) -> RollbackReport {
    let begun = clock::instant();
    loop {
        let rollback = roll_back(journal, run, config, progress).await;
        let again = run.plan.compose && rollback.outcome == RollbackOutcome::Failed && begun.elapsed() < TRIED_FOR;
        if !again {
            return rollback;
        }
        tracing::warn!(
            run_id = run.run_id,
            why = rollback.detail,
            "not rolled back yet; trying again"
        );
        tokio::time::sleep(TRY_INTERVAL).await;
    }
}

/// Puts things back as the journal says they were found.
async fn roll_back(journal: &Journal, run: &RunRow, config: &DrillConfig, progress: &Progress) -> RollbackReport {
    let ended = end_leftovers(&run.plan.data_dir);
    let ended = if ended.is_empty() {
        "no process was left".to_owned()
    } else {
        format!("ended {}", ended.join(", "))
    };
    if run.plan.temporary && !run.plan.compose {
        return match std::fs::remove_dir_all(&run.plan.data_dir) {
            Ok(()) => done(format!("{ended}; its own folder was removed")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                done(format!("{ended}; its own folder was gone"))
            }
            Err(error) => failed(format!(
                "{ended}; {} cannot be removed: {error}",
                run.plan.data_dir.display()
            )),
        };
    }
    let Some(found) = run.found.clone() else {
        return done(format!("{ended}; it had not changed anything yet"));
    };
    match in_environment(journal, run, config, found, progress).await {
        Ok(mut report) => {
            report.detail = format!("{ended}; {}", report.detail).trim_end_matches("; ").to_owned();
            report
        }
        Err(error) => failed(format!("{ended}; the environment could not be rolled back: {error}")),
    }
}

fn done(detail: String) -> RollbackReport {
    RollbackReport {
        outcome: RollbackOutcome::Done,
        steps: Vec::new(),
        detail,
    }
}

fn failed(detail: String) -> RollbackReport {
    RollbackReport {
        outcome: RollbackOutcome::Failed,
        steps: Vec::new(),
        detail,
    }
}

/// Reaches for the containers, or starts the environment on its folder once more, to leave it as it was found.
async fn in_environment(
    journal: &Journal,
    run: &RunRow,
    config: &DrillConfig,
    found: Found,
    progress: &Progress,
) -> Result<RollbackReport, DrillError> {
    journal.rolling_back(&run.run_id).await?;
    let plan = &run.plan;
    let environment = if plan.compose {
        Drilled::attach(&config.compose, plan.program.clone(), plan.data_dir.clone()).await?
    } else {
        Drilled::start(environment_plan(plan), &mut |_| {}).await?
    };
    let mut context = Context::new(environment, &run.run_id, found);
    let mut runner = DrillRunner {
        context: &mut context,
        journal,
        progress: progress.clone(),
        cancel: tokio_util::sync::CancellationToken::new(),
        run_started: clock::instant(),
        rollback_steps: Vec::new(),
    };
    let rolled_back = runner.roll_back_run().await;
    let steps = std::mem::take(&mut runner.rollback_steps);
    let payload = serde_json::json!({ "run_id": run.run_id, "verdict": Verdict::Aborted.as_str() });
    if let Err(error) = context
        .note_in_audit("DRILL_ENDED", "the drill was cut off; rolled back afterwards", &payload)
        .await
    {
        tracing::warn!(%error, "the end of the drill could not be audited");
    }
    context.environment.place.end().await;
    if plan.compose && plan.temporary {
        // Only what the run itself wrote; a rest of it harms nobody.
        let _ = std::fs::remove_dir_all(&plan.data_dir);
    }
    rolled_back?;
    Ok(rollback_report(steps))
}

async fn aborted_report(
    journal: &Journal,
    run: &RunRow,
    config: &DrillConfig,
    rollback: RollbackReport,
) -> Result<Report, DrillError> {
    let steps = journal.steps(&run.run_id).await?;
    // A file of the user's own that is wrong by now must not keep the run from being ended.
    let known = list_drills(config).unwrap_or_default();
    let last = steps.last().map_or("before its first step".to_owned(), |step| {
        format!("at or after \"{}\"", step.name)
    });
    let note = format!(
        "The orchestrator ended without a word {last}; the next start rolled back: {}",
        rollback.detail
    );
    let why = "the run was cut off";
    let mut drills: Vec<DrillReport> = Vec::new();
    for id in &run.drill_ids {
        let Some(definition) = known.iter().find(|drill| drill.id == *id) else {
            continue;
        };
        let mut drill = undone_drill(definition, why);
        let own = steps.iter().filter(|step| step.drill_id == *id);
        drill.steps = own.map(|step| step_record(step, run.started_ms)).collect();
        drills.push(drill);
    }
    Ok(Report {
        schema_version: SCHEMA_VERSION,
        run_id: run.run_id.clone(),
        verdict: Verdict::Aborted,
        started_at: clock::iso_utc(run.started_ms),
        ended_at: clock::iso_utc(clock::now_ms()),
        duration_ms: clock::now_ms() - run.started_ms,
        reason: run.reason.clone(),
        note,
        environment: EnvironmentInfo {
            target: if run.plan.compose { "docker" } else { "local" }.to_owned(),
            seed: run.seed,
            data_dir: run.plan.data_dir.display().to_string(),
            data_dir_kept: !run.plan.temporary,
            ..EnvironmentInfo::default()
        },
        drills,
        reconciliation: Reconciliation::default(),
        measurements: Vec::new(),
        rollback,
        form: config.form.clone(),
    })
}

fn step_record(step: &StepRow, run_started_ms: i64) -> StepRecord {
    let ended = step.ended_ms > 0;
    StepRecord {
        name: step.name.clone(),
        action: step.action.clone(),
        start_offset_ms: step.started_ms - run_started_ms,
        duration_ms: if ended { step.ended_ms - step.started_ms } else { 0 },
        outcome: if ended {
            step.outcome.clone()
        } else {
            "failed".to_owned()
        },
        detail: if ended {
            step.detail.clone()
        } else {
            "cut off".to_owned()
        },
        trace_id: String::new(),
        trace_url: String::new(),
        audit_events: Vec::new(),
        audit_events_more: 0,
        evidence: Vec::new(),
    }
}

/// A drill that the run did not come to.
pub(crate) fn undone_drill(definition: &DrillDefinition, why: &str) -> DrillReport {
    let now = clock::iso_utc(clock::now_ms());
    let criteria: Vec<_> = definition
        .criteria
        .iter()
        .map(|criterion| Criterion::aborted(criterion, why))
        .collect();
    DrillReport {
        id: definition.id.clone(),
        title: definition.title.clone(),
        short_title: definition.short_title.clone(),
        objective: definition.objective.clone(),
        verdict: drill_verdict(&criteria.iter().map(Criterion::verdict).collect::<Vec<_>>(), true),
        started_at: now.clone(),
        ended_at: now,
        duration_ms: 0,
        steps: Vec::new(),
        criteria,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{NewRun, RunPlan};
    use thunes_runtime::Settings;

    fn config() -> DrillConfig {
        DrillConfig::read(&Settings::from_toml("").expect("toml"))
            .expect("config")
            .0
    }

    async fn cut_off(journal: &Journal, folder: &std::path::Path) -> RunPlan {
        let plan = RunPlan {
            program: "/nowhere/thunes".into(),
            data_dir: folder.join("environment"),
            temporary: true,
            config_file: None,
            out_dir: Some(folder.join("report")),
            seed: 7,
            compose: false,
        };
        std::fs::create_dir_all(plan.data_dir.join("run")).expect("folder");
        let ids = ["T1".to_owned()];
        let new = NewRun {
            run_id: "r1",
            reason: "x",
            actor: "a",
            seed: 7,
            drill_ids: &ids,
            plan: &plan,
            started_ms: clock::now_ms(),
        };
        journal.begin(&new).await.expect("begun");
        let first = journal
            .step_begins("r1", "T1", "first", "record_state")
            .await
            .expect("step");
        journal.step_ends("r1", first, "done", "fine").await.expect("step");
        journal
            .step_begins("r1", "T1", "second", "open_position")
            .await
            .expect("step");
        plan
    }

    #[tokio::test]
    async fn p10_a_run_that_was_cut_off_is_rolled_back_and_reported_as_aborted() {
        let folder = tempfile::tempdir().expect("folder");
        let journal = Journal::open(folder.path()).await.expect("journal");
        let plan = cut_off(&journal, folder.path()).await;
        let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let heard = told.clone();
        let progress: Progress =
            std::sync::Arc::new(move |event: &ProgressEvent| heard.lock().expect("told").push(event.to_string()));
        let lock = journal.lock().expect("free");
        recover_unfinished(&journal, &lock, &config(), &progress)
            .await
            .expect("recovered");
        assert!(!plan.data_dir.exists(), "its own folder goes away with it");
        let report = crate::report::read_report(&folder.path().join("report")).expect("a report says so");
        assert_eq!(report.verdict, Verdict::Aborted);
        assert!(report.note.contains("second"), "{}", report.note);
        assert!(
            report.drills[0]
                .criteria
                .iter()
                .all(|criterion| criterion.verdict() == Verdict::Aborted)
        );
        assert_eq!(
            report.drills[0]
                .steps
                .iter()
                .map(|s| s.outcome.as_str())
                .collect::<Vec<_>>(),
            ["done", "failed"]
        );
        assert!(told.lock().expect("told")[0].contains("r1"));
        let row = journal.run("r1").await.expect("reads").expect("is there");
        assert!(row.ended && row.verdict == Some(Verdict::Aborted));
        assert!(
            journal.unfinished(&lock).await.expect("reads").is_empty(),
            "it is recovered once"
        );
    }

    #[tokio::test]
    async fn p10_a_run_that_goes_on_is_not_taken_for_one_that_was_cut_off() {
        let folder = tempfile::tempdir().expect("folder");
        let journal = Journal::open(folder.path()).await.expect("journal");
        let running = journal.lock().expect("free");
        let other = Journal::open(folder.path()).await.expect("a second process");
        let error = other.lock().expect_err("held").to_string();
        assert!(error.contains("a drill is running"), "{error}");
        drop(running);
        other.lock().expect("free again");
    }

    #[tokio::test]
    async fn p10_an_environment_that_cannot_be_rolled_back_is_said_to_be_left() {
        let folder = tempfile::tempdir().expect("folder");
        let journal = Journal::open(folder.path()).await.expect("journal");
        let mut plan = cut_off(&journal, folder.path()).await;
        plan.temporary = false;
        let found = Found {
            kill_switch_active: true,
            ..Found::default()
        };
        let row = RunRow {
            plan,
            found: Some(found),
            ..journal.run("r1").await.expect("reads").expect("is there")
        };
        let progress: Progress = std::sync::Arc::new(|_: &ProgressEvent| {});
        let rollback = roll_back(&journal, &row, &config(), &progress).await;
        assert_eq!(rollback.outcome, RollbackOutcome::Failed, "{}", rollback.detail);
        assert!(
            rollback.detail.contains("could not be rolled back"),
            "{}",
            rollback.detail
        );
    }
}
