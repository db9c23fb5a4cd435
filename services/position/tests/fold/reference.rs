//! Average cost in exact fractions, written for itself: it shares no code and no number type with the service.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use num_bigint::BigInt;

/// A fraction in lowest terms, its denominator positive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fraction {
    top: BigInt,
    bottom: BigInt,
}

impl Fraction {
    pub fn new(top: BigInt, bottom: BigInt) -> Self {
        let zero = BigInt::from(0);
        assert!(bottom != zero);
        let (mut a, mut b) = (
            BigInt::from(top.magnitude().clone()),
            BigInt::from(bottom.magnitude().clone()),
        );
        while b != zero {
            (a, b) = (b.clone(), a % b);
        }
        let divisor = if bottom < zero { -a } else { a };
        Self {
            top: top / &divisor,
            bottom: bottom / divisor,
        }
    }

    /// So many times 10^-8.
    pub fn units(units: i128) -> Self {
        Self::new(BigInt::from(units), BigInt::from(100_000_000))
    }

    pub fn plus(&self, other: &Self) -> Self {
        Self::new(
            &self.top * &other.bottom + &other.top * &self.bottom,
            &self.bottom * &other.bottom,
        )
    }

    pub fn minus(&self, other: &Self) -> Self {
        Self::new(
            &self.top * &other.bottom - &other.top * &self.bottom,
            &self.bottom * &other.bottom,
        )
    }

    fn share(&self, part: i128, of: i128) -> Self {
        Self::new(&self.top * part, &self.bottom * of)
    }

    pub fn abs(&self) -> Self {
        Self {
            top: BigInt::from(self.top.magnitude().clone()),
            bottom: self.bottom.clone(),
        }
    }
}

impl PartialOrd for Fraction {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some((&self.top * &other.bottom).cmp(&(&other.top * &self.bottom)))
    }
}

/// A fill as the reference needs it; amounts in units of 10^-8.
#[derive(Debug)]
pub struct Told {
    pub buy: bool,
    pub quantity: i128,
    pub value: i128,
    pub fee: i128,
    pub fee_asset: &'static str,
    pub day: i64,
}

/// The truth about a position.
#[derive(Debug)]
pub struct Reference {
    /// Units, signed.
    pub quantity: i128,
    pub cost: Fraction,
    pub realized_by_day: BTreeMap<i64, Fraction>,
    /// Units, by asset.
    pub fees: BTreeMap<&'static str, i128>,
    /// Units: what came in less what went out.
    pub cash: i128,
}

impl Default for Reference {
    fn default() -> Self {
        Self {
            quantity: 0,
            cost: Fraction::units(0),
            realized_by_day: BTreeMap::new(),
            fees: BTreeMap::new(),
            cash: 0,
        }
    }
}

impl Reference {
    pub fn realized(&self) -> Fraction {
        self.realized_by_day
            .values()
            .fold(Fraction::units(0), |sum, day| sum.plus(day))
    }

    pub fn apply(&mut self, told: &Told) {
        let base_fee = if told.fee_asset == "BTC" { told.fee } else { 0 };
        let quote_fee = if told.fee_asset == "USDT" { told.fee } else { 0 };
        let (moved, cash) = if told.buy {
            (told.quantity - base_fee, -(told.value + quote_fee))
        } else {
            (-(told.quantity + base_fee), told.value - quote_fee)
        };
        self.cash += cash;
        *self.fees.entry(told.fee_asset).or_default() += told.fee;
        let value = Fraction::units(cash.abs());
        let value = if told.buy == (cash <= 0) {
            value
        } else {
            Fraction::units(0).minus(&value)
        };
        let mut gained = Fraction::units(0);
        // The part of the fill that goes against the position, then the part that opens or grows one.
        let closes = if moved.signum() * self.quantity.signum() < 0 {
            moved.abs().min(self.quantity.abs())
        } else {
            0
        };
        if closes > 0 {
            let released = self.cost.share(closes, self.quantity.abs());
            let for_it = value.share(closes, moved.abs());
            gained = if self.quantity > 0 {
                for_it.minus(&released)
            } else {
                released.minus(&for_it)
            };
            self.cost = self.cost.minus(&released);
        }
        let opens = moved.abs() - closes;
        if opens > 0 {
            self.cost = self.cost.plus(&value.share(opens, moved.abs()));
        }
        if moved == 0 {
            gained = Fraction::units(0).minus(&value);
        }
        self.quantity += moved;
        let day = self
            .realized_by_day
            .entry(told.day)
            .or_insert_with(|| Fraction::units(0));
        *day = day.plus(&gained);
    }
}
