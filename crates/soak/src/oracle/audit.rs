//! The trail: it verifies, and every change has its event once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use thunes_proto::gateway::v1::OrderState;

use super::{AuditEvent, Evidence, Verdict};

pub(super) fn judge(evidence: &Evidence, verdict: &mut Verdict) {
    if let Some(broken) = &evidence.audit.broken {
        verdict.count(
            |c| &mut c.audit_broken,
            || format!("the trail does not verify: {broken}"),
        );
    }
    verdict.counts.events_compared += evidence.audit.events.len() as u64;
    producers_count_on(&evidence.audit.events, verdict);
    orders_are_told(evidence, verdict);
    fills_are_told(evidence, verdict);
    switch_is_told(evidence, verdict);
}

/// `producer:incarnation:number`, each number once and in order.
fn producers_count_on(events: &[AuditEvent], verdict: &mut Verdict) {
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for event in events {
        let parts: Vec<&str> = event.event_id.split(':').collect();
        let [producer, incarnation, number] = parts[..] else {
            continue;
        };
        let Ok(number) = number.parse::<u64>() else { continue };
        if producer == "req" {
            continue;
        }
        let before = last.entry(format!("{producer}:{incarnation}")).or_default();
        if number <= *before {
            verdict.count(
                |c| &mut c.audit_doubled,
                || format!("{} comes after number {before}", event.event_id),
            );
        } else if number != *before + 1 {
            verdict.count(
                |c| &mut c.audit_missing,
                || format!("{} comes after number {before}", event.event_id),
            );
        }
        *before = number.max(*before);
    }
}

fn text<'a>(payload: &'a Value, key: &str) -> &'a str {
    payload.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn trades(event: &AuditEvent) -> impl Iterator<Item = i64> {
    let ids = event.payload.get("trade_ids").and_then(Value::as_array);
    ids.into_iter().flatten().filter_map(Value::as_i64)
}

fn orders_are_told(evidence: &Evidence, verdict: &mut Verdict) {
    let mut told: BTreeMap<&str, Vec<&AuditEvent>> = BTreeMap::new();
    let of_orders = |event: &&AuditEvent| event.service == "exchange-gateway" && event.event_type.starts_with("ORDER_");
    for event in evidence.audit.events.iter().filter(of_orders) {
        told.entry(text(&event.payload, "client_order_id"))
            .or_default()
            .push(event);
    }
    for order in &evidence.journal {
        let id = order.client_order_id.as_str();
        let events = told.remove(id).unwrap_or_default();
        let last = events.last().map_or("", |event| text(&event.payload, "state"));
        if state_name(order.state) != last {
            verdict.count(
                |c| &mut c.audit_missing,
                || format!("the trail's last word on {id} is {last:?}: {order:?}"),
            );
        }
        let intents = events.iter().filter(|event| event.event_type == "ORDER_INTENT").count();
        if intents == 0 && order.state != OrderState::Denied {
            verdict.count(|c| &mut c.audit_missing, || format!("no ORDER_INTENT of {id}"));
        }
        if intents > 1 {
            verdict.count(
                |c| &mut c.audit_doubled,
                || format!("{intents} times ORDER_INTENT of {id}"),
            );
        }
        for pair in events.windows(2) {
            let same = text(&pair[0].payload, "state") == text(&pair[1].payload, "state");
            if same && trades(pair[1]).next().is_none() {
                verdict.count(
                    |c| &mut c.audit_doubled,
                    || format!("{} tells what {} told", pair[1].event_id, pair[0].event_id),
                );
            }
        }
        once_each(id, events.iter().flat_map(|event| trades(event)), verdict);
    }
    for (id, events) in told {
        verdict.count(
            |c| &mut c.audit_doubled,
            || format!("{} events of {id}, which is in no journal", events.len()),
        );
    }
}

fn once_each(id: &str, trades: impl Iterator<Item = i64>, verdict: &mut Verdict) {
    let mut seen = BTreeSet::new();
    for trade in trades {
        if !seen.insert(trade) {
            verdict.count(
                |c| &mut c.audit_doubled,
                || format!("trade {trade} of {id} is told twice"),
            );
        }
    }
}

fn fills_are_told(evidence: &Evidence, verdict: &mut Verdict) {
    let mut recorded: BTreeMap<(&str, i64), u64> = BTreeMap::new();
    for event in evidence
        .audit
        .events
        .iter()
        .filter(|event| event.event_type == "FILL_RECORDED")
    {
        let trade = event
            .payload
            .get("trade_id")
            .and_then(Value::as_i64)
            .unwrap_or_default();
        *recorded.entry((text(&event.payload, "symbol"), trade)).or_default() += 1;
    }
    for fill in &evidence.book_fills {
        match recorded.remove(&(fill.symbol.as_str(), fill.trade_id)) {
            Some(1) => {}
            Some(times) => verdict.count(
                |c| &mut c.audit_doubled,
                || format!("FILL_RECORDED {times} times of {fill:?}"),
            ),
            None => verdict.count(|c| &mut c.audit_missing, || format!("no FILL_RECORDED of {fill:?}")),
        }
    }
    for (key, _) in recorded {
        verdict.count(
            |c| &mut c.audit_doubled,
            || format!("FILL_RECORDED of {key:?}, which is not in the book"),
        );
    }
}

fn switch_is_told(evidence: &Evidence, verdict: &mut Verdict) {
    let mut epochs: BTreeMap<i64, u64> = BTreeMap::new();
    let turned = ["KILL_SWITCH_ACTIVATED", "KILL_SWITCH_DEACTIVATED"];
    let events = evidence.audit.events.iter();
    for event in events.filter(|event| turned.contains(&event.event_type.as_str())) {
        let epoch = event.payload.get("epoch").and_then(Value::as_i64).unwrap_or_default();
        *epochs.entry(epoch).or_default() += 1;
    }
    for (epoch, times) in epochs.iter().filter(|(_, times)| **times > 1) {
        verdict.count(
            |c| &mut c.audit_doubled,
            || format!("{times} events of the switch's epoch {epoch}"),
        );
    }
    for activation in evidence.activations.iter().filter(|activation| activation.durable) {
        if !epochs.contains_key(&activation.epoch) {
            verdict.count(|c| &mut c.audit_missing, || format!("no event of {activation:?}"));
        }
    }
}

/// As the events spell it.
fn state_name(state: OrderState) -> &'static str {
    state.as_str_name().trim_start_matches("ORDER_STATE_")
}
