//! A service that is away for a while, and what must be there when it is back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use thunes_runtime::clock;
use thunes_tlog::Origin;

use super::network::fault_is_there;
use super::trade_loop::{TraderLine, read_record};
use crate::action;
use crate::domain::{AuditTrail, Evidence, EvidenceKind, Judgement, Measured, Value};
use crate::engine::{ActionResult, Context, Outcome};
use crate::environment::{Ask, until_every};
use crate::error::ActionError;

const LOOK_INTERVAL: Duration = Duration::from_millis(250);
const DELIVERED_WITHIN: Duration = Duration::from_secs(30);
/// Reading the trail costs who reads it.
const READ_INTERVAL: Duration = Duration::from_millis(500);

/// The fault lasts, and what waits because of it is looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FaultLasts {
    ms: i64,
    what: Waiting,
}

/// What piles up meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Waiting {
    AuditEvents,
    Fills,
    Alerts,
}

action!(
    FaultLasts,
    "fault_lasts",
    ["piled_up"],
    "Lets the present fault last, and looks at what piles up behind it."
);

impl FaultLasts {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let since_ms = context.cut.since_ms;
        let (mut most, mut looks, mut last);
        (most, looks) = (0, 0);
        loop {
            fault_is_there(context).await?;
            last = self.waiting(context).await?;
            most = most.max(last.count);
            looks += 1;
            if clock::now_ms() - since_ms >= self.ms {
                break;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        let lasted_ms = clock::now_ms() - since_ms;
        let what = match self.what {
            Waiting::AuditEvents => "audit events",
            Waiting::Fills => "fills for position",
            Waiting::Alerts => "alerts",
        };
        context.measure(
            format!("piled_up.{}", context.drill_id),
            Value::Number(most.into()),
            what,
            format!("the most that waited at a time in {lasted_ms} ms"),
        );
        // Something always waits for a moment; only what waits since the fault began, or nearly so, shows it.
        let long = last.oldest_ms.is_none_or(|oldest_ms| oldest_ms * 5 >= lasted_ms * 4);
        let judgement = if last.count == 0 || !long {
            Judgement::inconclusive(format!("no {what} waited at the end since the fault began"))
        } else {
            Judgement::Pass(Measured::count(most))
        };
        let said = format!("{lasted_ms} ms; at most {most} {what} waited ({looks} looks)");
        Ok(Outcome::did(said).finding("piled_up", judgement, Vec::new()))
    }

    async fn waiting(&self, context: &Context) -> Result<Seen, ActionError> {
        let clients = context.clients();
        Ok(match self.what {
            Waiting::AuditEvents => {
                let status = clients.gateway_status().await?;
                Seen {
                    count: status.audit_outbox_depth,
                    oldest_ms: Some(status.audit_outbox_oldest_age_ms),
                }
            }
            Waiting::Fills => Seen::only(clients.gateway_status().await?.fills_undelivered),
            Waiting::Alerts => Seen::only(clients.risk_status().await?.alerts.map_or(0, |alerts| alerts.pending)),
        })
    }
}

/// What waits at one look.
struct Seen {
    count: i64,
    /// How long the oldest of it waits, where that can be asked.
    oldest_ms: Option<i64>,
}

impl Seen {
    fn only(count: i64) -> Self {
        Self { count, oldest_ms: None }
    }
}

/// Every event of every producer is in the trail once and in its order, and every order that the trader was told of.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JudgeDelivery {}

action!(
    JudgeDelivery,
    "judge_delivery",
    ["complete", "in_order"],
    "Reads the audit trail: every producer's events without a gap, once and in order."
);

impl JudgeDelivery {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let told = told_orders(context)?;
        let fills = fills_during(context).await?;
        let missing_in = |trail: &AuditTrail| {
            let (known, recorded) = (order_ids(trail), recorded_fills(trail));
            let orders = told.iter().filter(|id| !known.contains(*id)).cloned();
            let fills = fills.iter().filter(|fill| !recorded.contains(*fill));
            orders
                .chain(fills.map(|(symbol, trade)| format!("{symbol} {trade}")))
                .collect::<Vec<_>>()
        };
        let delivered = until_every(
            READ_INTERVAL,
            "every event to be in the trail",
            DELIVERED_WITHIN,
            || async {
                match context.trail_of_run() {
                    Ok(trail) if trail.unfinished => Ask::NotYet("a line is being written".to_owned()),
                    Ok(trail) => match missing_in(&trail).len() {
                        0 => Ask::Yes(trail),
                        open => Ask::NotYet(format!("{open} orders or fills are not in it")),
                    },
                    Err(error) => Ask::NotYet(error.to_string()),
                }
            },
        )
        .await;
        let trail = match delivered {
            Ok(trail) => trail,
            Err(ActionError::TimedOut { .. }) => context.trail_of_run()?,
            Err(error) => return Err(error),
        };
        let missing = missing_in(&trail);
        let order = producers(&trail);
        let wrong: Vec<String> = order.values().flat_map(|producer| producer.wrong.clone()).collect();
        let lines: Vec<_> = order
            .iter()
            .map(|(name, producer)| format!("{name}: {} events, up to number {}", producer.count, producer.last))
            .collect();
        let evidence = vec![Evidence::new(
            EvidenceKind::AuditLine,
            "events by producer",
            lines.join("\n"),
        )];
        let during = i64::try_from(told.len()).unwrap_or(i64::MAX);
        let complete = if told.is_empty() {
            Judgement::inconclusive("the trader was told of no order while audit was away")
        } else {
            let why = format!("{} orders or fills have no event: {missing:?}", missing.len());
            Judgement::of(
                Measured::count(during),
                missing.is_empty() && trail.invalid.is_empty(),
                why,
            )
        };
        let said = format!(
            "{} lines; {during} orders and {} fills of the outage are in them; {} faults of order",
            trail.lines.len(),
            fills.len(),
            wrong.len()
        );
        let count = i64::try_from(wrong.len()).unwrap_or(i64::MAX);
        Ok(Outcome::did(said).finding("complete", complete, Vec::new()).finding(
            "in_order",
            Judgement::of(
                Measured::count(count),
                wrong.is_empty() && !order.is_empty(),
                wrong.join("; "),
            ),
            evidence,
        ))
    }
}

