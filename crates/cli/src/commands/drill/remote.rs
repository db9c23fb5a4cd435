use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use thunes_proto::drill::v1::drill_service_client::DrillServiceClient;
use thunes_proto::drill::v1::{
    CancelDrillRunRequest, DrillInfo, DrillRun, GetDrillReportRequest, GetDrillRunRequest, ListDrillsRequest,
    ReportFormat, RunDrillRequest, RunState, WatchDrillRunRequest,
};
use thunes_rpc::Client;
use thunes_runtime::shutdown_on_signal;
use thunes_supervisor::embedded::Service;
use tokio_util::sync::CancellationToken;

use super::{EXIT_ABORTED, RunArgs, exit_of};
use crate::call::{CALL_WITHIN, Context, STREAM_WITHIN, answer};
use crate::failure::{CallFailed, EXIT_USAGE, Exits, Usage};
use crate::show::short;

const SERVICE: Service = Service::DrillOrchestrator;
/// A stream that broke is opened again; the orchestrator itself may be what the drill kills.
const REOPEN_INTERVAL: Duration = Duration::from_millis(500);
const REOPENINGS_MAX: u32 = 120;

fn client(url: &str) -> anyhow::Result<DrillServiceClient<Client>> {
    Ok(DrillServiceClient::new(
        thunes_rpc::connect(url).map_err(|error| Usage(error.to_string()))?,
    ))
}

pub async fn list(url: &str, context: &Context) -> anyhow::Result<Vec<DrillInfo>> {
    let request = context.request(ListDrillsRequest {}, CALL_WITHIN);
    Ok(answer(client(url)?.list_drills(request).await, SERVICE, url, "ListDrills")?.drills)
}

pub async fn report(url: &str, run_id: &str, format: ReportFormat, context: &Context) -> anyhow::Result<String> {
    let request = GetDrillReportRequest {
        run_id: run_id.to_owned(),
        format: format.into(),
    };
    let request = context.request(request, CALL_WITHIN);
    Ok(answer(
        client(url)?.get_drill_report(request).await,
        SERVICE,
        url,
        "GetDrillReport",
    )?
    .content)
}

/// Starts a run at the orchestrator, follows it to its end, and fetches its report. Ctrl-C cancels the run.
pub async fn run(url: &str, args: RunArgs, context: &Context) -> anyhow::Result<u8> {
    let stop = shutdown_on_signal()?;
    let request = RunDrillRequest {
        drill_ids: args.ids,
        reason: args.reason,
        request_id: uuid::Uuid::new_v4().to_string(),
        seed: args.seed.map_or(0, i64::from),
    };
    let request = context.request(request, CALL_WITHIN);
    let started = answer(client(url)?.run_drill(request).await, SERVICE, url, "RunDrill");
    let run_id = started.map_err(|failed| not_started(failed.into()))?.run_id;
    context.out.say(&format!("Run {run_id}"));
    let run = follow(url, &run_id, &stop, context).await?;
    context.out.result(&run, || summary(&run))?;
    if let Some(folder) = &args.out {
        write_reports(url, &run_id, folder, context).await?;
    }
    Ok(exit_of(run.verdict()))
}

/// A run that did not start says nothing about the system: it must not look like a FAIL. What the caller can change is
/// a usage error, anything else an abort.
fn not_started(error: anyhow::Error) -> anyhow::Error {
    let Some(failed) = error.downcast_ref::<CallFailed>() else {
        return error;
    };
    let usage = matches!(
        failed.status.code(),
        tonic::Code::InvalidArgument | tonic::Code::NotFound
    );
    Exits {
        exit: if usage { EXIT_USAGE } else { EXIT_ABORTED },
        message: error.to_string(),
    }
    .into()
}

