use std::collections::{BTreeMap, BTreeSet};

use thunes_types::{Decimal, MoneyError, checked_add, checked_sub};

use super::holdings::{FillEffect, effects};
use super::order::Side;

/// A trade as one side knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TradeFact {
    pub symbol: String,
    pub trade_id: i64,
    pub base_asset: String,
    pub quote_asset: String,
    pub side: Side,
    pub price: Decimal,
    pub quantity: Decimal,
    pub quote_quantity: Decimal,
    pub commission: Decimal,
    pub commission_asset: String,
    pub venue_order_id: String,
    pub executed_at_ms: i64,
}

impl TradeFact {
    fn key(&self) -> (String, i64) {
        (self.symbol.clone(), self.trade_id)
    }

    fn same_numbers(&self, other: &TradeFact) -> bool {
        self.side == other.side
            && self.price == other.price
            && self.quantity == other.quantity
            && self.quote_quantity == other.quote_quantity
            && self.commission == other.commission
            && self.commission_asset == other.commission_asset
    }

    fn effects(&self) -> Result<BTreeMap<String, Decimal>, MoneyError> {
        effects(&FillEffect {
            base_asset: &self.base_asset,
            quote_asset: &self.quote_asset,
            side: self.side,
            quantity: self.quantity,
            quote_quantity: self.quote_quantity,
            commission: self.commission,
            commission_asset: &self.commission_asset,
        })
    }
}

/// An open order as one side knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOrderFact {
    pub client_order_id: String,
    pub venue_order_id: String,
    pub symbol: String,
    pub in_doubt: bool,
}

/// Both sides at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub baseline: BTreeMap<String, Decimal>,
    /// The exchange's balances, free and locked together.
    pub balances: BTreeMap<String, Decimal>,
    pub exchange_trades: Vec<TradeFact>,
    pub book_fills: Vec<TradeFact>,
    /// Venue ids of our own orders, by symbol.
    pub own_orders: BTreeSet<(String, String)>,
    pub exchange_open: Vec<OpenOrderFact>,
    pub own_open: Vec<OpenOrderFact>,
    /// The book's net quantity by symbol, shorts negative.
    pub positions: BTreeMap<String, Decimal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    MissedFill,
    PhantomFill,
    ExternalTrade,
    UnknownOpenOrder,
    PhantomOrder,
    FillMismatch,
    InDoubt,
    UnexplainedBalance,
    PositionMismatch,
}

/// What differs, with both sides' evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub class: Class,
    pub symbol: String,
    pub asset: String,
    /// Tells this difference from others of its class.
    pub key: String,
    pub local: serde_json::Value,
    pub exchange: serde_json::Value,
    pub difference: Option<Decimal>,
    pub cause: String,
    pub proposed_repair: String,
    /// The exchange's trade that a repair would adopt.
    pub adopt: Option<TradeFact>,
}

impl Difference {
    /// What makes two sightings the same difference.
    pub fn identity(&self) -> (Class, &str, &str, Option<Decimal>) {
        (self.class, &self.symbol, &self.key, self.difference)
    }
}

/// One asset compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalanceLine {
    pub asset: String,
    pub baseline: Decimal,
    pub trades: Decimal,
    pub expected: Decimal,
    pub exchange: Decimal,
    pub difference: Decimal,
}

/// One position compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionLine {
    pub symbol: String,
    pub book: Decimal,
    pub exchange: Decimal,
    pub difference: Decimal,
}

/// The outcome of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    pub differences: Vec<Difference>,
    pub balances: Vec<BalanceLine>,
    pub positions: Vec<PositionLine>,
}

/// Compares both sides. Every balance, open order, trade and position is accounted for, or named as a difference.
///
/// # Errors
/// When a sum does not fit.
pub fn compare(s: &Snapshot) -> Result<Comparison, MoneyError> {
    let mut out = Comparison::default();
    compare_trades(s, &mut out);
    compare_open_orders(s, &mut out);
    compare_balances(s, &mut out)?;
    compare_positions(s, &mut out)?;
    Ok(out)
}

