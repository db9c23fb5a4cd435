use rust_decimal::Decimal;
use serde::Deserialize;
use thunes_proto::gateway::v1::{GetAccountResponse, ReconcileResponse};

use super::orders::decimal;
use super::reconcile::{Expected, determined, judge_verdict};
use crate::action;
use crate::domain::{BookDifference, Evidence, EvidenceKind, Holding, Judgement, Measured, SimLedger};
use crate::engine::{ActionResult, Context, Outcome, answer};
use crate::error::ActionError;

/// Every local position and every balance against the exchange, by our own comparison and by the exchange's ledger.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BookMatches {}

action!(
    BookMatches,
    "book_matches",
    ["clean", "positions", "balances"],
    "Reconciles, and compares every position and balance with the exchange's own ledger."
);

impl BookMatches {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let done = determined(context, false).await?;
        let clients = context.clients();
        let (book, account) = (clients.holding().await?, clients.account().await?);
        let ledger = context.sim().ledger().await?;
        let exchange = context.exchange_holding(&ledger).await?;
        let positions = judge_positions(&done, &book, &exchange)?;
        let balances = judge_balances(&done, &account, &ledger)?;
        let said = format!(
            "{} positions and {} balances compared",
            done.positions.len(),
            done.balances.len()
        );
        let folded = Evidence::new(
            EvidenceKind::Ledger,
            "the exchange's own fills, folded",
            format!("{exchange:?}"),
        );
        let compared = answer("balances, compared", &done.balances);
        let held = answer("balances at the exchange", &account.balances);
        Ok(Outcome::did(said)
            .finding(
                "clean",
                judge_verdict(&done, Some(Expected::Clean)),
                vec![answer("Reconcile", &done)],
            )
            .finding(
                "positions",
                positions,
                vec![answer("positions, compared", &done.positions), folded],
            )
            .finding("balances", balances, vec![compared, held]))
    }
}

fn judge_positions(done: &ReconcileResponse, book: &Holding, exchange: &Holding) -> Result<Judgement, ActionError> {
    let differs = |d: &BookDifference| {
        format!(
            "{}: the book holds {}, the exchange's fills fold to {}",
            d.symbol, d.book, d.exchange
        )
    };
    let mut wrong: Vec<String> = BookDifference::all(book, exchange).iter().map(differs).collect();
    for row in &done.positions {
        if !decimal("difference", &row.difference)?.is_zero() {
            wrong.push(format!("{}: book {}, exchange {}", row.symbol, row.book, row.exchange));
        }
    }
    let open = book.values().filter(|quantity| !quantity.is_zero()).count();
    if open == 0 || done.positions.is_empty() {
        return Ok(Judgement::inconclusive("there was no open position to compare"));
    }
    let measured = format!(
        "{open} open positions, {} symbols compared, {} differ",
        done.positions.len(),
        wrong.len()
    );
    Ok(Judgement::of_text(measured, wrong.is_empty(), wrong.join("; ")))
}

fn judge_balances(
    done: &ReconcileResponse,
    account: &GetAccountResponse,
    ledger: &SimLedger,
) -> Result<Judgement, ActionError> {
    if done.balances.is_empty() {
        return Ok(Judgement::inconclusive("no balance was compared"));
    }
    let mut unequal = Vec::new();
    for row in &done.balances {
        if !decimal("difference", &row.difference)?.is_zero() {
            unequal.push(format!(
                "{}: expected {}, exchange {}",
                row.asset, row.expected, row.exchange
            ));
        }
    }
    for held in ledger
        .balances
        .iter()
        .filter(|held| held.free + held.locked > Decimal::ZERO)
    {
        let shown = account.balances.iter().find(|balance| balance.asset == held.asset);
        let (free, locked) = shown.map_or(("0", "0"), |balance| (balance.free.as_str(), balance.locked.as_str()));
        if decimal("free", free)? != held.free || decimal("locked", locked)? != held.locked {
            let ledger = format!("{} + {}", held.free, held.locked);
            unequal.push(format!(
                "{}: the gateway shows {free} + {locked}, the ledger {ledger}",
                held.asset
            ));
        }
    }
    let differing = i64::try_from(unequal.len()).unwrap_or(i64::MAX);
    Ok(Judgement::of(
        Measured::count(differing),
        unequal.is_empty(),
        unequal.join("; "),
    ))
}
