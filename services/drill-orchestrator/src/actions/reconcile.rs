use std::time::Duration;

use serde::Deserialize;
use thunes_proto::gateway::v1::{Discrepancy, DiscrepancyClass, ReconcileResponse, ReconcileVerdict};

use crate::action;
use crate::domain::{Judgement, Measured};
use crate::engine::{ActionResult, Context, ExternalTrade, Outcome, answer, short, verdict_name};
use crate::environment::{Ask, until_every};
use crate::error::ActionError;

const REASON: &str = "DRILL: reconciliation test";
/// What moves is asked again; a mismatch is not.
const DETERMINED_WITHIN: Duration = Duration::from_secs(20);
/// Each costs the exchange's request weight, of which a minute has only so much.
const ASKED_EVERY: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Expected {
    Clean,
    Discrepancies,
}

/// Compares the exchange with our books, and repairs when that is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reconcile {
    #[serde(default)]
    expect: Option<Expected>,
    #[serde(default)]
    repair: bool,
}

action!(
    Reconcile,
    "reconcile",
    ["as_expected", "repaired"],
    "Reconciles; on request it repairs."
);

impl Reconcile {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let done = determined(context, self.repair).await?;
        let found = done.discrepancies.len();
        let repaired = done
            .discrepancies
            .iter()
            .filter(|discrepancy| discrepancy.repaired)
            .count();
        let verdict = judge_verdict(&done, self.expect);
        let outcome = Outcome::did(in_short(&done)).finding("as_expected", verdict, vec![answer("Reconcile", &done)]);
        if !self.repair {
            return Ok(outcome);
        }
        let judgement = if found == 0 {
            Judgement::inconclusive("there was nothing to repair")
        } else {
            let open: Vec<_> = done
                .discrepancies
                .iter()
                .filter(|d| !d.repaired)
                .map(one_line)
                .collect();
            Judgement::of_text(
                format!("{repaired} of {found} repaired"),
                open.is_empty(),
                open.join("; "),
            )
        };
        Ok(outcome.finding("repaired", judgement, vec![answer("Reconcile with repair", &done)]))
    }
}

fn in_short(done: &ReconcileResponse) -> String {
    format!(
        "{}: {} discrepancies; {} fills, {} open orders, {} balances compared",
        verdict_name(done.verdict()),
        done.discrepancies.len(),
        done.fills_compared,
        done.open_orders_compared,
        done.balances.len()
    )
}

/// The verdict against what was expected; a comparison of nothing decides nothing.
pub(super) fn judge_verdict(done: &ReconcileResponse, expected: Option<Expected>) -> Judgement {
    if compared_nothing(done) {
        return Judgement::inconclusive("nothing was compared");
    }
    let holds = match expected {
        None => true,
        Some(Expected::Clean) => done.verdict() == ReconcileVerdict::Clean,
        Some(Expected::Discrepancies) => done.verdict() == ReconcileVerdict::Discrepancies,
    };
    let found = done.discrepancies.iter().map(one_line).collect::<Vec<_>>().join("; ");
    Judgement::of_text(in_short(done), holds, found)
}

fn compared_nothing(done: &ReconcileResponse) -> bool {
    done.balances.is_empty() && done.fills_compared == 0
}

fn one_line(discrepancy: &Discrepancy) -> String {
    let class = short(discrepancy.class().as_str_name(), "DISCREPANCY_CLASS_");
    format!(
        "{class} {} {} {}",
        discrepancy.symbol, discrepancy.asset, discrepancy.difference
    )
}

/// A reconciliation that came to a verdict. While it could not (something moved), it is tried again.
pub(super) async fn determined(context: &mut Context, repair: bool) -> Result<ReconcileResponse, ActionError> {
    let clients = context.clients().clone();
    let done = until_every(
        ASKED_EVERY,
        "a reconciliation to come to a verdict",
        DETERMINED_WITHIN,
        || async {
            match clients.reconcile(repair, REASON).await {
                Ok(done) => match done.verdict() {
                    ReconcileVerdict::Clean | ReconcileVerdict::Discrepancies => Ask::Yes(done),
                    ReconcileVerdict::Undetermined | ReconcileVerdict::Unspecified => {
                        Ask::NotYet(done.undetermined_reason)
                    }
                },
                Err(error) => Ask::NotYet(error.to_string()),
            }
        },
    )
    .await?;
    context.keep_reconciliation(&done, repair);
    Ok(done)
}

/// The reconciliation finds the trade that was made past the gateway, and explains whatever it finds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FindExternalTrade {}

