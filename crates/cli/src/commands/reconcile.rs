use clap::Args;
use thunes_proto::gateway::v1::{Discrepancy, ReconcileRequest, ReconcileResponse, ReconcileVerdict};
use thunes_supervisor::embedded::Service;

use crate::call::{Context, RECONCILE_WITHIN, answer};
use crate::failure::Exits;
use crate::output::Table;
use crate::show::{short, time};

const EXIT_CLEAN: u8 = 0;
const EXIT_DISCREPANCIES: u8 = 1;
const EXIT_UNDETERMINED: u8 = 2;

#[derive(Debug, Args)]
pub struct ReconcileArgs {
    /// Do the repairs that are safe: adopt the exchange's fills.
    #[arg(long)]
    repair: bool,
    /// Why; goes to the audit trail.
    #[arg(long, default_value = "reconciliation by the operator")]
    reason: String,
    #[arg(long, value_name = "ID", default_value = "")]
    request_id: String,
}

pub async fn run(args: ReconcileArgs, context: &Context) -> anyhow::Result<u8> {
    // Whoever reads only the exit code must not take silence for discrepancies.
    let (mut gateway, url) = context.peers.gateway().map_err(undetermined)?;
    let request = ReconcileRequest {
        repair: args.repair,
        reason: args.reason,
        request_id: args.request_id,
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
        ReconcileVerdict::Discrepancies => format!("❌ Discrepancies: {}", done.discrepancies.len()),
        ReconcileVerdict::Undetermined | ReconcileVerdict::Unspecified => {
            format!("⚠️ Undetermined: {}", done.undetermined_reason)
        }
    };
    let mut text = format!("{verdict}\n");
    for discrepancy in &done.discrepancies {
        text += &one(discrepancy);
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
    let mut balances = Table::new(&["ASSET", ">BASELINE", ">FILLS", ">EXPECTED", ">EXCHANGE", ">DIFFERENCE"]);
    for balance in &done.balances {
        let numbers = [
            &balance.baseline,
            &balance.fills,
            &balance.expected,
            &balance.exchange,
            &balance.difference,
        ];
        balances.row(std::iter::once(&balance.asset).chain(numbers));
    }
    text += &format!("\nPositions\n{}\nBalances\n{}\n", positions.render(), balances.render());
    text + &format!(
        "Compared {} fills and {} open orders at book revision {}, from {} in {} ms\n",
        done.fills_compared,
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
