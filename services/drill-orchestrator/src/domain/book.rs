use std::collections::BTreeMap;

use rust_decimal::Decimal;
use thunes_types::{MoneyError, checked_add, checked_sub};

use super::LedgerFill;

/// Net base quantity per symbol, with its sign.
pub type Holding = BTreeMap<String, Decimal>;

/// A fill that cannot be folded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    #[error("trade {trade_id} of {symbol} has the side {side:?}")]
    Side {
        symbol: String,
        trade_id: i64,
        side: String,
    },
    #[error("trade {trade_id} of {symbol} stands in the exchange's ledger twice")]
    Twice { symbol: String, trade_id: i64 },
    #[error(transparent)]
    Money(#[from] MoneyError),
}

/// Where the book and the exchange disagree on one symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookDifference {
    pub symbol: String,
    pub book: Decimal,
    pub exchange: Decimal,
}

/// Folds the exchange's fills into net quantities. What counts is what was credited: fees taken in the base asset come
/// off. Fills up to a symbol's cursor belong to the baseline and are left out.
///
/// # Errors
/// When a fill makes no sense or a sum does not fit.
pub fn fold_fills<'a>(
    fills: impl IntoIterator<Item = &'a LedgerFill>,
    cursors: &BTreeMap<String, i64>,
) -> Result<Holding, FoldError> {
    let mut holding = Holding::new();
    let mut seen = std::collections::BTreeSet::new();
    for fill in fills {
        if cursors.get(&fill.symbol).is_some_and(|cursor| fill.trade_id <= *cursor) {
            continue;
        }
        if !seen.insert((fill.symbol.as_str(), fill.trade_id)) {
            return Err(FoldError::Twice {
                symbol: fill.symbol.clone(),
                trade_id: fill.trade_id,
            });
        }
        let net = holding.entry(fill.symbol.clone()).or_default();
        *net = match fill.side.as_str() {
            "BUY" => checked_add(*net, fill.quantity)?,
            "SELL" => checked_sub(*net, fill.quantity)?,
            _ => {
                let (symbol, side) = (fill.symbol.clone(), fill.side.clone());
                return Err(FoldError::Side {
                    symbol,
                    trade_id: fill.trade_id,
                    side,
                });
            }
        };
        if fill.commission_asset == fill.base_asset {
            *net = checked_sub(*net, fill.commission)?;
        }
    }
    Ok(holding)
}

impl BookDifference {
    /// Every symbol on which the two do not agree exactly; a symbol that one side does not have counts as zero.
    pub fn all(book: &Holding, exchange: &Holding) -> Vec<Self> {
        let symbols: std::collections::BTreeSet<&String> = book.keys().chain(exchange.keys()).collect();
        let of = |side: &Holding, symbol: &String| side.get(symbol).copied().unwrap_or_default();
        symbols
            .into_iter()
            .map(|symbol| Self {
                symbol: symbol.clone(),
                book: of(book, symbol),
                exchange: of(exchange, symbol),
            })
            .filter(|difference| difference.book != difference.exchange)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fill(trade_id: i64, side: &str, quantity: i64, commission: i64, asset: &str) -> LedgerFill {
        LedgerFill {
            symbol: "BTCUSDT".into(),
            trade_id,
            client_order_id: format!("c{trade_id}"),
            base_asset: "BTC".into(),
            side: side.into(),
            quantity: Decimal::new(quantity, 5),
            commission: Decimal::new(commission, 8),
            commission_asset: asset.into(),
            executed_at_ms: trade_id,
        }
    }

    #[test]
    fn p5_what_was_credited_counts_not_what_was_ordered() {
        let fills = [
            fill(1, "BUY", 100, 100, "BTC"),
            fill(2, "BUY", 100, 100, "USDT"),
            fill(3, "SELL", 50, 70, "USDT"),
        ];
        let holding = fold_fills(&fills, &BTreeMap::new()).expect("folds");
        assert_eq!(holding["BTCUSDT"], Decimal::new(149_900, 8));
    }

    #[test]
    fn p5_fills_of_the_baseline_and_twins_are_told_apart() {
        let fills = [fill(1, "BUY", 100, 0, "BTC"), fill(2, "BUY", 1, 0, "BTC")];
        let cursors = BTreeMap::from([("BTCUSDT".to_owned(), 1)]);
        assert_eq!(
            fold_fills(&fills, &cursors).expect("folds")["BTCUSDT"],
            Decimal::new(1, 5)
        );
        let twins = [fill(1, "BUY", 1, 0, "BTC"), fill(1, "BUY", 1, 0, "BTC")];
        assert!(matches!(
            fold_fills(&twins, &BTreeMap::new()),
            Err(FoldError::Twice { trade_id: 1, .. })
        ));
        assert!(fold_fills(&[fill(1, "HOLD", 1, 0, "BTC")], &BTreeMap::new()).is_err());
    }

    #[test]
    fn p9_a_symbol_that_only_one_side_has_is_a_difference() {
        let book = Holding::from([("BTCUSDT".to_owned(), Decimal::ONE)]);
        assert_eq!(BookDifference::all(&book, &book), []);
        assert_eq!(BookDifference::all(&book, &Holding::new()).len(), 1);
        assert_eq!(BookDifference::all(&Holding::new(), &book).len(), 1);
        let flat = Holding::from([("BTCUSDT".to_owned(), Decimal::ZERO)]);
        assert_eq!(BookDifference::all(&flat, &Holding::new()), []);
    }

    proptest! {
        #[test]
        fn p5_losing_any_one_fill_shows(quantities in proptest::collection::vec(1i64..1_000_000, 1..20), lost: prop::sample::Index) {
            let fills: Vec<_> = quantities.iter().zip(1..).map(|(q, id)| fill(id, "BUY", *q, 0, "BTC")).collect();
            let exchange = fold_fills(&fills, &BTreeMap::new()).expect("folds");
            let mut kept = fills.clone();
            kept.remove(lost.index(fills.len()));
            let book = fold_fills(&kept, &BTreeMap::new()).expect("folds");
            prop_assert_eq!(BookDifference::all(&book, &exchange).len(), 1);
        }
    }
}
