use std::sync::Arc;

use anyhow::Context as _;
use thunes_drill::{
    DrillConfig, DrillError, ProgressEvent, RunOptions, RunOutcome, failpoints_from_env, list_drills, run_local,
};
use thunes_proto::drill::v1::DrillInfo;
use thunes_runtime::{Settings, shutdown_on_signal};

use super::{EXIT_ABORTED, RunArgs};
use crate::call::Context;
use crate::failure::{EXIT_USAGE, Exits};

fn config(context: &Context) -> anyhow::Result<DrillConfig> {
    let settings = Settings::load(context.config.as_deref())?;
    Ok(DrillConfig::read(&settings)?.0)
}

pub fn list(context: &Context) -> anyhow::Result<Vec<DrillInfo>> {
    let drills = list_drills(&config(context)?).map_err(could_not_run)?;
    let info = |drill: &thunes_drill::DrillDefinition| DrillInfo {
        id: drill.id.clone(),
        title: drill.title.clone(),
        objective: drill.objective.clone(),
        criteria: drill.criteria.iter().map(|criterion| criterion.id.clone()).collect(),
    };
    Ok(drills.iter().map(info).collect())
}

/// Runs drills in an environment of their own. Ctrl-C stops after the present step and rolls back.
pub async fn run(args: RunArgs, context: &Context) -> anyhow::Result<u8> {
    let config = config(context)?;
    let program = std::env::current_exe().context("this program does not know its own file")?;
    let stop = shutdown_on_signal().context("this process cannot listen for signals")?;
    let mut options = RunOptions::new(program, config);
    options.drills = args.ids;
    options.data_dir = context.data_dir.clone();
    options.config_file = context.config.clone();
    options.reason = args.reason;
    options.keep_environment = args.keep;
    options.allow_live = args.allow_live;
    options.failpoints = failpoints_from_env().map_err(could_not_run)?;
    if let Some(folder) = args.out {
        options.out_dir = Some(folder);
    }
    if let Some(seed) = args.seed {
        options.seed = u64::from(seed);
    }
    if let Some(actor) = &context.actor {
        options.actor = actor.clone();
    }
    if let Some(folder) = &options.out_dir {
        can_hold_a_report(folder)?;
    }
    let out = context.out;
    let progress = Arc::new(move |event: &ProgressEvent| {
        // Progress is for people, also beside JSON: standard output then holds the report alone.
        if out.json {
            eprintln!("{event}")
        } else {
            out.say(&event.to_string())
        }
    });
    let outcome = run_local(options, progress, stop).await.map_err(could_not_run)?;
    context.out.result(&outcome.report, || summary(&outcome))?;
    Ok(u8::try_from(outcome.report.verdict.exit_code()).unwrap_or(EXIT_ABORTED))
}

/// Found out before the drill, not after it.
fn can_hold_a_report(folder: &std::path::Path) -> anyhow::Result<()> {
    let was_there = folder.exists();
    let probe = folder.join(".writable");
    let tried = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&probe, b""));
    let _ = std::fs::remove_file(&probe);
    if !was_there {
        // A run that is refused leaves no empty folder behind.
        let _ = std::fs::remove_dir(folder);
    }
    tried.map_err(|error| {
        let message = format!(
            "{} cannot hold the report: {error}; name another folder with --out",
            folder.display()
        );
        Exits {
            exit: EXIT_USAGE,
            message,
        }
        .into()
    })
}

/// A wrong drill or setting is the caller's to change. Anything else says nothing about the system: not measured.
fn could_not_run(error: DrillError) -> anyhow::Error {
    let exit = match error {
        DrillError::Unknown { .. }
        | DrillError::File(_)
        | DrillError::ReadFile { .. }
        | DrillError::SameName { .. }
        | DrillError::LiveAccount { .. }
        | DrillError::FailpointService { .. }
        | DrillError::NoFailpoints => EXIT_USAGE,
        _ => EXIT_ABORTED,
    };
    Exits {
        exit,
        message: error.to_string(),
    }
    .into()
}

fn summary(outcome: &RunOutcome) -> String {
    let report = &outcome.report;
    let mut text = String::from("\n");
    for drill in &report.drills {
        text += &format!(
            "{}  {} {} ({} ms)\n",
            drill.verdict, drill.id, drill.title, drill.duration_ms
        );
        for criterion in &drill.criteria {
            let measured = format!("{} {}", criterion.measured_text(), criterion.unit());
            let line = format!("  {}  {}: {}", criterion.verdict(), criterion.id(), measured.trim());
            let why = if criterion.why().is_empty() {
                String::new()
            } else {
                format!(" ({})", criterion.why())
            };
            text += &format!("{line}{why}\n");
        }
    }
    if !report.note.is_empty() {
        text += &format!("\nNote: {}\n", report.note);
    }
    if let Some(files) = &outcome.files {
        text += &format!("\nReport: {}\n", files.html.display());
        text += &format!(
            "        {}\n        {}\n",
            files.markdown.display(),
            files.json.display()
        );
    }
    text + &format!("\nVerdict: {} after {} ms\n", report.verdict, report.duration_ms)
}
