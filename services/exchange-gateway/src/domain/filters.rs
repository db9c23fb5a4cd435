use thunes_types::{Decimal, MoneyError, checked_add, checked_mul_exact, floor_to_step};

use super::order::Side;

/// Bounds and step of a quantity. A zero turns its rule off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lot {
    pub min: Decimal,
    pub max: Decimal,
    pub step: Decimal,
}

/// How far a limit price may be from the last or the average price, as multiples of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PercentBand {
    pub filter: &'static str,
    pub up: Decimal,
    pub down: Decimal,
    pub by_average: bool,
}

/// The exchange's rules for one symbol, as far as they are applied before sending. A zero turns a rule off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SymbolRules {
    pub symbol: String,
    pub base_asset: String,
    pub quote_asset: String,
    /// The exchange's word: TRADING, HALT, BREAK, CANCEL_ONLY, …
    pub status: &'static str,
    pub trading: bool,
    pub price_min: Decimal,
    pub price_max: Decimal,
    pub price_tick: Decimal,
    pub lot: Lot,
    pub market_lot: Lot,
    pub notional_min: Decimal,
    pub notional_min_applies_to_market: bool,
    pub notional_max: Decimal,
    pub notional_max_applies_to_market: bool,
    /// Market orders are measured by the average price, not by the last one.
    pub notional_by_average: bool,
    pub buy_band: Option<PercentBand>,
    pub sell_band: Option<PercentBand>,
    /// Base: held and in open BUY orders together.
    pub position_max: Option<Decimal>,
    pub open_orders_max: Option<u32>,
    pub quote_precision: u32,
}

/// What the filters measure by, as it is now. What is not known is left to the exchange.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Surroundings {
    pub last_price: Option<Decimal>,
    pub average_price: Option<Decimal>,
    /// Orders of ours on the symbol that have not ended.
    pub open_orders: Option<usize>,
    /// Base: held and in open BUY orders together.
    pub position: Option<Decimal>,
}

impl Surroundings {
    fn reference(&self, by_average: bool) -> Option<Decimal> {
        if by_average {
            self.average_price
        } else {
            self.last_price
        }
    }
}

/// An order's numbers, as the filters see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    pub side: Side,
    pub quantity: Option<Decimal>,
    /// None for a market order.
    pub limit_price: Option<Decimal>,
    /// Quote that a market order spends.
    pub quote_amount: Option<Decimal>,
}

/// A filter that an order fails, with its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterFailure {
    pub filter: &'static str,
    pub value: String,
    pub bound: String,
}

