//! The trades of one symbol: the exchange's against the book's. Both in the order of their ids, read through once.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use thunes_types::{Decimal, MoneyError};

use super::difference::{Class, Difference, Repair, TRADE_KEY};
use super::{Side, Sums};
use crate::domain::holdings::{FillEffect, effects};

/// Most differences that are kept of one symbol; the others are counted.
const KEPT_PER_SYMBOL: usize = 500;

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
    fn same_trade(&self, other: &TradeFact) -> bool {
        self.side == other.side
            && self.price == other.price
            && self.quantity == other.quantity
            && self.quote_quantity == other.quote_quantity
    }

    fn same_fee(&self, other: &TradeFact) -> bool {
        self.commission == other.commission
            && (self.commission_asset == other.commission_asset || self.commission.is_zero())
    }

    /// What each asset gains (or loses) by it.
    ///
    /// # Errors
    /// When a sum does not fit.
    pub fn effects(&self) -> Result<BTreeMap<String, Decimal>, MoneyError> {
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

    /// All that a copy of it under another id would share.
    fn fingerprint(&self) -> (String, &'static str, Decimal, Decimal, i64) {
        let order = self.venue_order_id.clone();
        (
            order,
            self.side.as_str(),
            self.price,
            self.quantity,
            self.executed_at_ms,
        )
    }
}

/// The trades of one symbol on both sides, and what else the gateway knows of them.
#[derive(Debug)]
pub struct SymbolTrades<'a> {
    pub symbol: &'a str,
    pub base_asset: &'a str,
    /// In the order of their ids, without repetition.
    pub exchange: &'a [TradeFact],
    /// In the order of their ids.
    pub book: &'a [TradeFact],
    /// Venue ids of our own orders among those of trades that the book lacks.
    pub own_orders: &'a BTreeSet<String>,
    /// Venue ids of orders that the exchange was asked about and that are not ours.
    pub foreign: &'a BTreeSet<String>,
    /// Ids, among those that the exchange lacks, of trades that the exchange itself once told the gateway of.
    pub told_before: &'a BTreeSet<i64>,
    /// Orders in doubt, with their side.
    pub in_doubt: &'a [(String, Side)],
    /// The newest trade that the baseline includes.
    pub cursor: i64,
    /// The exchange does not have that trade any more.
    pub cursor_vanished: bool,
}

/// What is left of a symbol once its trades are compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SymbolOutcome {
    pub symbol: String,
    pub base_asset: String,
    pub exchange: Sums,
    /// None when the book's fills were not read one by one.
    pub book: Option<Sums>,
    pub differences: Vec<Difference>,
    pub left_out: u64,
    /// Trades of which the exchange itself told, and which it does not know any more.
    pub vanished: Vec<TradeFact>,
    pub vanished_count: u64,
    pub vanished_newest_ms: i64,
    /// The oldest trade that both sides have.
    pub common_oldest_ms: Option<i64>,
    pub cursor_vanished: bool,
}

/// Ids of trades that only one side has: what else must be looked up before they can be explained.
pub fn one_sided<'a>(exchange: &'a [TradeFact], book: &'a [TradeFact]) -> (Vec<&'a TradeFact>, Vec<&'a TradeFact>) {
    let ours: HashSet<i64> = book.iter().map(|fill| fill.trade_id).collect();
    let theirs: HashSet<i64> = exchange.iter().map(|trade| trade.trade_id).collect();
    (
        exchange
            .iter()
            .filter(|trade| !ours.contains(&trade.trade_id))
            .collect(),
        book.iter().filter(|fill| !theirs.contains(&fill.trade_id)).collect(),
    )
}

/// Compares the trades of one symbol.
///
/// # Errors
/// When a sum does not fit.
pub fn compare_symbol(t: &SymbolTrades<'_>) -> Result<SymbolOutcome, MoneyError> {
    let mut out = SymbolOutcome {
        symbol: t.symbol.to_owned(),
        base_asset: t.base_asset.to_owned(),
        exchange: Sums::after(t.cursor),
        cursor_vanished: t.cursor_vanished,
        ..SymbolOutcome::default()
    };
    let mut sums = Sums::after(t.cursor);
    let mut phantoms = Vec::new();
    let mut exchange = t.exchange.iter().peekable();
    let mut previous: Option<i64> = None;
    for fill in t.book {
        sums.add(fill)?;
        while let Some(trade) = exchange.next_if(|trade| trade.trade_id < fill.trade_id) {
            out.exchange.add(trade)?;
            out.keep(lacking(t, trade));
        }
        if previous == Some(fill.trade_id) {
            out.keep(duplicate(fill, fill));
        } else if let Some(trade) = exchange.next_if(|trade| trade.trade_id == fill.trade_id) {
            out.exchange.add(trade)?;
            out.common(fill, trade);
        } else {
            phantoms.push(fill);
        }
        previous = Some(fill.trade_id);
    }
    for trade in exchange {
        out.exchange.add(trade)?;
        out.keep(lacking(t, trade));
    }
    out.book = Some(sums);
    out.explain_phantoms(t, &phantoms);
    Ok(out)
}

