use std::cmp::Ordering;

use thunes_types::{Decimal, MoneyError, checked_add, checked_sub, mul_div_half_even};

use super::{Fill, Side};

/// Places to which a share of a cost, an average or a valuation is rounded, half to even.
pub const MONEY_PLACES: u32 = 12;

/// How much of an asset is held, and what it cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// Base. Positive: long. Negative: short against the baseline.
    pub quantity: Decimal,
    /// Quote. Of a long position what was paid for it, of a short one what was got for it. Exactly zero when flat.
    pub cost: Decimal,
}

/// What one fill did to the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Movement {
    pub side: Side,
    /// Base, signed: credited (positive) or debited (negative), a fee in the base asset included.
    pub quantity: Decimal,
    /// Quote: what a BUY cost or a SELL brought, a fee in the quote asset included.
    pub value: Decimal,
}

impl Movement {
    /// The effect of `fill`. A fee in a third asset has none.
    ///
    /// # Errors
    /// When an exact sum does not fit.
    pub fn of(fill: &Fill) -> Result<Self, MoneyError> {
        let (base_fee, quote_fee) = (
            fill.commission_in(&fill.base_asset),
            fill.commission_in(&fill.quote_asset),
        );
        let (quantity, value) = match fill.side {
            Side::Buy => (
                checked_sub(fill.quantity, base_fee)?,
                checked_add(fill.quote_quantity, quote_fee)?,
            ),
            Side::Sell => (
                -checked_add(fill.quantity, base_fee)?,
                checked_sub(fill.quote_quantity, quote_fee)?,
            ),
        };
        Ok(Self {
            side: fill.side,
            quantity,
            value,
        })
    }
}

impl Holding {
    pub const FLAT: Self = Self {
        quantity: Decimal::ZERO,
        cost: Decimal::ZERO,
    };

    pub fn is_flat(&self) -> bool {
        self.quantity.is_zero()
    }

    /// Long: BUY; short: SELL; None when flat.
    pub fn side(&self) -> Option<Side> {
        match self.quantity.cmp(&Decimal::ZERO) {
            Ordering::Greater => Some(Side::Buy),
            Ordering::Less => Some(Side::Sell),
            Ordering::Equal => None,
        }
    }

    /// The holding after `moved`, and the profit that it realised.
    ///
    /// Two amounts are rounded, each half to even at [`MONEY_PLACES`]: the share of the cost that a partial close
    /// releases, and the share of a fill's value that closes when the fill crosses zero. In both cases the other share
    /// is the exact remainder, so that rounding only moves an amount between now and later, and none is made or lost.
    ///
    /// # Errors
    /// When a result does not fit.
    pub fn after(self, moved: &Movement) -> Result<(Self, Decimal), MoneyError> {
        let held_side = match self.side() {
            // Nothing was credited, the whole quantity having gone as a fee: what it cost is a loss at once.
            _ if moved.quantity.is_zero() => return Ok((self, checked_sub(Decimal::ZERO, moved.value)?)),
            Some(side) if side != moved.side => side,
            Some(_) | None => return Ok((self.grown(moved)?, Decimal::ZERO)),
        };
        let (held, moving) = (self.quantity.abs(), moved.quantity.abs());
        match moving.cmp(&held) {
            Ordering::Less => {
                let released = mul_div_half_even(self.cost, moving, held, MONEY_PLACES)?;
                let quantity = checked_add(self.quantity, moved.quantity)?;
                let rest = Self {
                    quantity,
                    cost: checked_sub(self.cost, released)?,
                };
                Ok((rest, profit(held_side, released, moved.value)?))
            }
            Ordering::Equal => Ok((Self::FLAT, profit(held_side, self.cost, moved.value)?)),
            Ordering::Greater => {
                let closing = mul_div_half_even(moved.value, held, moving, MONEY_PLACES)?;
                let quantity = checked_add(self.quantity, moved.quantity)?;
                let opened = Self {
                    quantity,
                    cost: checked_sub(moved.value, closing)?,
                };
                Ok((opened, profit(held_side, self.cost, closing)?))
            }
        }
    }

    fn grown(self, moved: &Movement) -> Result<Self, MoneyError> {
        let quantity = checked_add(self.quantity, moved.quantity)?;
        Ok(Self {
            quantity,
            cost: checked_add(self.cost, moved.value)?,
        })
    }