fn compare_trades(s: &Snapshot, out: &mut Comparison) {
    let book: BTreeMap<_, _> = s.book_fills.iter().map(|f| (f.key(), f)).collect();
    let exchange: BTreeMap<_, _> = s.exchange_trades.iter().map(|t| (t.key(), t)).collect();
    for (key, trade) in &exchange {
        match book.get(key) {
            Some(fill) if fill.same_numbers(trade) => {}
            Some(fill) => out.differences.push(trade_difference(
                Class::FillMismatch,
                Some(fill),
                Some(trade),
                "the same trade was recorded with other numbers",
                "look at both; a book that is wrong needs a new baseline",
            )),
            None if s
                .own_orders
                .contains(&(trade.symbol.clone(), trade.venue_order_id.clone())) =>
            {
                out.differences.push(trade_difference(
                    Class::MissedFill,
                    None,
                    Some(trade),
                    "a fill of our own order has not reached the book",
                    "adopt the exchange's fill: reconcile with repair",
                ));
            }
            None => out.differences.push(trade_difference(
                Class::ExternalTrade,
                None,
                Some(trade),
                &format!(
                    "order {} at the exchange was not placed through this gateway: somebody else trades this account",
                    trade.venue_order_id
                ),
                "adopt the exchange's fill into the book: reconcile with repair",
            )),
        }
    }
    for (key, fill) in &book {
        if !exchange.contains_key(key) {
            out.differences.push(trade_difference(
                Class::PhantomFill,
                Some(fill),
                None,
                "the book has a fill that the exchange does not know",
                "find out who recorded it; a book that is wrong needs a new baseline",
            ));
        }
    }
}

fn trade_difference(
    class: Class,
    local: Option<&TradeFact>,
    exchange: Option<&TradeFact>,
    cause: &str,
    repair: &str,
) -> Difference {
    let some = exchange.or(local);
    let adopt = matches!(class, Class::MissedFill | Class::ExternalTrade)
        .then(|| exchange.cloned())
        .flatten();
    Difference {
        class,
        symbol: some.map_or_else(String::new, |t| t.symbol.clone()),
        asset: String::new(),
        key: some.map_or_else(String::new, |t| t.trade_id.to_string()),
        local: local.map_or(serde_json::Value::Null, trade_json),
        exchange: exchange.map_or(serde_json::Value::Null, trade_json),
        difference: None,
        cause: cause.to_owned(),
        proposed_repair: repair.to_owned(),
        adopt,
    }
}

fn trade_json(t: &TradeFact) -> serde_json::Value {
    serde_json::json!({
        "symbol": t.symbol,
        "trade_id": t.trade_id,
        "side": t.side.as_str(),
        "price": t.price.to_string(),
        "quantity": t.quantity.to_string(),
        "quote_quantity": t.quote_quantity.to_string(),
        "commission": t.commission.to_string(),
        "commission_asset": t.commission_asset,
        "venue_order_id": t.venue_order_id,
        "executed_at_ms": t.executed_at_ms,
    })
}

fn compare_open_orders(s: &Snapshot, out: &mut Comparison) {
    let exchange: BTreeSet<&str> = s.exchange_open.iter().map(|o| o.client_order_id.as_str()).collect();
    let own: BTreeSet<&str> = s.own_open.iter().map(|o| o.client_order_id.as_str()).collect();
    for order in &s.own_open {
        if order.in_doubt {
            out.differences.push(order_difference(
                Class::InDoubt,
                Some(order),
                None,
                "the exchange has not yet said what became of it",
                "wait: the exchange is being asked until it is known",
            ));
        } else if !exchange.contains(order.client_order_id.as_str()) {
            out.differences.push(order_difference(
                Class::PhantomOrder,
                Some(order),
                None,
                "the exchange does not have it open any more; its end has not reached the journal",
                "the gateway asks the exchange for its end",
            ));
        }
    }
    for order in s
        .exchange_open
        .iter()
        .filter(|o| !own.contains(o.client_order_id.as_str()))
    {
        out.differences.push(order_difference(
            Class::UnknownOpenOrder,
            None,
            Some(order),
            "an open order that was not placed through this gateway: somebody else trades this account",
            "cancel it at the exchange, or find out whose it is",
        ));
    }
}

