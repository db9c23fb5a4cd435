use std::collections::BTreeMap;

use thunes_types::{Decimal, MoneyError, checked_add, checked_mul_exact, checked_sub, mul_div_half_even};

use super::filters::SymbolRules;
use super::order::Side;

/// Percent of the largest notional that a sale may be worth by the price known here: the exchange measures by a newer one.
const NOTIONAL_MAX_PERCENT: i64 = 99;
/// Places of a quotient beyond those of a lot: what rounding half to even adds to it is far below the margin above.
const PLACES_BEYOND_LOT: u32 = 3;
/// Places of a quantity whose lot rules name no step.
const PLACES_WITHOUT_STEP: u32 = 8;

/// What a sale was planned on. When it no longer holds, the sale could take coins that are not the halt's to sell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Basis {
    /// The journal's number of the last fill that was counted.
    pub last_fill_id: i64,
    /// Base in SELL orders that had not ended.
    pub pledged: Decimal,
}

impl Basis {
    /// Whether nothing was filled in the symbol since, and as much is in SELL orders as was then.
    pub fn holds(&self, filled_since: bool, pledged: Decimal) -> bool {
        !filled_since && pledged == self.pledged
    }
}

/// What one sale of a flattening can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sale {
    /// Sell this much next.
    Sell(Decimal),
    /// The exchange lets nobody sell so little.
    Dust { reason: String },
}

/// The next market sale of at most `quantity`, by the exchange's filters. What is more than one order may sell comes in
/// several; the last one is never so small that it could not be sold.
///
/// # Errors
/// When a product does not fit.
pub fn next_sale(quantity: Decimal, rules: &SymbolRules, price: Option<Decimal>) -> Result<Sale, MoneyError> {
    let floor = |quantity: Decimal| rules.floor_quantity(quantity, true).map(|floored| floored.normalize());
    let most = [rules.lot.max, rules.market_lot.max]
        .into_iter()
        .filter(|bound| !bound.is_zero())
        .chain(most_by_worth(rules, price)?)
        .min();
    let chunk = floor(most.map_or(quantity, |most| quantity.min(most)))?;
    if let Some(reason) = too_small(chunk, rules, price)? {
        return Ok(Sale::Dust { reason });
    }
    let left = floor(checked_sub(quantity, chunk)?)?;
    if left.is_zero() || too_small(left, rules, price)?.is_none() {
        return Ok(Sale::Sell(chunk));
    }
    // What would be left could not be sold: two halves can, since each is about half of the largest order.
    let half = floor(checked_mul_exact(quantity, Decimal::new(5, 1))?)?;
    match too_small(half, rules, price)? {
        None if !half.is_zero() => Ok(Sale::Sell(half)),
        _ => Ok(Sale::Sell(chunk)),
    }
}

/// The largest quantity by what one order may be worth; None when nothing bounds it, as far as it is known here.
fn most_by_worth(rules: &SymbolRules, price: Option<Decimal>) -> Result<Option<Decimal>, MoneyError> {
    let bounded = rules.notional_max_applies_to_market && !rules.notional_max.is_zero();
    let Some(price) = price.filter(|price| bounded && *price > Decimal::ZERO) else {
        return Ok(None);
    };
    let steps = [rules.lot.step, rules.market_lot.step];
    let places = steps
        .iter()
        .filter(|step| !step.is_zero())
        .map(|step| step.normalize().scale())
        .max();
    let scale = places.unwrap_or(PLACES_WITHOUT_STEP) + PLACES_BEYOND_LOT;
    let percent = Decimal::new(NOTIONAL_MAX_PERCENT, 2);
    let quotient = mul_div_half_even(rules.notional_max, percent, price, scale)?;
    let most = rules.floor_quantity(quotient, true)?;
    // Where the largest and the smallest order exclude each other, what is left is no dust: a filter is to say why.
    let sells = too_small(most, rules, Some(price))?.is_none();
    Ok(sells.then_some(most))
}

