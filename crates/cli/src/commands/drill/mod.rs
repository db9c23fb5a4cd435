//! Drills, in an environment of this process's own (`local`) or by a running orchestrator.

mod local;
mod remote;
mod show;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use thunes_proto::drill::v1::{DrillInfo, ReportFormat, Verdict};

use crate::call::Context;
use crate::output::Out;

/// A drill that could not be carried out; nothing is said about the system.
const EXIT_ABORTED: u8 = 4;

#[derive(Debug, Subcommand)]
pub enum DrillCommand {
    /// The drills that there are, with their success criteria.
    List {
        #[command(flatten)]
        target: Target,
    },
    /// Run drills and write the report. Exit codes: 0 PASS, 1 FAIL, 2 usage, 3 INCONCLUSIVE, 4 ABORTED.
    Run(RunArgs),
    /// Print the report of a run.
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub struct Target {
    /// `local`: in an environment of its own, on free ports, taken down afterwards. Or the address of an orchestrator,
    /// such as http://127.0.0.1:7105.
    #[arg(long, value_name = "local|URL", default_value = "local", value_parser = parse_target)]
    target: Where,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Where {
    Local,
    Remote(String),
}

fn parse_target(text: &str) -> Result<Where, String> {
    match text {
        "local" => Ok(Where::Local),
        url if url.starts_with("http://") || url.starts_with("https://") => Ok(Where::Remote(url.to_owned())),
        _ => Err("local, or an address such as http://127.0.0.1:7105".to_owned()),
    }
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Which drills; all of them when none is named.
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Where report.json, report.html and report.md go; drill-report for a local run, nowhere for a remote one.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// For the simulated exchange's prices and the trader's choices.
    #[arg(long)]
    seed: Option<u32>,
    /// Why; goes to the audit trail and the report.
    #[arg(long, default_value = "drill by the operator")]
    reason: String,
    /// Leave the environment's data folder where it is.
    #[arg(long)]
    keep: bool,
    /// The second of the two words that a live account needs; the other is drill.allow_live.
    #[arg(long)]
    allow_live: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A report.json, or the folder that holds it; with --target the id of a run.
    #[arg(value_name = "REPORT|RUN_ID")]
    what: String,
    #[arg(long, value_enum, default_value_t = Format::Markdown)]
    format: Format,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Markdown,
    Html,
    Json,
}

impl Format {
    /// --json asks for JSON whatever --format says.
    fn wanted(self, out: Out) -> Self {
        if out.json { Format::Json } else { self }
    }

    fn proto(self) -> ReportFormat {
        match self {
            Format::Markdown => ReportFormat::Markdown,
            Format::Html => ReportFormat::Html,
            Format::Json => ReportFormat::Json,
        }
    }
}

pub async fn run(command: DrillCommand, context: &Context) -> anyhow::Result<u8> {
    match command {
        DrillCommand::List { target } => {
            let drills = match target.target {
                Where::Local => local::list(context)?,
                Where::Remote(url) => remote::list(&url, context).await?,
            };
            context.out.result(&drills, || listed(&drills))?;
            Ok(0)
        }
        DrillCommand::Run(args) => match args.target.target.clone() {
            Where::Local => local::run(args, context).await,
            Where::Remote(url) => remote::run(&url, args, context).await,
        },
        DrillCommand::Show(args) => match args.target.target.clone() {
            Where::Local => show::file(&args, context),
            Where::Remote(url) => show::remote(&url, &args, context).await,
        },
    }
}

fn listed(drills: &[DrillInfo]) -> String {
    let one = |drill: &DrillInfo| {
        let criteria: String = drill
            .criteria
            .iter()
            .map(|criterion| format!("    {criterion}\n"))
            .collect();
        format!("{}  {}\n  {}\n{criteria}", drill.id, drill.title, drill.objective)
    };
    drills.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// PASS 0, FAIL 1, INCONCLUSIVE 3, ABORTED 4; 2 is kept for wrong usage.
fn exit_of(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Pass => 0,
        Verdict::Fail => 1,
        Verdict::Inconclusive | Verdict::Unspecified => 3,
        Verdict::Aborted => EXIT_ABORTED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_local_or_an_address() {
        assert_eq!(parse_target("local"), Ok(Where::Local));
        assert_eq!(
            parse_target("http://127.0.0.1:7105"),
            Ok(Where::Remote("http://127.0.0.1:7105".into()))
        );
        assert!(parse_target("127.0.0.1").is_err());
    }

    #[test]
    fn every_verdict_has_its_exit_code() {
        let codes = [Verdict::Pass, Verdict::Fail, Verdict::Inconclusive, Verdict::Aborted].map(exit_of);
        assert_eq!(codes, [0, 1, 3, 4]);
    }
}