    /// Quote per base, rounded half to even at [`MONEY_PLACES`]; zero when flat.
    ///
    /// # Errors
    /// When the result does not fit.
    pub fn average(&self) -> Result<Decimal, MoneyError> {
        if self.is_flat() {
            return Ok(Decimal::ZERO);
        }
        mul_div_half_even(self.cost, Decimal::ONE, self.quantity.abs(), MONEY_PLACES)
    }

    /// What the held quantity is worth at `price`, in quote, rounded half to even at [`MONEY_PLACES`].
    ///
    /// # Errors
    /// When the result does not fit.
    pub fn worth(&self, price: Decimal) -> Result<Decimal, MoneyError> {
        mul_div_half_even(self.quantity.abs(), price, Decimal::ONE, MONEY_PLACES)
    }

    /// The profit that closing at `worth` would realise.
    ///
    /// # Errors
    /// When the result does not fit.
    pub fn unrealized(&self, worth: Decimal) -> Result<Decimal, MoneyError> {
        match self.side() {
            Some(side) => profit(side, self.cost, worth),
            None => Ok(Decimal::ZERO),
        }
    }
}

/// A long position gains what it closes for beyond its cost, a short one what it was opened for beyond that.
fn profit(held: Side, cost: Decimal, value: Decimal) -> Result<Decimal, MoneyError> {
    match held {
        Side::Buy => checked_sub(value, cost),
        Side::Sell => checked_sub(cost, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Decimal {
        Decimal::from_str_exact(text).expect("a decimal")
    }

    fn buy(quantity: &str, value: &str) -> Movement {
        Movement {
            side: Side::Buy,
            quantity: d(quantity),
            value: d(value),
        }
    }

    fn sell(quantity: &str, value: &str) -> Movement {
        Movement {
            side: Side::Sell,
            quantity: -d(quantity),
            value: d(value),
        }
    }

    fn run(moves: &[Movement]) -> (Holding, Decimal) {
        moves
            .iter()
            .fold((Holding::FLAT, Decimal::ZERO), |(held, total), moved| {
                let (held, realized) = held.after(moved).expect("fits");
                (held, total + realized)
            })
    }

    #[test]
    fn p8_a_partial_close_releases_its_share_of_the_cost() {
        let (held, realized) = run(&[buy("3", "100"), sell("1", "40")]);
        assert_eq!(
            held,
            Holding {
                quantity: d("2"),
                cost: d("66.666666666667")
            }
        );
        assert_eq!(realized, d("6.666666666667"));
    }

    #[test]
    fn p8_a_flat_position_costs_exactly_nothing_after_rounded_closes() {
        let (held, realized) = run(&[buy("3", "100"), sell("1", "40"), sell("1", "40"), sell("1", "40")]);
        assert_eq!(held, Holding::FLAT);
        assert_eq!(
            realized,
            d("20"),
            "what rounding moved comes back when the position closes"
        );
    }

    #[test]
    fn p8_crossing_zero_splits_the_fill() {
        let (held, realized) = run(&[buy("1", "100"), sell("3", "330")]);
        assert_eq!(
            held,
            Holding {
                quantity: d("-2"),
                cost: d("220")
            }
        );
        assert_eq!(realized, d("10"));
        let (held, realized) = run(&[sell("1", "100"), buy("3", "270")]);
        assert_eq!(
            held,
            Holding {
                quantity: d("2"),
                cost: d("180")
            }
        );
        assert_eq!(realized, d("10"));
    }

    #[test]
    fn p8_a_buy_whose_quantity_went_as_a_fee_is_a_loss_of_its_value() {
        let (held, realized) = run(&[sell("1", "100"), buy("0", "5")]);
        assert_eq!((held.quantity, held.cost, realized), (d("-1"), d("100"), d("-5")));
    }

    #[test]
    fn p8_what_does_not_fit_is_an_error() {
        let most = "9999999999999999999999999999";
        let (held, _) = Holding::FLAT.after(&buy(most, "1")).expect("fits");
        assert!(held.after(&buy("0.1", "1")).is_err());
        assert!(
            Holding::FLAT
                .after(&buy("1", most))
                .expect("fits")
                .0
                .after(&buy("1", "0.1"))
                .is_err()
        );
    }
}