/// Why so little cannot be sold; None when it can.
fn too_small(quantity: Decimal, rules: &SymbolRules, price: Option<Decimal>) -> Result<Option<String>, MoneyError> {
    let least = rules.lot.min.max(rules.market_lot.min);
    if quantity.is_zero() || quantity < least {
        return Ok(Some(format!("below the smallest quantity of {}", least.normalize())));
    }
    let (Some(price), true) = (price, rules.notional_min_applies_to_market) else {
        return Ok(None);
    };
    let worth = checked_mul_exact(quantity, price)?;
    let short = worth < rules.notional_min;
    Ok(short.then(|| {
        format!(
            "worth {} {}, below the smallest value of {}",
            worth.normalize(),
            rules.quote_asset,
            rules.notional_min.normalize()
        )
    }))
}

/// What our own fills, and those of others that were adopted, left in one symbol.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Net {
    /// Base, by strategy; negative where a strategy sold what another one bought.
    pub own: BTreeMap<String, Decimal>,
    /// Base, by trades on this account that are not ours.
    pub foreign: Decimal,
}

impl Net {
    /// Takes over a fill. A fee in the base asset was never credited, or came out of what was held.
    ///
    /// # Errors
    /// When a sum does not fit.
    pub fn add(
        &mut self,
        strategy_id: Option<&str>,
        side: Side,
        quantity: Decimal,
        fee_in_base: Decimal,
    ) -> Result<(), MoneyError> {
        let signed = match side {
            Side::Buy => quantity,
            Side::Sell => -quantity,
        };
        let change = checked_sub(signed, fee_in_base)?;
        let total = match strategy_id {
            Some(strategy_id) => self.own.entry(strategy_id.to_owned()).or_default(),
            None => &mut self.foreign,
        };
        *total = checked_add(*total, change)?;
        Ok(())
    }

    /// What is to be sold of each strategy that is in scope, never more together than all of ours is, nor than the book
    /// with the trades of others has.
    ///
    /// # Errors
    /// When a sum does not fit.
    pub fn to_sell(&self, in_scope: impl Fn(&str) -> bool) -> Result<Vec<(String, Decimal)>, MoneyError> {
        let own = self.own.values().copied().try_fold(Decimal::ZERO, checked_add)?;
        let book = checked_add(own, self.foreign)?;
        let mut left = own.min(book).max(Decimal::ZERO);
        let mut to_sell = Vec::new();
        for (strategy_id, net) in &self.own {
            let part = (*net).min(left);
            if part > Decimal::ZERO && in_scope(strategy_id) {
                to_sell.push((strategy_id.clone(), part));
                left = checked_sub(left, part)?;
            }
        }
        Ok(to_sell)
    }
}

