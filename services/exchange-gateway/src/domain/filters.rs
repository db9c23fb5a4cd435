use thunes_types::{Decimal, MoneyError, checked_mul_exact, floor_to_step};

/// The exchange's rules for one symbol, as far as they are applied before sending. A zero turns a rule off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SymbolRules {
    pub symbol: String,
    pub base_asset: String,
    pub quote_asset: String,
    pub trading: bool,
    pub price_min: Decimal,
    pub price_max: Decimal,
    pub price_tick: Decimal,
    pub quantity_min: Decimal,
    pub quantity_max: Decimal,
    pub quantity_step: Decimal,
    pub notional_min: Decimal,
    pub notional_min_applies_to_market: bool,
    pub quote_precision: u32,
}

/// A filter that an order fails, with its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterFailure {
    pub filter: &'static str,
    pub value: String,
    pub bound: String,
}

impl SymbolRules {
    /// The largest quantity that the lot rules allow and that is not above `quantity`.
    pub fn floor_quantity(&self, quantity: Decimal) -> Decimal {
        floor_to_step(quantity, self.quantity_step)
    }

    /// Checks an order's numbers. `price` is the limit price, or the last price for a market order.
    ///
    /// # Errors
    /// The first filter that fails.
    pub fn check(&self, quantity: Option<Decimal>, price: Option<Decimal>, market: bool) -> Result<(), FilterFailure> {
        if let Some(quantity) = quantity {
            self.check_lot(quantity)?;
        }
        if let (Some(price), false) = (price, market) {
            self.check_price(price)?;
        }
        if let (Some(quantity), Some(price)) = (quantity, price)
            && (!market || self.notional_min_applies_to_market)
        {
            let notional = checked_mul_exact(quantity, price).map_err(|e: MoneyError| FilterFailure {
                filter: "NOTIONAL",
                value: format!("{quantity} x {price}"),
                bound: e.to_string(),
            })?;
            self.check_notional(notional, market)?;
        }
        Ok(())
    }

    /// Checks what an order is worth, in quote.
    ///
    /// # Errors
    /// When it is below the minimum.
    pub fn check_notional(&self, notional: Decimal, market: bool) -> Result<(), FilterFailure> {
        let applies = !market || self.notional_min_applies_to_market;
        if applies && notional < self.notional_min {
            return Err(failure(
                "NOTIONAL",
                notional,
                format!(">= {} {}", self.notional_min, self.quote_asset),
            ));
        }
        Ok(())
    }

    fn check_lot(&self, quantity: Decimal) -> Result<(), FilterFailure> {
        if quantity < self.quantity_min {
            return Err(failure("LOT_SIZE", quantity, format!(">= {}", self.quantity_min)));
        }
        if !self.quantity_max.is_zero() && quantity > self.quantity_max {
            return Err(failure("LOT_SIZE", quantity, format!("<= {}", self.quantity_max)));
        }
        if self.floor_quantity(quantity) != quantity {
            return Err(failure(
                "LOT_SIZE",
                quantity,
                format!("a multiple of {}", self.quantity_step.normalize()),
            ));
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
        if floor_to_step(price, self.price_tick) != price {
            return Err(failure(
                "PRICE_FILTER",
                price,
                format!("a multiple of {}", self.price_tick.normalize()),
            ));
        }
        Ok(())
    }
}

fn failure(filter: &'static str, value: Decimal, bound: String) -> FilterFailure {
    FilterFailure {
        filter,
        value: value.to_string(),
        bound,
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
            trading: true,
            price_min: d("0.01"),
            price_max: d("1000000"),
            price_tick: d("0.01"),
            quantity_min: d("0.00001"),
            quantity_max: d("9000"),
            quantity_step: d("0.00001"),
            notional_min: d("5"),
            notional_min_applies_to_market: true,
            quote_precision: 8,
        }
    }

    #[test]
    fn each_filter_refuses_with_its_numbers() {
        let check = |q: &str, p: &str| rules().check(Some(d(q)), Some(d(p)), false);
        assert_eq!(check("0.001", "50000"), Ok(()));
        assert_eq!(check("0.000001", "50000").expect_err("too small").filter, "LOT_SIZE");
        assert_eq!(check("9001", "50000").expect_err("too large").bound, "<= 9000");
        assert_eq!(
            check("0.0010001", "50000").expect_err("not a step").bound,
            "a multiple of 0.00001"
        );
        assert_eq!(
            check("0.001", "50000.001").expect_err("not a tick").filter,
            "PRICE_FILTER"
        );
        assert_eq!(check("0.00001", "50000").expect_err("dust").bound, ">= 5 USDT");
    }
}
