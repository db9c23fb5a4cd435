use clap::{Args, Subcommand};
use thunes_proto::gateway::v1::{
    Discrepancy, GetGatewayStatusRequest, GetGatewayStatusResponse, OverrideReconciliationRequest, ReconcileRequest,
    ReconcileResponse, ReconcileVerdict,
};
use thunes_supervisor::embedded::Service;

use crate::call::{CALL_WITHIN, Context, RECONCILE_WITHIN, answer};
use crate::failure::Exits;
use crate::output::{Facts, Table};
use crate::show::{amount, reason_code, short, time, yes_no};

const EXIT_CLEAN: u8 = 0;
const EXIT_DISCREPANCIES: u8 = 1;
const EXIT_UNDETERMINED: u8 = 2;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ReconcileArgs {
    #[command(subcommand)]
    command: Option<ReconcileCommand>,
    /// Do the repairs that are safe: adopt the exchange's fills.
    #[arg(long)]
    repair: bool,
    /// Compare every trade since the baseline anew, not only those since both sides last agreed.
    #[arg(long)]
    full: bool,
    /// Why; goes to the audit trail.
    #[arg(long, default_value = "reconciliation by the operator")]
    reason: String,
    #[arg(long, value_name = "ID", default_value = "")]
    request_id: String,
}

#[derive(Debug, Subcommand)]
enum ReconcileCommand {
    /// What the last reconciliation said, and whether opening waits for one.
    Status,
    /// Let opening go on in spite of the discrepancies that were found. Another discrepancy ends it.
    Override {
        /// Why; goes to the audit trail.
        #[arg(long)]
        reason: String,
        /// For how many minutes.
        #[arg(long, value_name = "MINUTES", default_value_t = 60, value_parser = clap::value_parser!(i64).range(1..=1440))]
        valid_for: i64,
        #[arg(long, value_name = "ID", default_value = "")]
        request_id: String,
    },
}

pub async fn run(args: ReconcileArgs, context: &Context) -> anyhow::Result<u8> {
    match args.command {
        None => compare(args, context).await,
        Some(ReconcileCommand::Status) => status(context).await,
        Some(ReconcileCommand::Override {
            reason,
            valid_for,
            request_id,
        }) => {
            let request = OverrideReconciliationRequest {
                reason,
                request_id,
                valid_for_ms: valid_for * 60_000,
            };
            override_it(request, context).await
        }
    }
}

async fn override_it(request: OverrideReconciliationRequest, context: &Context) -> anyhow::Result<u8> {
    let (mut gateway, url) = context.peers.gateway()?;
    // A pass that goes on is waited for.
    let request = context.request(request, RECONCILE_WITHIN);
    let answered = gateway.override_reconciliation(request).await;
    let done = answer(answered, Service::ExchangeGateway, &url, "OverrideReconciliation")?;
    context.out.result(&done, || {
        if done.overridden {
            format!(
                "⚠️ Overridden until {}, for {} discrepancies\n",
                time(done.expires_at_ms),
                done.discrepancies
            )
        } else {
            "Nothing to override: a reconciliation since the gateway's start was clean\n".to_owned()
        }
    })?;
    Ok(0)
}

async fn status(context: &Context) -> anyhow::Result<u8> {
    let (mut gateway, url) = context.peers.gateway()?;
    let request = context.request(GetGatewayStatusRequest {}, CALL_WITHIN);
    let answered = gateway.get_gateway_status(request).await;
    let status = answer(answered, Service::ExchangeGateway, &url, "GetGatewayStatus")?;
    context.out.result(&status, || status_lines(&status))?;
    Ok(0)
}

fn status_lines(status: &GetGatewayStatusResponse) -> String {
    let known = status.reconciliation.clone().unwrap_or_default();
    let mut facts = Facts::default();
    let verdict = match known.verdict() {
        ReconcileVerdict::Unspecified => "none since the start",
        verdict => short(verdict.as_str_name(), "RECONCILE_VERDICT_"),
    };
    facts.add("Last verdict", verdict);
    let mut add = |label: &str, value: String| {
        if !value.is_empty() {
            facts.add(label, value);
        }
    };
    add("At", time(known.finished_at_ms));
    add("Discrepancies", known.mismatches.to_string());
    let unexplained = format!(
        "{}{}",
        amount(&known.unexplained, &known.unexplained_asset),
        if known.unexplained_above_tolerance {
            ", above the tolerance"
        } else {
            ""
        }
    );
    add("Unexplained", unexplained);
    add("Clean since the start", yes_no(known.clean_since_start).to_owned());
    if known.overridden {
        let until = time(known.override_expires_at_ms);
        let given = format!("by {}: {} (until {until})", known.override_actor, known.override_reason);
        add("Overridden", given);
    }
    add("No verdict now", known.undetermined_reason);
    add("Account wiped", time(known.wiped_at_ms));
    let doubts = match status.orders_in_doubt {
        0 => "0".to_owned(),
        some => format!(
            "{some}, the oldest for {} s",
            status.orders_in_doubt_oldest_age_ms / 1000
        ),
    };
    add("Orders in doubt", doubts);
    add("Opening allowed", yes_no(status.opening_allowed).to_owned());
    add("Refused because", reason_code(&status.opening_refused_reason_code));
    facts.render()
}

