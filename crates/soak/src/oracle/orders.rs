//! Orders: what was told, what the journal says, what the exchange has.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use thunes_proto::gateway::v1::OrderState;

use super::{Evidence, ExchangeOrder, JournalOrder, Told, Verdict};

/// What a state means for the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// The exchange must have it, and it can change.
    Alive,
    /// The exchange must have it, and it is over.
    Ended,
    /// The exchange must not have it.
    Absent,
    /// Nothing is claimed.
    Unknown,
}

fn meaning(state: OrderState) -> Meaning {
    match state {
        OrderState::New | OrderState::PartiallyFilled => Meaning::Alive,
        OrderState::Filled | OrderState::Canceled | OrderState::Expired => Meaning::Ended,
        OrderState::Denied | OrderState::Rejected | OrderState::NeverArrived => Meaning::Absent,
        OrderState::Intent | OrderState::InDoubt | OrderState::Unspecified => Meaning::Unknown,
    }
}

fn status(status: &str) -> OrderState {
    match status {
        "NEW" => OrderState::New,
        "PARTIALLY_FILLED" => OrderState::PartiallyFilled,
        "FILLED" => OrderState::Filled,
        "CANCELED" => OrderState::Canceled,
        "EXPIRED" | "EXPIRED_IN_MATCH" => OrderState::Expired,
        _ => OrderState::Unspecified,
    }
}

pub(super) fn judge(evidence: &Evidence, verdict: &mut Verdict) {
    let mut at_exchange: BTreeMap<&str, Vec<&ExchangeOrder>> = BTreeMap::new();
    for order in &evidence.exchange {
        at_exchange.entry(&order.client_order_id).or_default().push(order);
    }
    let mut journal: BTreeMap<&str, &JournalOrder> = BTreeMap::new();
    for order in &evidence.journal {
        if journal.insert(&order.client_order_id, order).is_some() {
            verdict.count(
                |c| &mut c.doubled,
                || format!("the journal has {} twice", order.client_order_id),
            );
        }
    }
    for (id, orders) in &at_exchange {
        for order in &orders[1..] {
            verdict.count(
                |c| &mut c.doubled,
                || {
                    format!(
                        "{id} made another order at the exchange: {order:?} besides {:?}",
                        orders[0]
                    )
                },
            );
        }
    }
    let ids: BTreeSet<&str> = journal.keys().chain(at_exchange.keys()).copied().collect();
    for id in ids {
        verdict.counts.orders_compared += 1;
        let exchange = at_exchange.get(id).map(|orders| orders[0]);
        match journal.get(id) {
            Some(order) => compare(order, exchange, verdict),
            None => verdict.count(
                |c| &mut c.missing,
                || format!("{id} is at the exchange and not in the journal: {exchange:?}"),
            ),
        }
    }
    for told in &evidence.told {
        keeps_word(told, journal.get(told.client_order_id.as_str()).copied(), verdict);
    }
}

fn compare(order: &JournalOrder, exchange: Option<&ExchangeOrder>, verdict: &mut Verdict) {
    if order.resolved {
        match meaning(order.state) {
            Meaning::Alive | Meaning::Ended => verdict.counts.in_doubt_found += 1,
            Meaning::Absent => verdict.counts.in_doubt_never_arrived += 1,
            Meaning::Unknown => {}
        }
    }
    match (meaning(order.state), exchange) {
        (Meaning::Unknown, _) => verdict.count(|c| &mut c.in_doubt_open, || format!("still in doubt: {order:?}")),
        (Meaning::Absent, None) => {}
        (Meaning::Absent, Some(exchange)) => verdict.count(
            |c| &mut c.missing,
            || format!("the exchange has it, the journal says it does not: {order:?}; {exchange:?}"),
        ),
        (Meaning::Alive | Meaning::Ended, None) => verdict.count(
            |c| &mut c.phantom,
            || format!("accepted by the journal, unknown to the exchange: {order:?}"),
        ),
        (Meaning::Alive | Meaning::Ended, Some(exchange)) => compare_amounts(order, exchange, verdict),
    }
}

fn compare_amounts(order: &JournalOrder, exchange: &ExchangeOrder, verdict: &mut Verdict) {
    if order.executed > exchange.executed {
        verdict.count(
            |c| &mut c.phantom,
            || format!("the journal has more executed than the exchange: {order:?}; {exchange:?}"),
        );
    } else if order.executed < exchange.executed || order.state != status(&exchange.status) {
        verdict.count(
            |c| &mut c.missing,
            || format!("the journal does not have what happened at the exchange: {order:?}; {exchange:?}"),
        );
    }
}

/// What was acknowledged still holds.
fn keeps_word(told: &Told, order: Option<&JournalOrder>, verdict: &mut Verdict) {
    let Some(order) = order else {
        verdict.count(|c| &mut c.missing, || format!("acknowledged and forgotten: {told:?}"));
        return;
    };
    let holds = match meaning(told.state) {
        Meaning::Unknown => true,
        Meaning::Alive => matches!(meaning(order.state), Meaning::Alive | Meaning::Ended),
        Meaning::Ended | Meaning::Absent => order.state == told.state,
    };
    if !holds || order.executed < told.executed.max(Decimal::ZERO) {
        verdict.count(
            |c| &mut c.missing,
            || format!("what was acknowledged does not hold any more: {told:?}; {order:?}"),
        );
    }
}
