use std::collections::BTreeMap;

use thunes_types::{Decimal, MoneyError, checked_add, mul_div_half_even};

use super::{Class, Comparison};

const VALUE_SCALE: u32 = 8;

/// What the balances that nothing explains are worth.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unexplained {
    /// At last prices, rounded half to even at 8 places; both directions count positive.
    pub value_quote: Decimal,
    /// Assets that have no price: they count as above any tolerance.
    pub unpriced: Vec<String>,
}

impl Unexplained {
    pub fn is_above(&self, tolerance_quote: Decimal) -> bool {
        !self.unpriced.is_empty() || self.value_quote > tolerance_quote
    }
}

/// Values what nothing explains.
///
/// # Errors
/// When a sum does not fit.
pub fn unexplained_value(
    comparison: &Comparison,
    prices: &BTreeMap<String, Decimal>,
) -> Result<Unexplained, MoneyError> {
    let mut worth = Unexplained::default();
    for found in comparison
        .differences
        .iter()
        .filter(|d| d.class == Class::UnexplainedBalance)
    {
        let amount = found.difference.unwrap_or_default().abs();
        match prices.get(&found.asset) {
            Some(price) => {
                let value = mul_div_half_even(amount, *price, Decimal::ONE, VALUE_SCALE)?;
                worth.value_quote = checked_add(worth.value_quote, value)?;
            }
            None => worth.unpriced.push(found.asset.clone()),
        }
    }
    Ok(worth)
}
