use std::collections::{BTreeMap, BTreeSet};

use thunes_types::{Decimal, MoneyError, checked_sub, floor_to_step, mul_div_half_even};

use super::difference::{Class, Difference, Repair};
use super::{BookPosition, Comparison, Snapshot, SymbolOutcome};

/// Places to which a value in quote is rounded before it is held against a minimum.
const VALUE_SCALE: u32 = 8;

/// What of a symbol can be sold at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DustRule {
    pub quantity_min: Decimal,
    pub quantity_step: Decimal,
    pub notional_min: Decimal,
    pub last_price: Option<Decimal>,
}

/// One position compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionLine {
    pub symbol: String,
    pub book: Decimal,
    pub exchange: Decimal,
    pub difference: Decimal,
}

pub(super) fn compare_positions(s: &Snapshot, out: &mut Comparison) -> Result<(), MoneyError> {
    let read: BTreeMap<&str, &SymbolOutcome> = s.symbols.iter().map(|o| (o.symbol.as_str(), o)).collect();
    let symbols: BTreeSet<&str> = s
        .positions
        .keys()
        .map(String::as_str)
        .chain(read.keys().copied())
        .collect();
    let nothing = BookPosition::default();
    for symbol in symbols {
        let book = s.positions.get(symbol).unwrap_or(&nothing);
        let outcome = read.get(symbol);
        let exchange = outcome.map_or(Decimal::ZERO, |o| o.exchange.of(&o.base_asset));
        let traded = outcome.is_some_and(|o| o.exchange.count > 0 || book.fills > 0);
        if traded || s.positions.contains_key(symbol) {
            out.positions.push(PositionLine {
                symbol: symbol.to_owned(),
                book: book.quantity,
                exchange,
                difference: checked_sub(exchange, book.quantity)?,
            });
        }
        if let Some(difference) = mismatch(symbol, book, outcome.copied(), exchange)? {
            out.push(difference);
        }
        if let Some(note) = s
            .dust
            .get(symbol)
            .map(|rule| dust(symbol, book.quantity, rule))
            .transpose()?
        {
            out.notes.extend(note);
        }
    }
    Ok(())
}

/// The book's position against the fold of its own fills; where those were not read, against the exchange's trades.
fn mismatch(
    symbol: &str,
    book: &BookPosition,
    outcome: Option<&SymbolOutcome>,
    exchange: Decimal,
) -> Result<Option<Difference>, MoneyError> {
    let read = outcome.and_then(|o| o.book.as_ref());
    let (folded, fills) = match (outcome, read) {
        (Some(o), Some(sums)) => (sums.of(&o.base_asset), sums.count),
        (Some(o), None) => (exchange, o.exchange.count),
        (None, _) => (Decimal::ZERO, 0),
    };
    if book.quantity == folded && book.fills == fills {
        return Ok(None);
    }
    let mut difference = Difference::new(Class::PositionMismatch, symbol)
        .why("the book's position is not the fold of the book's own fills")
        .mended_by(
            Repair::RestorePosition,
            "stop position and restore it: its database is damaged",
        );
    difference.symbol = symbol.to_owned();
    difference.local = serde_json::json!({
        "position": book.quantity.to_string(), "fills": book.fills, "fold_of_its_fills": folded.to_string(), "fills_folded": fills,
    });
    difference.exchange = serde_json::json!({ "net_of_trades": exchange.to_string() });
    difference.difference = Some(checked_sub(folded, book.quantity)?);
    Ok(Some(difference))
}

/// A remainder that the exchange's rules do not let anybody sell.
fn dust(symbol: &str, quantity: Decimal, rule: &DustRule) -> Result<Option<Difference>, MoneyError> {
    if quantity <= Decimal::ZERO {
        return Ok(None);
    }
    let sellable = floor_to_step(quantity, rule.quantity_step)?;
    let value = rule
        .last_price
        .map(|price| mul_div_half_even(sellable, price, Decimal::ONE, VALUE_SCALE))
        .transpose()?;
    let too_little = sellable.is_zero() || sellable < rule.quantity_min;
    let worth_too_little = value.is_some_and(|value| value < rule.notional_min);
    if !(too_little || worth_too_little) {
        return Ok(None);
    }
    let mut note = Difference::new(Class::Dust, symbol)
        .why("what is left is below what the exchange lets anybody sell")
        .mended_by(Repair::Nothing, "nothing: buy more, or convert it at the exchange");
    note.symbol = symbol.to_owned();
    note.local = serde_json::json!({ "position": quantity.to_string(), "worth": value.map(|v| v.to_string()) });
    note.exchange = serde_json::json!({
        "quantity_min": rule.quantity_min.to_string(),
        "quantity_step": rule.quantity_step.to_string(),
        "notional_min": rule.notional_min.to_string(),
    });
    note.difference = Some(quantity);
    Ok(Some(note))
}