async fn follow(url: &str, run_id: &str, stop: &CancellationToken, context: &Context) -> anyhow::Result<DrillRun> {
    let mut client = client(url)?;
    let mut said = String::new();
    let mut cancelled = false;
    for _ in 0..REOPENINGS_MAX {
        let request = context.request(
            WatchDrillRunRequest {
                run_id: run_id.to_owned(),
            },
            STREAM_WITHIN,
        );
        let watching = answer(client.watch_drill_run(request).await, SERVICE, url, "WatchDrillRun");
        let mut stream = match watching {
            Ok(stream) => stream,
            Err(failed) if failed.is_refusal() => return Err(failed.into()),
            Err(_) => {
                tokio::time::sleep(REOPEN_INTERVAL).await;
                continue;
            }
        };
        loop {
            let next = tokio::select! {
                next = stream.message() => next,
                () = stop.cancelled(), if !cancelled => {
                    cancelled = true;
                    cancel(&mut client, url, run_id, context).await?;
                    continue;
                }
            };
            let Ok(Some(message)) = next else { break };
            // A stream that was opened again begins with what was said before.
            if !message.heartbeat && !message.message.is_empty() && message.message != said {
                context.out.say(&message.message);
                said = message.message;
            }
            if let Some(run) = message.run.filter(|run| run.state() == RunState::Ended) {
                return Ok(run);
            }
        }
        let request = context.request(
            GetDrillRunRequest {
                run_id: run_id.to_owned(),
            },
            CALL_WITHIN,
        );
        let asked = client
            .get_drill_run(request)
            .await
            .map(|answer| answer.into_inner().run);
        if let Ok(Some(run)) = asked.map(|run| run.filter(|run| run.state() == RunState::Ended)) {
            return Ok(run);
        }
        tokio::time::sleep(REOPEN_INTERVAL).await;
    }
    anyhow::bail!(
        "the orchestrator at {url} does not answer any more; ask it later with `drill show {run_id} --target {url}`"
    )
}

async fn cancel(
    client: &mut DrillServiceClient<Client>,
    url: &str,
    run_id: &str,
    context: &Context,
) -> anyhow::Result<()> {
    eprintln!("Cancelling; the run stops after the present step and rolls back...");
    let request = CancelDrillRunRequest {
        run_id: run_id.to_owned(),
        reason: "interrupted at the terminal".to_owned(),
    };
    let request = context.request(request, CALL_WITHIN);
    answer(client.cancel_drill_run(request).await, SERVICE, url, "CancelDrillRun")?;
    Ok(())
}

async fn write_reports(url: &str, run_id: &str, folder: &Path, context: &Context) -> anyhow::Result<()> {
    let cannot = || {
        format!(
            "the report cannot be written to {}; name another folder with --out",
            folder.display()
        )
    };
    std::fs::create_dir_all(folder).with_context(cannot)?;
    let files = [
        ("report.json", ReportFormat::Json),
        ("report.html", ReportFormat::Html),
        ("report.md", ReportFormat::Markdown),
    ];
    for (name, format) in files {
        let text = report(url, run_id, format, context).await?;
        std::fs::write(folder.join(name), text).with_context(cannot)?;
    }
    context
        .out
        .say(&format!("Report: {}", folder.join("report.html").display()));
    Ok(())
}

fn summary(run: &DrillRun) -> String {
    let verdict = |verdict: thunes_proto::drill::v1::Verdict| short(verdict.as_str_name(), "VERDICT_").to_owned();
    let mut text = String::new();
    for drill in &run.drills {
        text += &format!(
            "{}  {} ({} ms)\n",
            verdict(drill.verdict()),
            drill.id,
            drill.duration_ms
        );
        for criterion in &drill.criteria {
            let measured = format!("{} {}", criterion.measured, criterion.unit);
            let line = format!(
                "  {}  {}: {}",
                verdict(criterion.verdict()),
                criterion.id,
                measured.trim()
            );
            text += &format!("{line} ({})\n", criterion.objective);
        }
    }
    let note = if run.note.is_empty() {
        String::new()
    } else {
        format!(" ({})", run.note)
    };
    text + &format!("\nVerdict: {}{note}\n", verdict(run.verdict()))
}