fn order_difference(
    class: Class,
    local: Option<&OpenOrderFact>,
    exchange: Option<&OpenOrderFact>,
    cause: &str,
    repair: &str,
) -> Difference {
    let json = |o: &OpenOrderFact| serde_json::json!({ "client_order_id": o.client_order_id, "venue_order_id": o.venue_order_id, "symbol": o.symbol });
    let some = exchange.or(local);
    Difference {
        class,
        symbol: some.map_or_else(String::new, |o| o.symbol.clone()),
        asset: String::new(),
        key: some.map_or_else(String::new, |o| o.client_order_id.clone()),
        local: local.map_or(serde_json::Value::Null, json),
        exchange: exchange.map_or(serde_json::Value::Null, json),
        difference: None,
        cause: cause.to_owned(),
        proposed_repair: repair.to_owned(),
        adopt: None,
    }
}

fn compare_balances(s: &Snapshot, out: &mut Comparison) -> Result<(), MoneyError> {
    let mut moved: BTreeMap<String, Decimal> = BTreeMap::new();
    for trade in &s.exchange_trades {
        for (asset, change) in trade.effects()? {
            let entry = moved.entry(asset).or_default();
            *entry = checked_add(*entry, change)?;
        }
    }
    let assets: BTreeSet<&String> = s.baseline.keys().chain(s.balances.keys()).chain(moved.keys()).collect();
    for asset in assets {
        let of = |map: &BTreeMap<String, Decimal>| map.get(asset).copied().unwrap_or_default();
        let (baseline, trades, exchange) = (of(&s.baseline), of(&moved), of(&s.balances));
        let expected = checked_add(baseline, trades)?;
        let difference = checked_sub(exchange, expected)?;
        out.balances.push(BalanceLine {
            asset: asset.clone(),
            baseline,
            trades,
            expected,
            exchange,
            difference,
        });
        if !difference.is_zero() {
            let direction = if difference > Decimal::ZERO {
                "deposit or transfer in"
            } else {
                "withdrawal or transfer out"
            };
            out.differences.push(Difference {
                class: Class::UnexplainedBalance,
                symbol: String::new(),
                asset: asset.clone(),
                key: asset.clone(),
                local: serde_json::json!({ "baseline": baseline.to_string(), "trades": trades.to_string(), "expected": expected.to_string() }),
                exchange: serde_json::json!({ "balance": exchange.to_string() }),
                difference: Some(difference),
                cause: format!("no trade explains it; it has the shape of a {direction}, or of a trade in a symbol that is not in gateway.symbols"),
                proposed_repair: "find the transfer at the exchange; then record a new baseline".into(),
                adopt: None,
            });
        }
    }
    Ok(())
}

fn compare_positions(s: &Snapshot, out: &mut Comparison) -> Result<(), MoneyError> {
    let at_exchange = net_quantities(&s.exchange_trades)?;
    let by_fills = net_quantities(&s.book_fills)?;
    let symbols: BTreeSet<&String> = s
        .positions
        .keys()
        .chain(at_exchange.keys())
        .chain(by_fills.keys())
        .collect();
    for symbol in symbols {
        let of = |map: &BTreeMap<String, Decimal>| map.get(symbol).copied().unwrap_or_default();
        let (book, exchange) = (of(&s.positions), of(&at_exchange));
        let difference = checked_sub(exchange, book)?;
        out.positions.push(PositionLine {
            symbol: symbol.clone(),
            book,
            exchange,
            difference,
        });
        let folded = of(&by_fills);
        if book != folded {
            out.differences.push(Difference {
                class: Class::PositionMismatch,
                symbol: symbol.clone(),
                asset: String::new(),
                key: symbol.clone(),
                local: serde_json::json!({ "position": book.to_string(), "fold_of_its_fills": folded.to_string() }),
                exchange: serde_json::json!({ "net_of_trades": exchange.to_string() }),
                difference: Some(checked_sub(folded, book)?),
                cause: "the book's position is not the fold of the book's own fills".into(),
                proposed_repair: "stop position and restore it: its database is damaged".into(),
                adopt: None,
            });
        }
    }
    Ok(())
}

/// Base that was credited net, by symbol.
fn net_quantities(trades: &[TradeFact]) -> Result<BTreeMap<String, Decimal>, MoneyError> {
    let mut net: BTreeMap<String, Decimal> = BTreeMap::new();
    for trade in trades {
        let change = trade.effects()?.get(&trade.base_asset).copied().unwrap_or_default();
        let entry = net.entry(trade.symbol.clone()).or_default();
        *entry = checked_add(*entry, change)?;
    }
    Ok(net)
}

#[cfg(test)]
mod tests;
