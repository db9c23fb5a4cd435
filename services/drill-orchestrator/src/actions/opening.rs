//! What a gateway lets through while it cannot know that it may.

use std::time::Duration;

use serde::Deserialize;
use thunes_proto::gateway::v1::OrderState;
use thunes_proto::types::v1::Side;
use thunes_runtime::clock;

use super::network::fault_is_there;
use super::orders::{ledger_evidence, market, submit_to_end};
use crate::action;
use crate::domain::{Evidence, EvidenceKind, Judgement, Measured, Value};
use crate::engine::{ActionResult, Context, Outcome, answer};
use crate::error::ActionError;

/// How often a BUY is tried until the first is denied.
const TRY_INTERVAL: Duration = Duration::from_millis(100);
/// Denied after the first denial: one alone could be chance.
const DENIED_MIN: usize = 3;

/// BUY orders are tried until they are denied, and then some more.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OpeningStops {
    symbol: String,
    amount: String,
    within_ms: i64,
    /// Why a BUY may be denied here; another reason shows nothing of the fault.
    reasons: Vec<String>,
}

action!(
    OpeningStops,
    "opening_stops",
    ["stopped"],
    "Tries BUY orders until they are denied, and measures how long that took since the fault."
);

impl OpeningStops {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        fault_is_there(context).await?;
        let since_ms = context.cut.since_ms;
        let mut evidence = Vec::new();
        let (mut passed, mut reason, mut stopped_after_ms) = (0_i64, String::new(), None);
        // Twice the bound, so that a late stop is measured and not just missed.
        while clock::now_ms() - since_ms < self.within_ms * 2 {
            let id = context.new_order_id();
            let answered = context
                .clients()
                .submit(market(&id, &self.symbol, Side::Buy, &self.amount))
                .await?;
            let order = answered.order.clone().unwrap_or_default();
            if order.state() == OrderState::Denied {
                stopped_after_ms = Some(clock::now_ms() - since_ms);
                context.cut.denied_since_ms = Some(clock::now_ms());
                reason = order.reason_code.clone();
                evidence.push(answer("the first denied BUY", &answered));
                break;
            }
            passed += 1;
            context.cut.orders.push(order);
            tokio::time::sleep(TRY_INTERVAL).await;
        }
        if stopped_after_ms.is_none() && passed == 0 {
            let judgement = Judgement::inconclusive("no BUY was tried");
            return Ok(Outcome::did("no BUY was tried").finding("stopped", judgement, evidence));
        }
        if stopped_after_ms.is_some() && !self.reasons.contains(&reason) {
            let why = format!(
                "denied for {reason}, which is not of the fault ({})",
                self.reasons.join(", ")
            );
            return Ok(Outcome::did(why.clone()).finding("stopped", Judgement::inconclusive(why), evidence));
        }
        let Some(stopped_after_ms) = stopped_after_ms else {
            let measured = Measured::count(passed);
            let judgement = Judgement::Fail(measured, "BUY orders still passed".to_owned());
            return Ok(Outcome::did(format!("{passed} BUY orders passed")).finding("stopped", judgement, evidence));
        };
        let wrong = denied_again(context, &self.symbol, &self.amount, &mut evidence).await?;
        context.measure(
            format!("opening_stopped.{}", context.drill_id),
            Value::seconds(stopped_after_ms),
            "s",
            format!("from the fault until a BUY was denied ({reason})"),
        );
        let in_time = stopped_after_ms <= self.within_ms;
        let why = if in_time {
            wrong.join("; ")
        } else {
            format!("later than {} ms", self.within_ms)
        };
        let said = format!("{passed} BUY orders passed first; denied after {stopped_after_ms} ms: {reason}");
        Ok(Outcome::did(said).finding(
            "stopped",
            Judgement::of(Measured::seconds(stopped_after_ms), in_time && wrong.is_empty(), why),
            evidence,
        ))
    }
}