action!(
    FindExternalTrade,
    "find_external_trade",
    ["found", "explained"],
    "Reconciles and looks for the very trade that was made past the gateway."
);

impl FindExternalTrade {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        if context.external_trades.is_empty() {
            return Err(ActionError::NotMet("no trade was made past the gateway".to_owned()));
        }
        let done = determined(context, false).await?;
        let found = |trade: &&ExternalTrade| done.discrepancies.iter().any(|discrepancy| is_of(discrepancy, trade));
        let missing: Vec<_> = context.external_trades.iter().filter(|trade| !found(trade)).collect();
        let said = format!(
            "{}: {}",
            verdict_name(done.verdict()),
            done.discrepancies.iter().map(one_line).collect::<Vec<_>>().join("; ")
        );
        let trades: Vec<_> = context
            .external_trades
            .iter()
            .map(|t| format!("{} trade {}", t.symbol, t.trade_id))
            .collect();
        let measured = format!("EXTERNAL_TRADE with {}", trades.join(", "));
        let found = Judgement::of_text(
            if missing.is_empty() { measured } else { said.clone() },
            missing.is_empty() && done.verdict() == ReconcileVerdict::Discrepancies,
            format!("not found as EXTERNAL_TRADE: {missing:?}"),
        );
        let evidence = vec![answer("Reconcile", &done)];
        Ok(Outcome::did(said).finding("found", found, evidence.clone()).finding(
            "explained",
            explained(&done),
            evidence,
        ))
    }
}

fn is_of(discrepancy: &Discrepancy, trade: &ExternalTrade) -> bool {
    discrepancy.class() == DiscrepancyClass::ExternalTrade
        && discrepancy.symbol == trade.symbol
        && serde_json::from_str(&discrepancy.exchange_json).is_ok_and(|value| holds_number(&value, trade.trade_id))
}

/// Whether the number stands anywhere in the JSON, as a number or as text.
fn holds_number(value: &serde_json::Value, wanted: i64) -> bool {
    match value {
        serde_json::Value::Number(number) => number.as_i64() == Some(wanted),
        serde_json::Value::String(text) => text.parse() == Ok(wanted),
        serde_json::Value::Array(items) => items.iter().any(|item| holds_number(item, wanted)),
        serde_json::Value::Object(map) => map.values().any(|item| holds_number(item, wanted)),
        serde_json::Value::Null | serde_json::Value::Bool(_) => false,
    }
}

/// Every difference has a cause and what both sides say of it.
fn explained(done: &ReconcileResponse) -> Judgement {
    if done.discrepancies.is_empty() {
        return Judgement::inconclusive("there was no discrepancy to explain");
    }
    let bare = done
        .discrepancies
        .iter()
        .filter(|d| d.cause.trim().is_empty() || d.local_json.trim().is_empty() || d.exchange_json.trim().is_empty());
    let bare: Vec<_> = bare.map(one_line).collect();
    let explained = done.discrepancies.len() - bare.len();
    let measured = Measured::text(format!(
        "{explained} of {} explained, with evidence of both sides",
        done.discrepancies.len()
    ));
    match measured {
        Some(measured) => Judgement::of(
            measured,
            bare.is_empty(),
            format!("no cause or no evidence: {}", bare.join("; ")),
        ),
        None => Judgement::inconclusive("nothing was said"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p9_only_the_very_trade_counts_as_found() {
        let discrepancy = |class: DiscrepancyClass, json: &str| Discrepancy {
            class: class.into(),
            symbol: "BTCUSDT".into(),
            exchange_json: json.into(),
            ..Discrepancy::default()
        };
        let trade = ExternalTrade {
            symbol: "BTCUSDT".into(),
            trade_id: 17,
        };
        assert!(is_of(
            &discrepancy(DiscrepancyClass::ExternalTrade, "{\"trades\":[{\"id\":\"17\"}]}"),
            &trade
        ));
        assert!(is_of(
            &discrepancy(DiscrepancyClass::ExternalTrade, "{\"trade_id\":17}"),
            &trade
        ));
        assert!(!is_of(
            &discrepancy(DiscrepancyClass::ExternalTrade, "{\"trade_id\":18,\"price\":\"1700\"}"),
            &trade
        ));
        assert!(!is_of(
            &discrepancy(DiscrepancyClass::MissedFill, "{\"trade_id\":17}"),
            &trade
        ));
    }

    #[test]
    fn p11_an_explanation_of_nothing_is_no_pass() {
        assert_eq!(
            explained(&ReconcileResponse::default()).verdict(),
            crate::domain::Verdict::Inconclusive
        );
    }
}