/// The beginning of the ids of a halt's sales in a symbol; a number follows. Made of the halt and the symbol alone, so
/// that a crash in between leads to the same ids.
pub fn sale_prefix(halt_epoch: i64, symbol: &str) -> String {
    format!("fl{halt_epoch}-{symbol}-")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::filters::Lot;

    fn d(text: &str) -> Decimal {
        Decimal::from_str_exact(text).expect("a decimal")
    }

    /// Zeros turn the rest of the rule off.
    fn market_lot_up_to(max: Decimal) -> Lot {
        Lot {
            min: Decimal::ZERO,
            max,
            step: Decimal::ZERO,
        }
    }

    fn rules() -> SymbolRules {
        SymbolRules {
            symbol: "BTCUSDT".into(),
            base_asset: "BTC".into(),
            quote_asset: "USDT".into(),
            trading: true,
            lot: Lot {
                min: d("0.001"),
                max: d("10"),
                step: d("0.001"),
            },
            market_lot: market_lot_up_to(d("2")),
            notional_min: d("5"),
            notional_min_applies_to_market: true,
            ..SymbolRules::default()
        }
    }

    fn sell(quantity: &str, price: Option<&str>) -> Sale {
        next_sale(d(quantity), &rules(), price.map(d)).expect("fits")
    }

    #[test]
    fn a_sale_is_rounded_down_and_split_at_the_largest_market_order() {
        assert_eq!(sell("0.0129999", Some("60000")), Sale::Sell(d("0.012")));
        assert_eq!(sell("5", Some("60000")), Sale::Sell(d("2")));
        assert_eq!(
            sell("0.002", None),
            Sale::Sell(d("0.002")),
            "a price that is not known is no reason to wait"
        );
    }

    #[test]
    fn what_no_filter_lets_pass_is_dust_and_says_why() {
        for (quantity, price, why) in [
            ("0.0009", "60000", "smallest quantity of 0.001"),
            ("0.001", "4999", "worth 4.999 USDT, below the smallest value of 5"),
            ("0", "60000", "smallest quantity"),
        ] {
            let Sale::Dust { reason } = sell(quantity, Some(price)) else {
                panic!("{quantity} is dust")
            };
            assert!(reason.contains(why), "{reason}");
        }
    }

    #[test]
    fn no_chunk_leaves_dust_that_two_halves_would_not() {
        assert_eq!(
            sell("2.001", Some("1000")),
            Sale::Sell(d("1")),
            "0.001 would be worth 1 USDT"
        );
        assert_eq!(sell("1.001", Some("1000")), Sale::Sell(d("1.001")));
    }

    #[test]
    fn what_is_worth_more_than_one_order_may_be_comes_in_several() {
        let mut rules = SymbolRules {
            notional_max: d("50000"),
            notional_max_applies_to_market: true,
            ..rules()
        };
        let next = |quantity: &str, price: Option<&str>, rules: &SymbolRules| {
            next_sale(d(quantity), rules, price.map(d)).expect("fits")
        };
        assert_eq!(
            next("1.5", Some("60000"), &rules),
            Sale::Sell(d("0.825")),
            "49500 / 60000"
        );
        assert_eq!(next("0.8", Some("60000"), &rules), Sale::Sell(d("0.8")));
        assert_eq!(next("1.5", None, &rules), Sale::Sell(d("1.5")), "no price, no worth");
        rules.notional_max_applies_to_market = false;
        assert_eq!(next("1.5", Some("60000"), &rules), Sale::Sell(d("1.5")));
        rules.notional_max_applies_to_market = true;
        rules.notional_max = d("50");
        assert_eq!(
            next("1.5", Some("60000"), &rules),
            Sale::Sell(d("1.5")),
            "0.001 is worth 60: not dust, and not ours to judge"
        );
    }

    #[test]
    fn a_sale_holds_only_on_what_it_was_planned_on() {
        let basis = Basis {
            last_fill_id: 7,
            pledged: d("0.5"),
        };
        assert!(basis.holds(false, d("0.500")));
        assert!(!basis.holds(true, d("0.5")), "a fill came");
        assert!(!basis.holds(false, d("1.0")), "somebody else sells");
        assert!(!basis.holds(false, d("0")), "somebody else's order ended");
    }

    #[test]
    fn a_strategy_sells_no_more_than_what_all_of_ours_left() {
        let mut net = Net::default();
        let fills = [
            (Some("a"), Side::Buy, "1", "0.001"),
            (Some("b"), Side::Buy, "2", "0"),
            // Somebody at a terminal sold most of it, under no strategy.
            (Some(""), Side::Sell, "2.5", "0"),
        ];
        for (strategy, side, quantity, fee) in fills {
            net.add(strategy, side, d(quantity), d(fee)).expect("fits");
        }
        let all = net.to_sell(|_| true).expect("fits");
        assert_eq!(all, [("a".to_owned(), d("0.499"))]);
        assert_eq!(net.to_sell(|s| s == "b").expect("fits"), [("b".to_owned(), d("0.499"))]);
        net.add(None, Side::Sell, d("0.4"), Decimal::ZERO).expect("fits");
        assert_eq!(net.to_sell(|_| true).expect("fits"), [("a".to_owned(), d("0.099"))]);
    }

    #[test]
    fn an_id_of_a_sale_is_short_enough_for_the_exchange() {
        let id = format!("{}{}", sale_prefix(9_999_999, "ABCDEFGHIJABCDEFGHIJ"), 99_999);
        assert_eq!(id.len(), 36);
        assert!(thunes_types::ClientOrderId::parse(&id).is_ok());
    }

    proptest! {
        // Selling chunk after chunk ends, never sells more than there is, and leaves only dust.
        #[test]
        fn p2_chunks_end_and_sell_no_more_than_there_is(thousandths in 1i64..20_000_000, max in 1i64..5000, price in 1i64..100_000) {
            let quantity = Decimal::new(thousandths, 6);
            let rules = SymbolRules { market_lot: market_lot_up_to(Decimal::new(max, 2)), ..rules() };
            let (mut left, mut sold) = (quantity, Decimal::ZERO);
            for round in 0.. {
                prop_assert!(round < 10_000);
                match next_sale(left, &rules, Some(Decimal::from(price))).expect("fits") {
                    Sale::Sell(chunk) => {
                        prop_assert!(chunk > Decimal::ZERO && chunk <= left && chunk <= rules.market_lot.max);
                        prop_assert_eq!(rules.floor_quantity(chunk, true).expect("fits"), chunk);
                        (left, sold) = (left - chunk, sold + chunk);
                    }
                    Sale::Dust { .. } => break,
                }
            }
            prop_assert!(sold <= quantity && left + sold == quantity);
        }

        // No chunk is worth more than an order may be, and the bound on worth leaves nothing that could be sold.
        #[test]
        fn p2_no_chunk_is_worth_more_than_an_order_may_be(
            thousandths in 1i64..20_000_000,
            price in 1i64..1_000_000_000,
            most in 100i64..10_000_000,
            places in 0u32..7,
        ) {
            let price = Decimal::new(price, places);
            let rules = SymbolRules {
                market_lot: market_lot_up_to(Decimal::ZERO),
                notional_max: Decimal::from(most),
                notional_max_applies_to_market: true,
                ..rules()
            };
            // Else one lot is worth more than an order may be.
            prop_assume!(price * rules.lot.min * Decimal::from(2) < rules.notional_max);
            let mut left = Decimal::new(thousandths, 6);
            for round in 0..200 {
                match next_sale(left, &rules, Some(price)).expect("fits") {
                    Sale::Sell(chunk) => {
                        prop_assert!(chunk > Decimal::ZERO && chunk <= left && chunk * price <= rules.notional_max);
                        left -= chunk;
                    }
                    Sale::Dust { .. } => {
                        prop_assert!(left < rules.lot.min * Decimal::from(2) || left * price < rules.notional_min * Decimal::from(2), "round {}: {} is left", round, left);
                        break;
                    }
                }
            }
        }

        // However the fills came: what is sold is never more than what is there.
        #[test]
        fn p2_nobody_sells_more_than_the_book_has(fills in proptest::collection::vec((0usize..4, any::<bool>(), 1i64..1000), 0..60)) {
            let mut net = Net::default();
            for (who, buys, quantity) in fills {
                let strategy = [Some("a"), Some("b"), Some(""), None][who];
                let side = if buys { Side::Buy } else { Side::Sell };
                net.add(strategy, side, Decimal::from(quantity), Decimal::ZERO).expect("fits");
            }
            let own: Decimal = net.own.values().copied().sum();
            let sold: Decimal = net.to_sell(|_| true).expect("fits").iter().map(|(_, part)| *part).sum();
            prop_assert!(sold <= own.max(Decimal::ZERO) && sold <= (own + net.foreign).max(Decimal::ZERO));
            prop_assert_eq!(sold, own.min(own + net.foreign).max(Decimal::ZERO));
        }
    }
}
