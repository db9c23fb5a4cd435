//! What the exchange has against what we have: every balance, open order and trade is accounted for, or named.
//!
//! Trades are compared symbol by symbol ([`trades`]), so that memory holds one symbol at a time; what is left of a symbol
//! are its sums and its differences, which [`compare`] puts together with balances, open orders and positions.

mod balances;
mod difference;
pub mod gate;
mod orders;
mod positions;
pub mod trades;
mod unexplained;
mod wipe;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thunes_types::{Decimal, MoneyError, checked_add};

pub use balances::{BalanceLine, TransferFact};
pub use difference::{Class, Difference, Repair};
pub use orders::OpenOrderFact;
pub use positions::{DustRule, PositionLine};
pub use trades::{SymbolOutcome, TradeFact};
pub use unexplained::{Unexplained, unexplained_value};
pub use wipe::WipeSigns;

use super::order::Side;

/// Most differences that are kept of one comparison; the others are counted.
pub const DIFFERENCES_KEPT: usize = 2_000;

/// What the trades of one symbol add up to, up to one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    pub count: i64,
    /// The newest trade in it; below every id when there is none.
    pub last_trade_id: i64,
    /// What each asset gained (or lost).
    pub effects: BTreeMap<String, Decimal>,
}

impl Sums {
    /// Nothing yet, from after this trade on.
    pub fn after(last_trade_id: i64) -> Self {
        Self {
            last_trade_id,
            ..Self::default()
        }
    }

    /// Takes a trade in.
    ///
    /// # Errors
    /// When a sum does not fit.
    pub fn add(&mut self, trade: &TradeFact) -> Result<(), MoneyError> {
        for (asset, change) in trade.effects()? {
            let entry = self.effects.entry(asset).or_default();
            *entry = checked_add(*entry, change)?;
        }
        self.count += 1;
        self.last_trade_id = self.last_trade_id.max(trade.trade_id);
        Ok(())
    }

    /// What an asset gained.
    pub fn of(&self, asset: &str) -> Decimal {
        self.effects.get(asset).copied().unwrap_or_default()
    }
}

/// The book's word on one symbol.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BookPosition {
    /// Net base; shorts negative.
    pub quantity: Decimal,
    pub fills: i64,
}

/// Both sides at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub baseline: BTreeMap<String, Decimal>,
    /// The exchange's balances, free and locked together.
    pub balances: BTreeMap<String, Decimal>,
    /// What of them is locked.
    pub locked: BTreeMap<String, Decimal>,
    /// Deposits and withdrawals that were heard since the baseline.
    pub transfers: Vec<TransferFact>,
    pub symbols: Vec<SymbolOutcome>,
    pub exchange_open: Vec<OpenOrderFact>,
    pub own_open: Vec<OpenOrderFact>,
    pub positions: BTreeMap<String, BookPosition>,
    pub dust: BTreeMap<String, DustRule>,
    /// The user stream was away at some time since both sides last agreed: a transfer may have passed unseen.
    pub stream_gap: bool,
    /// The account can be wiped: it is no live one.
    pub wipe_possible: bool,
    /// Orders of which the exchange told after somebody had said that they had ended otherwise.
    pub turned_up: Vec<OpenOrderFact>,
}

/// The outcome of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// What has to be explained or mended. At most [`DIFFERENCES_KEPT`].
    pub differences: Vec<Difference>,
    /// Differences beyond those that are kept.
    pub left_out: u64,
    /// What is worth knowing and needs nothing: transfers that are accounted for, dust.
    pub notes: Vec<Difference>,
    pub balances: Vec<BalanceLine>,
    pub positions: Vec<PositionLine>,
    pub wipe: Option<WipeSigns>,
}

impl Comparison {
    /// What makes two sightings the same.
    pub fn identities(&self) -> BTreeSet<String> {
        let mut all: BTreeSet<String> = self.differences.iter().map(Difference::identity).collect();
        if self.left_out > 0 {
            all.insert(format!("and {} more", self.left_out));
        }
        all
    }

    /// The differences that stand in the way of opening. An order in doubt does not: its exposure stays reserved. A trade
    /// that may be that order's does: it may be anybody's as well.
    pub fn blocking(&self) -> BTreeSet<String> {
        let in_doubt: BTreeSet<String> = self
            .differences
            .iter()
            .filter(|d| d.is_order_in_doubt())
            .map(Difference::identity)
            .collect();
        self.identities().difference(&in_doubt).cloned().collect()
    }

    fn push(&mut self, difference: Difference) {
        if self.differences.len() < DIFFERENCES_KEPT {
            self.differences.push(difference);
        } else {
            self.left_out += 1;
        }
    }
}

/// Compares both sides. Every balance, open order, trade and position is accounted for, or named as a difference.
///
/// # Errors
/// When a sum does not fit.
pub fn compare(s: &Snapshot) -> Result<Comparison, MoneyError> {
    let mut out = Comparison {
        wipe: wipe::signs(s),
        ..Comparison::default()
    };
    for symbol in &s.symbols {
        out.left_out += symbol.left_out;
        for difference in &symbol.differences {
            out.push(difference.clone());
        }
        // What a wipe took is named once, as the wipe.
        if out.wipe.is_none() {
            out.left_out += symbol.vanished_count - symbol.vanished.len() as u64;
            for gone in symbol.vanished_differences() {
                out.push(gone);
            }
        }
    }
    orders::compare_open_orders(s, &mut out);
    let unexplained = balances::compare_balances(s, &mut out)?;
    match out.wipe.clone() {
        Some(signs) => out.push(wipe::difference(&signs, &unexplained)),
        None => unexplained.into_iter().for_each(|found| out.push(found)),
    }
    balances::compare_locks(s, &mut out)?;
    positions::compare_positions(s, &mut out)?;
    Ok(out)
}

/// Which symbols an incremental pass asks the exchange about: those whose book has moved, and a few others in turn. All of
/// them when they are few. What happened in a symbol that is not asked about shows in the balances.
pub fn symbols_to_ask<'a>(
    symbols: &'a [String],
    agreed: &BTreeMap<String, Sums>,
    positions: &BTreeMap<String, BookPosition>,
    round: u64,
    few: usize,
) -> Vec<&'a str> {
    if symbols.len() <= few {
        return symbols.iter().map(String::as_str).collect();
    }
    let start = usize::try_from(round).unwrap_or(0).wrapping_mul(few) % symbols.len();
    let in_turn = |index: usize| (index + symbols.len() - start) % symbols.len() < few;
    let moved = |symbol: &str| {
        let known = agreed.get(symbol).map_or(0, |sums| sums.count);
        positions.get(symbol).map_or(0, |p| p.fills) != known
    };
    symbols
        .iter()
        .enumerate()
        .filter(|(index, symbol)| in_turn(*index) || moved(symbol))
        .map(|(_, symbol)| symbol.as_str())
        .collect()
}

#[cfg(test)]
mod tests;