/// Tries some more BUY orders; names those that were not denied.
async fn denied_again(
    context: &mut Context,
    symbol: &str,
    amount: &str,
    evidence: &mut Vec<Evidence>,
) -> Result<Vec<String>, ActionError> {
    let mut wrong = Vec::new();
    for _ in 0..DENIED_MIN {
        let id = context.new_order_id();
        let answered = context.clients().submit(market(&id, symbol, Side::Buy, amount)).await?;
        let order = answered.order.clone().unwrap_or_default();
        if order.state() != OrderState::Denied {
            wrong.push(format!("{id} became {}", order.state().as_str_name()));
            evidence.push(answer("a BUY after the first denial", &answered));
        }
        context.cut.orders.push(order);
    }
    Ok(wrong)
}

/// Positions can be closed all the same.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClosingWorks {
    symbol: String,
    amount: String,
    #[serde(default = "one")]
    orders: usize,
}

fn one() -> usize {
    1
}

action!(
    ClosingWorks,
    "closing_works",
    ["closed"],
    "Submits closing SELL orders; the exchange's ledger must have their fills."
);

impl ClosingWorks {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        fault_is_there(context).await?;
        let (mut wrong, mut evidence, mut fills) = (Vec::new(), Vec::new(), 0);
        for number in 1..=self.orders {
            let id = context.new_order_id();
            let order = submit_to_end(context.clients(), market(&id, &self.symbol, Side::Sell, &self.amount)).await?;
            let ledger = context.sim().ledger().await?;
            let filled = ledger.fills_of(&id).count();
            fills += filled;
            if order.state() != OrderState::Filled || filled == 0 {
                wrong.push(format!(
                    "{id} ended as {} ({})",
                    order.state().as_str_name(),
                    order.reason
                ));
            }
            evidence.push(answer(format!("SELL order {number}"), &order));
            evidence.push(ledger_evidence(&ledger, &id));
            context.cut.orders.push(order);
        }
        let judgement = Judgement::of(
            Measured::count(i64::try_from(fills).unwrap_or(i64::MAX)),
            wrong.is_empty(),
            wrong.join("; "),
        );
        Ok(
            Outcome::did(format!("{fills} fills of {} SELL orders", self.orders))
                .finding("closed", judgement, evidence),
        )
    }
}

/// Nothing opens to the end of the fault: more BUY orders are tried, and the exchange's own ledger is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NothingOpened {
    symbol: String,
    amount: String,
}

action!(
    NothingOpened,
    "nothing_opened",
    ["none"],
    "Tries BUY orders once more, and asks the exchange's ledger for any that it accepted since the first denial."
);

impl NothingOpened {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let since_ms = context
            .cut
            .denied_since_ms
            .ok_or_else(|| ActionError::NotMet("no BUY was denied before".to_owned()))?;
        fault_is_there(context).await?;
        let mut evidence = Vec::new();
        let mut wrong = denied_again(context, &self.symbol, &self.amount, &mut evidence).await?;
        let ledger = context.sim().ledger().await?;
        let late = ledger.buys_accepted_after(since_ms);
        let (ours, others): (Vec<_>, Vec<_>) = late
            .into_iter()
            .partition(|order| order.client_order_id.starts_with("drill-"));
        evidence.push(Evidence::new(
            EvidenceKind::Ledger,
            format!("BUY orders that the exchange accepted after {since_ms} (ms, UTC)"),
            format!("of the drill: {ours:?}\nof others: {others:?}"),
        ));
        wrong.extend(ours.iter().map(|order| format!("{order:?}")));
        let denied = context
            .cut
            .orders
            .iter()
            .filter(|order| order.state() == OrderState::Denied);
        let tried = denied.count();
        let said = format!(
            "{} BUY orders accepted after the first denial; {tried} were denied",
            ours.len()
        );
        let judgement = if wrong.is_empty() && !others.is_empty() {
            Judgement::inconclusive(format!("somebody else opened positions meanwhile: {others:?}"))
        } else {
            let count = i64::try_from(ours.len()).unwrap_or(i64::MAX);
            Judgement::of(Measured::count(count), wrong.is_empty(), wrong.join("; "))
        };
        Ok(Outcome::did(said).finding("none", judgement, evidence))
    }
}
