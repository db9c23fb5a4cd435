use rust_decimal::Decimal;
use serde::Deserialize;

use super::orders::decimal;
use crate::action;
use crate::domain::{BookDifference, Evidence, EvidenceKind, Judgement, Measured};
use crate::engine::{ActionResult, Context, Outcome, answer};

/// Every local position and every balance against the exchange, by our own comparison and by the exchange's ledger.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BookMatches {}

action!(
    BookMatches,
    "book_matches",
    ["positions", "balances"],
    "Compares every position and balance with the exchange."
);

impl BookMatches {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let clients = context.clients();
        let done = clients
            .reconcile(false, "DRILL: comparison of positions and balances")
            .await?;
        let (book, account) = (clients.holding().await?, clients.account().await?);
        let ledger = context.sim().ledger().await?;
        let exchange = context.exchange_holding(&ledger).await?;
        let mut wrong: Vec<String> = BookDifference::all(&book, &exchange)
            .iter()
            .map(|d| {
                format!(
                    "{}: the book holds {}, the exchange's fills fold to {}",
                    d.symbol, d.book, d.exchange
                )
            })
            .collect();
        for row in &done.positions {
            if !decimal("difference", &row.difference)?.is_zero() {
                wrong.push(format!("{}: book {}, exchange {}", row.symbol, row.book, row.exchange));
            }
        }
        let open = book.values().filter(|quantity| !quantity.is_zero()).count();
        let positions = if open == 0 || done.positions.is_empty() {
            Judgement::inconclusive("there was no open position to compare")
        } else {
            let measured = format!(
                "{open} open positions, {} symbols compared, {} differ",
                done.positions.len(),
                wrong.len()
            );
            Judgement::of_text(measured, wrong.is_empty(), wrong.join("; "))
        };
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
                unequal.push(format!(
                    "{}: the gateway shows {free} + {locked}, the ledger {} + {}",
                    held.asset, held.free, held.locked
                ));
            }
        }
        let balances = if done.balances.is_empty() {
            Judgement::inconclusive("no balance was compared")
        } else {
            let differing = i64::try_from(unequal.len()).unwrap_or(i64::MAX);
            Judgement::of(Measured::count(differing), unequal.is_empty(), unequal.join("; "))
        };
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
        context.keep_reconciliation(&done, false);
        Ok(Outcome::did(said)
            .finding(
                "positions",
                positions,
                vec![answer("positions, compared", &done.positions), folded],
            )
            .finding(
                "balances",
                balances,
                vec![
                    answer("balances, compared", &done.balances),
                    answer("balances at the exchange", &account.balances),
                ],
            ))
    }
}
