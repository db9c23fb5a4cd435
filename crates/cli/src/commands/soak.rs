use clap::Args;
use thunes_soak::{Soak, SoakError, SoakOptions, SoakReport};

use crate::call::Context;
use crate::output::Facts;

#[derive(Debug, Args)]
pub struct SoakArgs {
    /// For everything that is left to chance; one seed gives one schedule.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// SIGKILLs, over all services together.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    kills: u64,
    /// Clients that trade at the same time.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=64))]
    clients: u16,
    /// Keep the folder even when nothing was found.
    #[arg(long)]
    keep: bool,
}

/// 0 when every count of something wrong is zero, else 1.
pub async fn run(args: SoakArgs, context: &Context) -> anyhow::Result<u8> {
    let options = SoakOptions {
        program: std::env::current_exe().map_err(SoakError::OwnFile)?,
        seed: args.seed,
        kills: args.kills,
        clients: usize::from(args.clients),
        keep: args.keep,
    };
    if !thunes_soak::failpoints_available() {
        eprintln!("note: this build has no failpoints; every kill comes from outside, at a random moment");
    }
    let soak = Soak::new(options)?;
    let folder = soak.folder().to_owned();
    let mut tell = |what: &str| eprintln!("soak {}: {what}", args.seed);
    let report = match soak.run(&mut tell).await {
        Ok(report) => report,
        Err(error) => {
            eprintln!("note: seed {}, and the folder stays: {}", args.seed, folder.display());
            return Err(error.into());
        }
    };
    context.out.result(&report, || text(&report))?;
    Ok(u8::from(!report.is_clean()))
}

fn text(report: &SoakReport) -> String {
    let counts = &report.counts;
    let mut facts = Facts::default();
    facts
        .add(
            "Verdict",
            if report.is_clean() {
                "✅ clean"
            } else {
                "❌ something was found"
            },
        )
        .add("Seed", report.seed.to_string())
        .add(
            "Kills",
            format!(
                "{}: {} from outside, {} at failpoints; {} stops",
                report.kills, report.kills_from_outside, report.kills_at_failpoints, report.stops
            ),
        )
        .add("Missing", counts.missing.to_string())
        .add("Phantom", counts.phantom.to_string())
        .add("Doubled", counts.doubled.to_string())
        .add("Positions wrong", counts.positions_wrong.to_string())
        .add(
            "In doubt",
            format!(
                "{} open; {} found, {} never arrived",
                counts.in_doubt_open, counts.in_doubt_found, counts.in_doubt_never_arrived
            ),
        )
        .add(
            "Fence",
            format!(
                "{} violations in {} activations, the slowest {} ms",
                counts.fence_violations, report.operator.activations_answered, report.operator.slowest_activation_ms
            ),
        )
        .add(
            "Audit",
            format!(
                "{} missing, {} doubled, chain {}",
                counts.audit_missing,
                counts.audit_doubled,
                if counts.audit_broken == 0 { "verifies" } else { "broken" }
            ),
        )
        .add(
            "Orders",
            format!(
                "{} sent, {} accepted by the exchange, {} fills; {} retries, {} cancels",
                report.load.orders_sent,
                report.orders_accepted,
                report.fills,
                report.load.retries_sent,
                report.load.cancels_sent
            ),
        )
        .add("Reconciliation", report.reconciliation.clone())
        .add("Failpoints not hit", report.failpoints_not_hit.join(" "))
        .add("Duration", format!("{} s", report.duration_ms / 1000));
    if let Some(folder) = &report.kept_folder {
        facts.add("Folder", folder.display().to_string());
    }
    let mut text = facts.render();
    for finding in &report.findings {
        text += &format!("  {finding}\n");
    }
    text
}