impl SymbolRules {
    /// The largest quantity that the lot rules allow and that is not above `quantity`. `market` counts both rules.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn floor_quantity(&self, quantity: Decimal, market: bool) -> Result<Decimal, MoneyError> {
        let floored = floor_to_step(quantity, self.lot.step)?;
        if market {
            floor_to_step(floored, self.market_lot.step)
        } else {
            Ok(floored)
        }
    }

    /// Whether any rule measures by the average price.
    pub fn uses_average(&self) -> bool {
        let bands = [self.buy_band, self.sell_band];
        self.notional_by_average || bands.iter().flatten().any(|band| band.by_average)
    }

    /// Checks an order's numbers.
    ///
    /// # Errors
    /// The first filter that fails.
    pub fn check(&self, order: &Measured, now: &Surroundings) -> Result<(), FilterFailure> {
        let market = order.limit_price.is_none();
        if let Some(price) = order.limit_price {
            self.check_price(price)?;
            self.check_band(order.side, price, now)?;
        }
        if let Some(quantity) = order.quantity {
            check_lot("LOT_SIZE", self.lot, quantity)?;
            if market {
                check_lot("MARKET_LOT_SIZE", self.market_lot, quantity)?;
            }
            if let Some(price) = order.limit_price.or_else(|| now.reference(self.notional_by_average)) {
                let notional = checked_mul_exact(quantity, price)
                    .map_err(|e| overflow("NOTIONAL", format!("{quantity} x {price}"), &e))?;
                self.check_notional(notional, market)?;
            }
        }
        if let Some(quote) = order.quote_amount {
            self.check_notional(quote, market)?;
        }
        self.check_account(order, now)
    }

    fn check_notional(&self, notional: Decimal, market: bool) -> Result<(), FilterFailure> {
        if (!market || self.notional_min_applies_to_market) && notional < self.notional_min {
            let bound = format!(">= {} {}", self.notional_min.normalize(), self.quote_asset);
            return Err(failure("NOTIONAL", notional, bound));
        }
        let max_applies = !self.notional_max.is_zero() && (!market || self.notional_max_applies_to_market);
        if max_applies && notional > self.notional_max {
            let bound = format!("<= {} {}", self.notional_max.normalize(), self.quote_asset);
            return Err(failure("NOTIONAL", notional, bound));
        }
        Ok(())
    }

    fn check_price(&self, price: Decimal) -> Result<(), FilterFailure> {
        if price < self.price_min {
            return Err(failure("PRICE_FILTER", price, format!(">= {}", self.price_min)));
        }
        if !self.price_max.is_zero() && price > self.price_max {
            return Err(failure("PRICE_FILTER", price, format!("<= {}", self.price_max)));
        }
        if floor_to_step(price, self.price_tick) != Ok(price) {
            let bound = format!("a multiple of {}", self.price_tick.normalize());
            return Err(failure("PRICE_FILTER", price, bound));
        }
        Ok(())
    }

    fn check_band(&self, side: Side, price: Decimal, now: &Surroundings) -> Result<(), FilterFailure> {
        let band = match side {
            Side::Buy => self.buy_band,
            Side::Sell => self.sell_band,
        };
        let Some(band) = band else { return Ok(()) };
        let Some(reference) = now.reference(band.by_average) else {
            return Ok(());
        };
        let bound = |multiplier| {
            checked_mul_exact(reference, multiplier)
                .map_err(|e| overflow(band.filter, format!("{reference} x {multiplier}"), &e))
        };
        let (low, high) = (bound(band.down)?, bound(band.up)?);
        if price < low || price > high {
            return Err(failure(band.filter, price, format!("{low} to {high}")));
        }
        Ok(())
    }

    /// The exchange holds these against what opens: a closing order must not be trapped by what we know being old.
    fn check_account(&self, order: &Measured, now: &Surroundings) -> Result<(), FilterFailure> {
        if order.side == Side::Sell {
            return Ok(());
        }
        if let (Some(most), Some(open)) = (self.open_orders_max, now.open_orders)
            && open >= usize::try_from(most).unwrap_or(usize::MAX)
        {
            return Err(FilterFailure {
                filter: "MAX_NUM_ORDERS",
                value: format!("{open} open orders and this one"),
                bound: format!("<= {most}"),
            });
        }
        if let (Some(most), Some(position)) = (self.position_max, now.position) {
            let adds = order.quantity.unwrap_or_default();
            let after = checked_add(position, adds)
                .map_err(|e| overflow("MAX_POSITION", format!("{position} + {adds}"), &e))?;
            if after > most {
                let bound = format!("<= {} {}", most.normalize(), self.base_asset);
                return Err(failure("MAX_POSITION", after, bound));
            }
        }
        Ok(())
    }
}

fn check_lot(filter: &'static str, lot: Lot, quantity: Decimal) -> Result<(), FilterFailure> {
    if quantity < lot.min {
        return Err(failure(filter, quantity, format!(">= {}", lot.min)));
    }
    if !lot.max.is_zero() && quantity > lot.max {
        return Err(failure(filter, quantity, format!("<= {}", lot.max)));
    }
    if floor_to_step(quantity, lot.step) != Ok(quantity) {
        return Err(failure(
            filter,
            quantity,
            format!("a multiple of {}", lot.step.normalize()),
        ));
    }
    Ok(())
}

fn failure(filter: &'static str, value: Decimal, bound: String) -> FilterFailure {
    FilterFailure {
        filter,
        value: value.to_string(),
        bound,
    }
}

