use std::collections::BTreeMap;

use thunes_types::{Decimal, MoneyError, checked_add};

use super::{Asset, Fill, FillOrder, Holding, Movement};

/// A UTC day, counted from 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TradingDay(pub i64);

impl TradingDay {
    pub const LENGTH_MS: i64 = 24 * 60 * 60 * 1000;

    /// The day of a time in milliseconds since 1970-01-01 UTC.
    pub fn of(at_ms: i64) -> Self {
        Self(at_ms.div_euclid(Self::LENGTH_MS))
    }

    pub fn start_ms(self) -> i64 {
        self.0.saturating_mul(Self::LENGTH_MS)
    }
}

/// Sums of commissions by the asset that they were taken in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fees(pub BTreeMap<Asset, Decimal>);

impl Fees {
    /// Adds one commission.
    ///
    /// # Errors
    /// When the sum does not fit.
    pub fn add(&mut self, asset: &Asset, amount: Decimal) -> Result<(), MoneyError> {
        let sum = checked_add(self.0.get(asset).copied().unwrap_or_default(), amount)?;
        self.0.insert(asset.clone(), sum);
        Ok(())
    }

    /// Adds all of `other`.
    ///
    /// # Errors
    /// When a sum does not fit.
    pub fn add_all(&mut self, other: &Self) -> Result<(), MoneyError> {
        other.0.iter().try_for_each(|(asset, amount)| self.add(asset, *amount))
    }
}

/// What one UTC day brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DayTotals {
    pub realized: Decimal,
    pub fees: Fees,
}

/// The fold of all fills of one symbol, in the order of [`FillOrder`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymbolBook {
    pub base_asset: Asset,
    pub quote_asset: Asset,
    pub holding: Holding,
    pub realized: Decimal,
    pub fees: Fees,
    pub days: BTreeMap<TradingDay, DayTotals>,
    pub fill_count: i64,
    /// When the present position was opened; 0 when flat.
    pub opened_at_ms: i64,
    pub updated_at_ms: i64,
    /// The last fill that was folded in.
    pub last: FillOrder,
}

impl SymbolBook {
    /// The book that holds one fill.
    ///
    /// # Errors
    /// When a result does not fit.
    pub fn open(fill: &Fill) -> Result<Self, MoneyError> {
        let empty = Self {
            base_asset: fill.base_asset.clone(),
            quote_asset: fill.quote_asset.clone(),
            holding: Holding::FLAT,
            realized: Decimal::ZERO,
            fees: Fees::default(),
            days: BTreeMap::new(),
            fill_count: 0,
            opened_at_ms: 0,
            updated_at_ms: 0,
            last: FillOrder {
                executed_at_ms: i64::MIN,
                trade_id: i64::MIN,
            },
        };
        empty.with(fill)
    }

    /// The book that holds `fill` too, which must come after all that are in it.
    ///
    /// # Errors
    /// When a result does not fit.
    pub fn with(mut self, fill: &Fill) -> Result<Self, MoneyError> {
        assert!(fill.order() > self.last, "fills are folded in their order, each once");
        let (holding, realized) = self.holding.after(&Movement::of(fill)?)?;
        if holding.is_flat() {
            self.opened_at_ms = 0;
        } else if holding.side() != self.holding.side() {
            self.opened_at_ms = fill.executed_at_ms;
        }
        self.holding = holding;
        self.realized = checked_add(self.realized, realized)?;
        let day = self.days.entry(TradingDay::of(fill.executed_at_ms)).or_default();
        day.realized = checked_add(day.realized, realized)?;
        if let (Some(asset), false) = (&fill.commission_asset, fill.commission.is_zero()) {
            day.fees.add(asset, fill.commission)?;
            self.fees.add(asset, fill.commission)?;
        }
        self.fill_count += 1;
        self.updated_at_ms = fill.executed_at_ms;
        self.last = fill.order();
        Ok(self)
    }
}
