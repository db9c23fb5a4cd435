use std::collections::BTreeSet;

use thunes_types::Decimal;

use super::difference::{Class, Difference, Repair};
use super::{Comparison, Snapshot};

/// An open order as one side knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenOrderFact {
    pub client_order_id: String,
    pub venue_order_id: String,
    pub symbol: String,
    pub state: String,
    pub in_doubt: bool,
    /// Why it is in doubt, or how it turned up.
    pub reason: String,
    /// UTC.
    pub created_at_ms: i64,
    /// The exchange has had it, and says now that there is no such order.
    pub denied: bool,
    /// What it binds of which asset; None where that cannot be told from the order.
    pub locks: Option<(String, Decimal)>,
    /// The assets that it could bind.
    pub assets: Vec<String>,
}

pub(super) fn compare_open_orders(s: &Snapshot, out: &mut Comparison) {
    let exchange: BTreeSet<&str> = s.exchange_open.iter().map(|o| o.client_order_id.as_str()).collect();
    let own: BTreeSet<&str> = s.own_open.iter().map(|o| o.client_order_id.as_str()).collect();
    for order in &s.own_open {
        if order.in_doubt {
            let (repair, text) = (
                Repair::Wait,
                "wait: the exchange is being asked until it is known; what it cannot tell any more an operator resolves: thunes order resolve",
            );
            let why = if order.reason.is_empty() {
                "the exchange has not yet said what became of it".to_owned()
            } else {
                format!("the exchange has not yet said what became of it: {}", order.reason)
            };
            out.push(
                found(Class::InDoubt, Some(order), None)
                    .why(why)
                    .mended_by(repair, text),
            );
            continue;
        }
        let wiped_away = order.denied && out.wipe.is_some();
        if !wiped_away && !exchange.contains(order.client_order_id.as_str()) {
            out.push(
                found(Class::PhantomOrder, Some(order), None)
                    .why("the exchange does not have it open any more; its end has not reached the journal")
                    .mended_by(Repair::Wait, "the gateway asks the exchange for its end"),
            );
        }
    }
    for order in &s.exchange_open {
        if !own.contains(order.client_order_id.as_str()) {
            out.push(
                found(Class::UnknownOpenOrder, None, Some(order))
                    .why("an open order that was not placed through this gateway: somebody else trades this account")
                    .mended_by(
                        Repair::CancelAtExchange,
                        "cancel it at the exchange, or find out whose it is",
                    ),
            );
        }
    }
    for order in &s.turned_up {
        out.notes.push(
            found(Class::TurnedUp, Some(order), None)
                .why(order.reason.clone())
                .mended_by(Repair::Nothing, "the exchange's word was taken over; look at the order"),
        );
    }
}

fn found(class: Class, local: Option<&OpenOrderFact>, exchange: Option<&OpenOrderFact>) -> Difference {
    let json = |o: &OpenOrderFact| {
        serde_json::json!({
            "client_order_id": o.client_order_id,
            "venue_order_id": o.venue_order_id,
            "symbol": o.symbol,
            "state": o.state,
            "created_at_ms": o.created_at_ms,
        })
    };
    let some = exchange.or(local);
    let mut difference = Difference::new(class, some.map_or_else(String::new, |o| o.client_order_id.clone()));
    difference.symbol = some.map_or_else(String::new, |o| o.symbol.clone());
    difference.local = local.map_or(serde_json::Value::Null, json);
    difference.exchange = exchange.map_or(serde_json::Value::Null, json);
    difference
}
