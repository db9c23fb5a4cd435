//! Drills, in an environment of this process's own (`local`) or by a running orchestrator.

mod docker;
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
    /// `local`: in an environment of its own, on free ports, taken down afterwards. `docker`: the containers of a compose
    /// project, which stay. Or the address of an orchestrator, such as http://127.0.0.1:7105.
    #[arg(long, value_name = "local|docker|URL", default_value = "local", value_parser = parse_target)]
    target: Where,
    /// The compose project, with `--target docker`; not needed when there is only one.
    #[arg(long, value_name = "NAME", env = "COMPOSE_PROJECT_NAME")]
    project: Option<String>,
}

impl Target {
    /// The orchestrator to ask; None for an environment of this process's own.
    async fn url(&self) -> anyhow::Result<Option<String>> {
        match &self.target {
            Where::Local => Ok(None),
            Where::Docker => docker::orchestrator_url(self.project.as_deref()).await.map(Some),
            Where::Remote(url) => Ok(Some(url.clone())),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Where {
    Local,
    Docker,
    Remote(String),
}

fn parse_target(text: &str) -> Result<Where, String> {
    match text {
        "local" => Ok(Where::Local),
        "docker" => Ok(Where::Docker),
        url if url.starts_with("http://") || url.starts_with("https://") => Ok(Where::Remote(url.to_owned())),
        _ => Err("local, docker, or an address such as http://127.0.0.1:7105".to_owned()),
    }
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Which drills; the paper form's four (T1 to T4) when none is named.
    #[arg(value_name = "ID", conflicts_with = "all")]
    ids: Vec<String>,
    /// Every drill that there is, those of the network too.
    #[arg(long)]
    all: bool,
    /// Where report.json, report.html and report.md go; drill-report when it is left out, and nowhere for a run at an
    /// address.
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
            let drills = match target.url().await? {
                None => local::list(context)?,
                Some(url) => remote::list(&url, context).await?,
            };
            context.out.result(&drills, || listed(&drills))?;
            Ok(0)
        }
        DrillCommand::Run(mut args) => {
            let url = args.target.url().await?;
            if args.target.target == Where::Docker && args.out.is_none() {
                args.out = Some(PathBuf::from("drill-report"));
            }
            if args.all {
                args.ids = match &url {
                    None => local::list(context)?,
                    Some(url) => remote::list(url, context).await?,
                }
                .into_iter()
                .map(|drill| drill.id)
                .collect();
            }
            match url {
                None => local::run(args, context).await,
                Some(url) => remote::run(&url, args, context).await,
            }
        }
        DrillCommand::Show(args) => match args.target.url().await? {
            None => show::file(&args, context),
            Some(url) => show::remote(&url, &args, context).await,
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
        assert_eq!(parse_target("docker"), Ok(Where::Docker));
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
