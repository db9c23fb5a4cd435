use std::collections::BTreeMap;

use thunes_types::{Decimal, MoneyError, checked_add, checked_sub};

use super::order::Side;

/// The numbers of a fill that move money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FillEffect<'a> {
    pub base_asset: &'a str,
    pub quote_asset: &'a str,
    pub side: Side,
    pub quantity: Decimal,
    pub quote_quantity: Decimal,
    pub commission: Decimal,
    pub commission_asset: &'a str,
}

/// What each asset gains (or loses) by a fill.
///
/// # Errors
/// When a sum does not fit.
pub fn effects(fill: &FillEffect<'_>) -> Result<BTreeMap<String, Decimal>, MoneyError> {
    let (base, quote) = match fill.side {
        Side::Buy => (fill.quantity, -fill.quote_quantity),
        Side::Sell => (-fill.quantity, fill.quote_quantity),
    };
    let mut changes = BTreeMap::new();
    for (asset, change) in [
        (fill.base_asset, base),
        (fill.quote_asset, quote),
        (fill.commission_asset, -fill.commission),
    ] {
        if !change.is_zero() {
            let entry: &mut Decimal = changes.entry(asset.to_owned()).or_default();
            *entry = checked_add(*entry, change)?;
        }
    }
    Ok(changes)
}

/// How much of an asset may be sold now: what is held, less what orders that have not ended may still sell.
///
/// # Errors
/// When a sum does not fit.
pub fn closable(held: Decimal, remaining_sells: &[Decimal]) -> Result<Decimal, MoneyError> {
    let pledged = remaining_sells.iter().copied().try_fold(Decimal::ZERO, checked_add)?;
    Ok(checked_sub(held, pledged)?.max(Decimal::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Decimal {
        Decimal::from_str_exact(text).expect("a decimal")
    }

    #[test]
    fn p8_a_fee_in_the_bought_asset_is_not_held() {
        let fill = FillEffect {
            base_asset: "BTC",
            quote_asset: "USDT",
            side: Side::Buy,
            quantity: d("1"),
            quote_quantity: d("50000"),
            commission: d("0.001"),
            commission_asset: "BTC",
        };
        let changes = effects(&fill).expect("fits");
        assert_eq!(changes["BTC"], d("0.999"));
        assert_eq!(changes["USDT"], d("-50000"));
        let third = effects(&FillEffect {
            side: Side::Sell,
            commission_asset: "BNB",
            ..fill
        })
        .expect("fits");
        assert_eq!(
            (third["BTC"], third["USDT"], third["BNB"]),
            (d("-1"), d("50000"), d("-0.001"))
        );
    }

    proptest::proptest! {
        /// Against whole numbers of hundred-millionths, whose sums need no rules: base, quote and third asset, to 10^15.
        #[test]
        fn p8_what_each_asset_gains_agrees_with_whole_numbers(
            buy: bool,
            quantity in 1i128..=100_000_000_000_000_000_000_000,
            quote in 1i128..=100_000_000_000_000_000_000_000,
            fee in 0i128..=100_000_000_000_000_000,
            fee_in in 0usize..3,
        ) {
            let decimal = |units| Decimal::try_from_i128_with_scale(units, 8).expect("24 digits");
            let fee_asset = ["BTC", "USDT", "BNB"][fee_in];
            let fill = FillEffect {
                base_asset: "BTC",
                quote_asset: "USDT",
                side: if buy { Side::Buy } else { Side::Sell },
                quantity: decimal(quantity),
                quote_quantity: decimal(quote),
                commission: decimal(fee),
                commission_asset: fee_asset,
            };
            let changes = effects(&fill).expect("fits");
            let sign = if buy { 1 } else { -1 };
            for (asset, gained) in [("BTC", sign * quantity), ("USDT", -sign * quote), ("BNB", 0)] {
                let truth = gained - if asset == fee_asset { fee } else { 0 };
                let found = changes.get(asset).copied().unwrap_or_default();
                proptest::prop_assert_eq!(found.mantissa() * 10i128.pow(8 - found.scale()), truth, "{}", asset);
            }
        }
    }

    #[test]
    fn p2_what_is_pledged_cannot_be_sold_again() {
        assert_eq!(closable(d("1"), &[d("0.4"), d("0.5")]).expect("fits"), d("0.1"));
        assert_eq!(closable(d("1"), &[d("0.7"), d("0.5")]).expect("fits"), Decimal::ZERO);
    }
}
