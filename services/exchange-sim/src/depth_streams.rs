//! Diff depth: each stream remembers the book that its client knows, and tells only what changed since.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::api::levels;
use crate::domain::{Exchange, Market, Side, ZERO, fixed8};

/// The known books of one connection by stream name; at most as many as it may have streams.
pub type Books = BTreeMap<String, KnownBook>;

/// A book as a client knows it, if it has followed the stream.
#[derive(Debug)]
pub struct KnownBook {
    update_id: u64,
    bids: BTreeMap<Decimal, Decimal>,
    asks: BTreeMap<Decimal, Decimal>,
}

impl KnownBook {
    /// The whole present book.
    pub fn of(exchange: &Exchange, market: &Market) -> Self {
        Self {
            update_id: market.update_id,
            bids: by_price(exchange, market, Side::Buy),
            asks: by_price(exchange, market, Side::Sell),
        }
    }

    /// The event from what is known to the present book; none when nothing happened to it. Its `U` follows the last `u`
    /// without a gap, so that a client can tell whether it missed one.
    pub fn changes(&mut self, exchange: &Exchange, market: &Market, now_ms: i64) -> Option<Value> {
        if market.update_id == self.update_id {
            return None;
        }
        let now = Self::of(exchange, market);
        let event = json!({
            "e": "depthUpdate",
            "E": now_ms,
            "s": market.rules.symbol,
            "U": self.update_id + 1,
            "u": now.update_id,
            "b": changed(&self.bids, &now.bids, true),
            "a": changed(&self.asks, &now.asks, false),
        });
        *self = now;
        Some(event)
    }
}

fn by_price(exchange: &Exchange, market: &Market, side: Side) -> BTreeMap<Decimal, Decimal> {
    let levels = levels(exchange, market, side);
    levels.into_iter().map(|level| (level.price, level.qty)).collect()
}

/// Levels with another quantity than before, best first; a quantity of zero means that the level is gone.
fn changed(before: &BTreeMap<Decimal, Decimal>, now: &BTreeMap<Decimal, Decimal>, best_is_highest: bool) -> Vec<Value> {
    let gone = before.keys().filter(|price| !now.contains_key(*price));
    let mut changed: BTreeMap<Decimal, Decimal> = gone.map(|price| (*price, ZERO)).collect();
    let other = now.iter().filter(|(price, qty)| before.get(*price) != Some(*qty));
    changed.extend(other.map(|(price, qty)| (*price, *qty)));
    let mut shown: Vec<Value> = changed
        .iter()
        .map(|(price, qty)| json!([fixed8(*price), fixed8(*qty)]))
        .collect();
    if best_is_highest {
        shown.reverse();
    }
    shown
}
