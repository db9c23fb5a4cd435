use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;
use thunes_proto::audit::v1::{Event, QueryEventsRequest, TailEventsRequest};
use thunes_runtime::{clock, shutdown_on_signal};
use thunes_supervisor::embedded::Service;

use crate::call::{CALL_WITHIN, Context, STREAM_WITHIN, answer};
use crate::failure::{CallFailed, EXIT_FAILED};
use crate::peers::DEFAULT_DATA_DIR;

/// Audit's largest page.
const PAGE_SIZE_MAX: usize = 1000;

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// The last events, and with --follow each new one as it becomes durable.
    Tail {
        /// How many.
        #[arg(long, short = 'n', default_value_t = 10, value_parser = clap::value_parser!(i32).range(0..=1000))]
        last: i32,
        #[arg(long, short)]
        follow: bool,
    },
    /// Events by type, service and time.
    Query(QueryArgs),
    /// Check a trail's file without any service: every line, its checksum, its chain.
    Verify {
        /// The file; logs/audit_trail.jsonl of the data folder when it is left out.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub struct QueryArgs {
    /// Only these types, joined by commas, such as KILL_SWITCH_ACTIVATED.
    #[arg(long = "type", value_name = "TYPES", value_delimiter = ',')]
    types: Vec<String>,
    /// Only events of these services, joined by commas.
    #[arg(long = "service", value_name = "NAMES", value_delimiter = ',')]
    services: Vec<String>,
    /// From this time on, such as 2026-11-24T06:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Option<i64>,
    /// Before this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    to: Option<i64>,
    /// How many at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    #[arg(long)]
    newest_first: bool,
}

fn parse_time(text: &str) -> Result<i64, String> {
    clock::parse_iso_utc(text).ok_or_else(|| "a time such as 2026-11-24T06:00:00Z is needed".to_owned())
}

pub async fn run(command: AuditCommand, context: &Context) -> anyhow::Result<u8> {
    match command {
        AuditCommand::Tail { last, follow } => tail(last, follow, context).await,
        AuditCommand::Query(args) => query(args, context).await,
        AuditCommand::Verify { file } => verify(file, context),
    }
}

/// JSON output is the line as it stands in the file.
fn print(event: &Event, context: &Context) -> anyhow::Result<()> {
    if context.out.json {
        let line: serde_json::Value = serde_json::from_str(&event.raw).unwrap_or_else(|_| json!(event.raw));
        return context.out.item(&line, String::new);
    }
    context.out.item(event, || {
        let reason = if event.reason.is_empty() {
            String::new()
        } else {
            format!("  {}", event.reason)
        };
        let payload = if event.payload_json == "{}" {
            String::new()
        } else {
            format!("  {}", event.payload_json)
        };
        let (seq, ts, kind) = (event.seq, &event.ts, &event.event_type);
        format!(
            "{seq:>7}  {ts}  {kind:<26}  {}  {}{reason}{payload}",
            event.service, event.actor
        )
    })
}

async fn tail(last: i32, follow: bool, context: &Context) -> anyhow::Result<u8> {
    let (mut audit, url) = context.peers.audit()?;
    let within = if follow { STREAM_WITHIN } else { CALL_WITHIN };
    let request = context.request(
        TailEventsRequest {
            from_seq: 0,
            last,
            follow,
        },
        within,
    );
    let mut stream = answer(audit.tail_events(request).await, Service::Audit, &url, "TailEvents")?;
    let ended = shutdown_on_signal()?;
    while let Some(next) = ended.run_until_cancelled(stream.message()).await {
        let failed = |status| CallFailed {
            service: Service::Audit,
            url: url.clone(),
            call: "TailEvents",
            status,
        };
        let Some(message) = next.map_err(failed)? else { break };
        if let Some(event) = message.event.filter(|_| !message.heartbeat) {
            print(&event, context)?;
        }
    }
    Ok(0)
}

async fn query(args: QueryArgs, context: &Context) -> anyhow::Result<u8> {
    let (mut audit, url) = context.peers.audit()?;
    let mut left = args.limit as usize;
    let mut page_token = String::new();
    while left > 0 {
        let request = QueryEventsRequest {
            event_types: args.types.clone(),
            services: args.services.clone(),
            from_ms: args.from.unwrap_or(0),
            to_ms: args.to.unwrap_or(0),
            page_size: i32::try_from(left.min(PAGE_SIZE_MAX))?,
            page_token,
            newest_first: args.newest_first,
        };
        let request = context.request(request, CALL_WITHIN);
        let page = answer(audit.query_events(request).await, Service::Audit, &url, "QueryEvents")?;
        for event in page.events.iter().take(left) {
            print(event, context)?;
        }
        left = left.saturating_sub(page.events.len());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(0);
        }
    }
    context.out.say("There are more; raise --limit.");
    Ok(0)
}

/// Fails when a line does not fit.
fn verify(file: Option<PathBuf>, context: &Context) -> anyhow::Result<u8> {
    let folder = context
        .data_dir
        .clone()
        .unwrap_or_else(|| PathBuf::from(DEFAULT_DATA_DIR));
    let file = file.unwrap_or_else(|| folder.join("logs").join("audit_trail.jsonl"));
    let path = file.display();
    let report = thunes_tlog::verify_file(&file)
        .with_context(|| format!("the audit trail {path} cannot be read; name a file, or a folder with --data-dir"))?;
    let bad = report
        .first_bad
        .as_ref()
        .map(|bad| json!({ "seq": bad.seq, "line_number": bad.line_number, "offset": bad.offset, "why": bad.why }));
    let shown = json!({
        "file": file,
        "valid": report.first_bad.is_none(),
        "lines": report.lines,
        "last_seq": report.last_seq,
        "last_leaf_hash": report.last_leaf_hash,
        "mark_compared": report.mark_compared,
        "first_bad": bad,
    });
    context.out.result(&shown, || {
        let lines = report.lines;
        let mut text = match &report.first_bad {
            None => format!("✅ All {lines} audit trail lines are valid ({path})\n"),
            Some(bad) => format!(
                "❌ Line {} (sequence {}, byte {}) is corrupt: {}\n{lines} lines before it are valid ({path})\n",
                bad.line_number, bad.seq, bad.offset, bad.why
            ),
        };
        if lines > 0 {
            text += &format!(
                "Last good line: sequence {}, leaf hash {}\n",
                report.last_seq, report.last_leaf_hash
            );
        }
        if report.first_bad.is_none() {
            let known = "The commit mark beside the file agrees: no line is missing at the end.\n";
            let unknown =
                "There is no commit mark beside the file: whether lines are missing at its end cannot be told.\n";
            text += if report.mark_compared { known } else { unknown };
        }
        text
    })?;
    Ok(if report.first_bad.is_none() { 0 } else { EXIT_FAILED })
}