impl SymbolOutcome {
    fn keep(&mut self, difference: Difference) {
        if self.differences.len() < KEPT_PER_SYMBOL {
            self.differences.push(difference);
        } else {
            self.left_out += 1;
        }
    }

    fn common(&mut self, fill: &TradeFact, trade: &TradeFact) {
        let oldest = self.common_oldest_ms.unwrap_or(i64::MAX).min(trade.executed_at_ms);
        self.common_oldest_ms = Some(oldest);
        if !fill.same_trade(trade) {
            self.keep(
                found(Class::FillMismatch, Some(fill), Some(trade))
                    .why("the same trade was recorded with other numbers")
                    .mended_by(
                        Repair::Investigate,
                        "look at both; a book that is wrong needs a new data folder, or an override with a reason",
                    ),
            );
        } else if !fill.same_fee(trade) {
            let mut difference = found(Class::FeeDifference, Some(fill), Some(trade))
                .why("the trade is the same, its fee was recorded otherwise")
                .mended_by(
                    Repair::Investigate,
                    "look at both; a book that is wrong needs a new data folder, or an override with a reason",
                );
            difference.asset.clone_from(&trade.commission_asset);
            if fill.commission_asset == trade.commission_asset {
                difference.difference = Some(trade.commission - fill.commission);
            }
            self.keep(difference);
        }
    }

    fn explain_phantoms(&mut self, t: &SymbolTrades<'_>, phantoms: &[&TradeFact]) {
        if phantoms.is_empty() {
            return;
        }
        let known: BTreeMap<_, _> = t.exchange.iter().map(|trade| (trade.fingerprint(), trade)).collect();
        for fill in phantoms {
            if t.told_before.contains(&fill.trade_id) {
                self.vanished_count += 1;
                self.vanished_newest_ms = self.vanished_newest_ms.max(fill.executed_at_ms);
                if self.vanished.len() < KEPT_PER_SYMBOL {
                    self.vanished.push((*fill).clone());
                }
            } else if let Some(original) = known.get(&fill.fingerprint()) {
                self.keep(duplicate(fill, original));
            } else {
                self.keep(phantom(fill));
            }
        }
    }

    /// Trades that the exchange told of and does not have any more, where no wipe explains it.
    pub fn vanished_differences(&self) -> impl Iterator<Item = Difference> {
        self.vanished.iter().map(phantom)
    }
}

fn phantom(fill: &TradeFact) -> Difference {
    found(Class::PhantomFill, Some(fill), None)
        .why("the book has a fill that the exchange does not know")
        .mended_by(
            Repair::Investigate,
            "find out who recorded it; a book that is wrong needs a new data folder, or an override with a reason",
        )
}

fn duplicate(fill: &TradeFact, original: &TradeFact) -> Difference {
    found(Class::DuplicateFill, Some(fill), Some(original))
        .why(format!(
            "the book has one trade twice: order, side, price, quantity and time are those of trade {}",
            original.trade_id
        ))
        .mended_by(
            Repair::RestorePosition,
            "the second one counts wrongly: find out who recorded it; a book that is wrong needs a new data folder, or an override with a reason",
        )
}

fn lacking(t: &SymbolTrades<'_>, trade: &TradeFact) -> Difference {
    if t.own_orders.contains(&trade.venue_order_id) {
        let mut missed = found(Class::MissedFill, None, Some(trade))
            .why("a fill of our own order has not reached the book")
            .mended_by(Repair::AdoptFill, "adopt the exchange's fill: reconcile with repair");
        missed.adopt = Some(trade.clone());
        return missed;
    }
    let may_be = |(_, side): &&(String, Side)| *side == trade.side && !t.foreign.contains(&trade.venue_order_id);
    if let Some((order, _)) = t.in_doubt.iter().find(may_be) {
        let mut undecided = found(Class::InDoubt, None, Some(trade))
            .why(format!(
                "a trade of order {} at the exchange, which is not known here, while order {order} of the same side is in doubt: whose it is shows when the doubt ends",
                trade.venue_order_id
            ))
            .mended_by(Repair::Wait, "wait: the exchange is being asked until it is known");
        undecided.key = format!("{TRADE_KEY}{}", trade.trade_id);
        return undecided;
    }
    let mut external = found(Class::ExternalTrade, None, Some(trade))
        .why(format!(
            "order {} at the exchange was not placed through this gateway: somebody else trades this account",
            trade.venue_order_id
        ))
        .mended_by(
            Repair::AdoptFill,
            "adopt the exchange's fill into the book: reconcile with repair",
        );
    external.adopt = Some(trade.clone());
    external
}

fn found(class: Class, local: Option<&TradeFact>, exchange: Option<&TradeFact>) -> Difference {
    let some = local.or(exchange);
    let mut difference = Difference::new(class, some.map_or_else(String::new, |t| t.trade_id.to_string()));
    difference.symbol = some.map_or_else(String::new, |t| t.symbol.clone());
    difference.local = local.map_or(serde_json::Value::Null, trade_json);
    difference.exchange = exchange.map_or(serde_json::Value::Null, trade_json);
    difference
}

pub(super) fn trade_json(t: &TradeFact) -> serde_json::Value {
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
