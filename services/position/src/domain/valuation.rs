use std::collections::BTreeMap;
use std::sync::Arc;

use thunes_types::{Decimal, MoneyError, Symbol, checked_add};

use super::{Asset, Book, Fees, SymbolBook, TradingDay};

/// The last price of a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastPrice {
    /// Quote per base.
    pub price: Decimal,
    pub at_ms: i64,
}

/// One symbol's fold, valued.
#[derive(Debug, Clone)]
pub struct PositionView {
    pub symbol: Symbol,
    pub book: Arc<SymbolBook>,
    pub average: Decimal,
    pub last: Option<LastPrice>,
    /// None where a position is open and no price is known.
    pub unrealized: Option<Decimal>,
    pub notional: Decimal,
}

impl PositionView {
    /// Values one symbol.
    ///
    /// # Errors
    /// When a result does not fit.
    pub fn of(symbol: &Symbol, book: &Arc<SymbolBook>, last: Option<LastPrice>) -> Result<Self, MoneyError> {
        let holding = &book.holding;
        let worth = last.map(|last| holding.worth(last.price)).transpose()?;
        let unrealized = match worth {
            Some(worth) => Some(holding.unrealized(worth)?),
            None => holding.is_flat().then_some(Decimal::ZERO),
        };
        Ok(Self {
            symbol: symbol.clone(),
            book: Arc::clone(book),
            average: holding.average()?,
            last,
            unrealized,
            notional: worth.unwrap_or(holding.cost),
        })
    }

    pub fn is_open(&self) -> bool {
        !self.book.holding.is_flat()
    }
}

/// Profit and loss of one UTC day, of the symbols that are quoted in one asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DailyPnl {
    pub day: TradingDay,
    pub realized: Decimal,
    pub unrealized: Decimal,
    pub total: Decimal,
    pub fees: Fees,
}

/// The whole book, valued at one moment.
#[derive(Debug, Clone)]
pub struct View {
    pub revision: i64,
    pub positions: Vec<PositionView>,
    pub today: DailyPnl,
}

impl View {
    /// Values the book. `pnl_asset` is what the daily P&L is stated in.
    ///
    /// # Errors
    /// When a result does not fit.
    pub fn of(
        book: &Book,
        prices: &BTreeMap<Symbol, LastPrice>,
        today: TradingDay,
        pnl_asset: &Asset,
    ) -> Result<Self, MoneyError> {
        let value = |(symbol, folded)| PositionView::of(symbol, folded, prices.get(symbol).copied());
        let positions = book.symbols.iter().map(value).collect::<Result<Vec<_>, _>>()?;
        let mut daily = DailyPnl::realized_of(book, today, pnl_asset)?;
        for position in positions
            .iter()
            .filter(|position| position.book.quote_asset == *pnl_asset)
        {
            daily.unrealized = checked_add(daily.unrealized, position.unrealized.unwrap_or_default())?;
        }
        daily.total = checked_add(daily.realized, daily.unrealized)?;
        Ok(Self {
            revision: book.revision,
            positions,
            today: daily,
        })
    }
}

impl DailyPnl {
    /// What a day realised; its unrealised part is zero.
    ///
    /// # Errors
    /// When a sum does not fit.
    pub fn realized_of(book: &Book, day: TradingDay, pnl_asset: &Asset) -> Result<Self, MoneyError> {
        let (mut realized, mut fees) = (Decimal::ZERO, Fees::default());
        for folded in book.symbols.values() {
            let Some(totals) = folded.days.get(&day) else { continue };
            fees.add_all(&totals.fees)?;
            // Amounts in different assets have no sum.
            if folded.quote_asset == *pnl_asset {
                realized = checked_add(realized, totals.realized)?;
            }
        }
        Ok(Self {
            day,
            realized,
            unrealized: Decimal::ZERO,
            total: realized,
            fees,
        })
    }
}