async fn compare(args: ReconcileArgs, context: &Context) -> anyhow::Result<u8> {
    // Whoever reads only the exit code must not take silence for discrepancies.
    let (mut gateway, url) = context.peers.gateway().map_err(undetermined)?;
    let request = ReconcileRequest {
        repair: args.repair,
        reason: args.reason,
        request_id: args.request_id,
        full: args.full,
    };
    let request = context.request(request, RECONCILE_WITHIN);
    let answered = answer(
        gateway.reconcile(request).await,
        Service::ExchangeGateway,
        &url,
        "Reconcile",
    );
    let done = answered.map_err(|failed| undetermined(failed.into()))?;
    context.out.result(&done, || lines(&done))?;
    Ok(match done.verdict() {
        ReconcileVerdict::Clean => EXIT_CLEAN,
        ReconcileVerdict::Discrepancies => EXIT_DISCREPANCIES,
        ReconcileVerdict::Undetermined | ReconcileVerdict::Unspecified => EXIT_UNDETERMINED,
    })
}

fn undetermined(error: anyhow::Error) -> anyhow::Error {
    error.context(Exits {
        exit: EXIT_UNDETERMINED,
        message: String::from("nothing could be compared"),
    })
}

fn lines(done: &ReconcileResponse) -> String {
    let verdict = match done.verdict() {
        ReconcileVerdict::Clean => "✅ Clean: our books match the exchange".to_owned(),
        ReconcileVerdict::Discrepancies => format!("❌ Discrepancies: {}", done.discrepancies_total),
        ReconcileVerdict::Undetermined | ReconcileVerdict::Unspecified => {
            format!("⚠️ Undetermined: {}", done.undetermined_reason)
        }
    };
    let mut text = format!("{verdict}\n");
    for discrepancy in &done.discrepancies {
        text += &one(discrepancy);
    }
    let left_out = done.discrepancies_total - i64::try_from(done.discrepancies.len()).unwrap_or(0);
    if left_out > 0 {
        text += &format!("  and {left_out} more\n");
    }
    if done.unexplained_above_tolerance {
        let worth = amount(&done.unexplained, &done.unexplained_asset);
        text += &format!("⚠️ Unexplained: {worth}, above gateway.reconcile.tolerance_quote\n");
    }
    if !done.notes.is_empty() {
        text += "Notes\n";
    }
    for note in &done.notes {
        text += &one(note);
    }
    let mut positions = Table::new(&["SYMBOL", ">BOOK", ">EXCHANGE", ">DIFFERENCE"]);
    for position in &done.positions {
        positions.row([
            &position.symbol,
            &position.book,
            &position.exchange,
            &position.difference,
        ]);
    }
    let mut balances = Table::new(&[
        "ASSET",
        ">BASELINE",
        ">FILLS",
        ">TRANSFERS",
        ">EXPECTED",
        ">EXCHANGE",
        ">DIFFERENCE",
    ]);
    for balance in &done.balances {
        let numbers = [
            &balance.baseline,
            &balance.fills,
            &balance.transfers,
            &balance.expected,
            &balance.exchange,
            &balance.difference,
        ];
        balances.row(std::iter::once(&balance.asset).chain(numbers));
    }
    text += &format!("\nPositions\n{}\nBalances\n{}\n", positions.render(), balances.render());
    text + &format!(
        "Compared {} fills ({} of them by an earlier pass) and {} open orders at book revision {}, from {} in {} ms\n",
        done.fills_compared,
        done.fills_agreed_before,
        done.open_orders_compared,
        done.book_revision,
        time(done.started_at_ms),
        done.duration_ms
    )
}

fn one(discrepancy: &Discrepancy) -> String {
    let class = short(discrepancy.class().as_str_name(), "DISCREPANCY_CLASS_");
    let subject = if discrepancy.symbol.is_empty() {
        &discrepancy.asset
    } else {
        &discrepancy.symbol
    };
    let mut text = format!("  {class} {subject}");
    let mut add = |label: &str, value: &str| {
        if !value.is_empty() {
            text += &format!("\n    {label}: {value}");
        }
    };
    add("difference", &discrepancy.difference);
    add("ours", &discrepancy.local_json);
    add("exchange", &discrepancy.exchange_json);
    add("cause", &discrepancy.cause);
    if discrepancy.repaired {
        add("repaired", &discrepancy.repair_result);
    } else {
        add("repair", &discrepancy.proposed_repair);
        add("repair failed", &discrepancy.repair_result);
    }
    text + "\n"
}