/// Orders that the trader was answered between the fault and its end.
fn told_orders(context: &Context) -> Result<BTreeSet<String>, ActionError> {
    let trade_loop = context.trade_loop.as_ref();
    let trade_loop = trade_loop.ok_or_else(|| ActionError::NotMet("no trader was started".to_owned()))?;
    let during = context.cut.since_ms..=context.cut.mended_at_ms;
    let record = read_record(&trade_loop.acks_file)?;
    let ids = record.lines.into_iter().filter_map(|line| match line {
        TraderLine::Answered {
            at_ms, client_order_id, ..
        } if during.contains(&at_ms) => Some(client_order_id),
        TraderLine::Answered { .. } | TraderLine::Sent { .. } | TraderLine::Failed { .. } => None,
    });
    Ok(ids.collect())
}

/// What position says was executed between the fault and its end.
async fn fills_during(context: &Context) -> Result<BTreeSet<(String, i64)>, ActionError> {
    let during = context.cut.since_ms..=context.cut.mended_at_ms;
    let fills = context.clients().fills().await?.into_iter();
    Ok(fills
        .filter(|fill| during.contains(&fill.executed_at_ms))
        .map(|fill| (fill.symbol, fill.trade_id))
        .collect())
}

#[derive(Deserialize)]
struct OfFill {
    payload: FillPayload,
}

#[derive(Deserialize)]
struct FillPayload {
    symbol: String,
    trade_id: i64,
}

fn recorded_fills(trail: &AuditTrail) -> BTreeSet<(String, i64)> {
    let recorded = trail.lines.iter().filter(|line| line.event_type == "FILL_RECORDED");
    let parse = |raw: &str| serde_json::from_str::<OfFill>(raw).ok().map(|line| line.payload);
    recorded
        .filter_map(|line| parse(&line.raw))
        .map(|fill| (fill.symbol, fill.trade_id))
        .collect()
}

#[derive(Deserialize)]
struct OfOrder {
    payload: OrderPayload,
}

#[derive(Deserialize)]
struct OrderPayload {
    client_order_id: String,
}

fn order_ids(trail: &AuditTrail) -> BTreeSet<String> {
    let orders = trail.lines.iter().filter(|line| line.event_type.starts_with("ORDER_"));
    let id = |raw: &str| {
        serde_json::from_str::<OfOrder>(raw)
            .ok()
            .map(|line| line.payload.client_order_id)
    };
    orders.filter_map(|line| id(&line.raw)).collect()
}

/// One producer's events as the trail has them.
#[derive(Debug, Default)]
struct Produced {
    count: u64,
    last: u64,
    wrong: Vec<String>,
}

/// By producer and database: its own numbers must count up by one, from the run's first, in the order of the lines.
fn producers(trail: &AuditTrail) -> BTreeMap<String, Produced> {
    let mut all = BTreeMap::<String, Produced>::new();
    for line in &trail.lines {
        let Ok(Origin::Counted {
            producer,
            incarnation,
            producer_seq,
        }) = Origin::parse(&line.event_id)
        else {
            continue;
        };
        let entry = all.entry(format!("{producer} ({incarnation})")).or_default();
        if entry.count > 0 && producer_seq != entry.last + 1 {
            entry.wrong.push(format!(
                "{producer} {producer_seq} follows {} at seq {}",
                entry.last, line.seq
            ));
        }
        entry.count += 1;
        entry.last = producer_seq;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trail(ids: &[&str]) -> AuditTrail {
        let line = |(seq, id): (usize, &&str)| {
            serde_json::json!({"seq": seq + 1, "event_id": id, "ts": "t", "event_type": "ORDER_INTENT",
                "payload": {"client_order_id": format!("o-{seq}")}})
            .to_string()
                + "\n"
        };
        AuditTrail::parse(&ids.iter().enumerate().map(line).collect::<String>())
    }

    #[test]
    fn p7_gaps_repetitions_and_exchanged_events_are_seen() {
        let faults = |ids: &[&str]| producers(&trail(ids)).values().map(|p| p.wrong.len()).sum::<usize>();
        assert_eq!(faults(&["risk:a:1", "exchange-gateway:b:1", "risk:a:2", "one"]), 0);
        assert_eq!(faults(&["risk:a:1", "risk:a:3"]), 1, "a gap");
        assert_eq!(faults(&["risk:a:1", "risk:a:1"]), 1, "twice");
        assert_eq!(
            faults(&["risk:a:7", "risk:a:9", "risk:a:8", "risk:a:10"]),
            3,
            "exchanged"
        );
        assert_eq!(faults(&["risk:a:1", "risk:b:1"]), 0, "a new database counts anew");
    }

    #[test]
    fn p7_orders_are_found_by_their_id() {
        assert_eq!(order_ids(&trail(&["risk:a:1", "risk:a:2"])).len(), 2);
    }
}