fn overflow(filter: &'static str, value: String, error: &MoneyError) -> FilterFailure {
    FilterFailure {
        filter,
        value,
        bound: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Decimal {
        Decimal::from_str_exact(text).expect("a decimal")
    }

    fn rules() -> SymbolRules {
        SymbolRules {
            symbol: "BTCUSDT".into(),
            base_asset: "BTC".into(),
            quote_asset: "USDT".into(),
            status: "TRADING",
            trading: true,
            price_min: d("0.01"),
            price_max: d("1000000"),
            price_tick: d("0.01"),
            lot: Lot {
                min: d("0.00001"),
                max: d("9000"),
                step: d("0.00001"),
            },
            market_lot: Lot {
                min: d("0"),
                max: d("100"),
                step: d("0"),
            },
            notional_min: d("5"),
            notional_min_applies_to_market: true,
            notional_max: d("9000000"),
            quote_precision: 8,
            buy_band: Some(PercentBand {
                filter: "PERCENT_PRICE_BY_SIDE",
                up: d("1.2"),
                down: d("0.2"),
                by_average: true,
            }),
            position_max: Some(d("10")),
            open_orders_max: Some(2),
            ..SymbolRules::default()
        }
    }

    fn now() -> Surroundings {
        Surroundings {
            last_price: Some(d("50000")),
            average_price: Some(d("40000")),
            open_orders: Some(0),
            position: Some(d("1")),
        }
    }

    fn limit(side: Side, quantity: &str, price: &str) -> Measured {
        Measured {
            side,
            quantity: Some(d(quantity)),
            limit_price: Some(d(price)),
            quote_amount: None,
        }
    }

    fn fails(order: Measured, now: Surroundings) -> String {
        let failed = rules().check(&order, &now).expect_err("a filter fails");
        format!("{} {} {}", failed.filter, failed.value, failed.bound)
    }

    #[test]
    fn each_filter_refuses_with_its_numbers_and_lets_its_bound_pass() {
        let buy = |q: &str, p: &str| limit(Side::Buy, q, p);
        let market = |side, q: &str| Measured {
            limit_price: None,
            ..limit(side, q, "1")
        };
        assert_eq!(
            rules().check(&buy("0.001", "48000"), &now()),
            Ok(()),
            "the band's bound"
        );
        assert_eq!(
            fails(buy("0.001", "48000.01"), now()),
            "PERCENT_PRICE_BY_SIDE 48000.01 8000.0 to 48000.0"
        );
        assert_eq!(
            rules().check(&limit(Side::Sell, "0.001", "48000.01"), &now()),
            Ok(()),
            "no band for sales here"
        );
        let unknown = Surroundings {
            average_price: None,
            ..now()
        };
        assert_eq!(
            rules().check(&buy("0.001", "48000.01"), &unknown),
            Ok(()),
            "left to the exchange"
        );
        assert_eq!(fails(buy("0.000001", "40000"), now()), "LOT_SIZE 0.000001 >= 0.00001");
        assert_eq!(
            fails(limit(Side::Sell, "9000.1", "1"), now()),
            "LOT_SIZE 9000.1 <= 9000"
        );
        assert_eq!(
            fails(buy("0.0010001", "40000"), now()),
            "LOT_SIZE 0.0010001 a multiple of 0.00001"
        );
        assert_eq!(rules().check(&market(Side::Sell, "100"), &now()), Ok(()));
        assert_eq!(
            fails(market(Side::Sell, "100.1"), now()),
            "MARKET_LOT_SIZE 100.1 <= 100"
        );
        assert_eq!(
            fails(buy("0.001", "40000.001"), now()),
            "PRICE_FILTER 40000.001 a multiple of 0.01"
        );
        assert_eq!(
            fails(buy("0.001", "1000000.01"), now()),
            "PRICE_FILTER 1000000.01 <= 1000000"
        );
        assert_eq!(fails(buy("0.00001", "40000"), now()), "NOTIONAL 0.40000 >= 5 USDT");
        assert_eq!(
            rules()
                .check(&buy("0.000125", "40000"), &now())
                .expect_err("no step")
                .filter,
            "LOT_SIZE"
        );
        assert_eq!(
            fails(limit(Side::Sell, "1000", "9001"), now()),
            "NOTIONAL 9001000 <= 9000000 USDT"
        );
        assert_eq!(
            rules().check(&buy("9", "40000"), &now()),
            Ok(()),
            "the most that may be held"
        );
        assert_eq!(fails(buy("9.00001", "40000"), now()), "MAX_POSITION 10.00001 <= 10 BTC");
        let full = Surroundings {
            open_orders: Some(2),
            ..now()
        };
        assert_eq!(
            fails(buy("0.001", "40000"), full),
            "MAX_NUM_ORDERS 2 open orders and this one <= 2"
        );
        assert_eq!(
            rules().check(&limit(Side::Sell, "0.001", "40000"), &full),
            Ok(()),
            "P2: closing passes"
        );
    }

    #[test]
    fn a_zero_turns_a_rule_off() {
        let none = SymbolRules::default();
        for (quantity, price) in [("0.000000001", "0.000000001"), ("1000000000000000", "1000000")] {
            assert_eq!(none.check(&limit(Side::Buy, quantity, price), &now()), Ok(()));
        }
    }

    #[test]
    fn p8_a_worth_that_does_not_fit_is_refused() {
        let order = limit(Side::Buy, "1000000000000000.00000001", "100000.00000001");
        assert_eq!(
            SymbolRules::default()
                .check(&order, &now())
                .expect_err("too many digits")
                .filter,
            "NOTIONAL"
        );
    }
}
