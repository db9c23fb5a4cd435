//! The fold against an independent reference that calculates in exact fractions.

mod reference;

use std::cell::Cell;

use num_bigint::BigInt;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use reference::{Fraction, Reference, Told};
use thunes_position::domain::{Asset, Fill, FillSource, MONEY_PLACES, Side, SymbolBook};
use thunes_types::{Decimal, StrategyId, Symbol};

/// Amounts in this test are whole multiples of 10^-8.
const PLACES: u32 = 8;
/// So that sums of costs keep twelve places within the number type.
const VALUE_MAX: i128 = 10i128.pow(14 + PLACES);

fn runner(cases: u32) -> TestRunner {
    let seed = match std::env::var("THUNES_TEST_SEED") {
        Ok(text) => uuid::Uuid::parse_str(&text).expect("THUNES_TEST_SEED is a printed seed"),
        Err(_) => uuid::Uuid::new_v4(),
    };
    println!("THUNES_TEST_SEED={seed}");
    let bytes = [*seed.as_bytes(), *seed.as_bytes()].concat();
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// How the quantity of a fill is chosen.
#[derive(Debug, Clone, Copy)]
enum Size {
    /// Digits and their place: from 10^-8 to 10^15.
    Free(i64, u32),
    /// What is held, so that the position becomes flat.
    Flatten,
    /// More than what is held, so that it crosses zero.
    Cross(i64),
    /// A part of what is held: one in so many.
    Part(i64),
}

#[derive(Debug, Clone)]
struct Plan {
    buy: bool,
    size: Size,
    price: (i64, u32),
    fee_asset: usize,
    /// Millionths of the quantity or of the value.
    fee_ppm: i64,
    pause_ms: i64,
}

fn plan() -> impl Strategy<Value = Plan> {
    let size = prop_oneof![
        4 => (1i64..100_000_000, 0u32..=15).prop_map(|(digits, place)| Size::Free(digits, place)),
        2 => Just(Size::Flatten),
        2 => (1i64..1_000_000_000).prop_map(Size::Cross),
        2 => (2i64..1000).prop_map(Size::Part),
    ];
    // A price is so many digits at a place, from 10^-8 on; a pause may skip days.
    let price = (1i64..100_000_000, 0u32..=13);
    let pause_ms = prop_oneof![3 => 0i64..5, 1 => 0i64..200_000_000];
    (any::<bool>(), size, price, 0usize..5, 0i64..20_000, pause_ms).prop_map(
        |(buy, size, price, fee_asset, fee_ppm, pause_ms)| Plan {
            buy,
            size,
            price,
            fee_asset,
            fee_ppm,
            pause_ms,
        },
    )
}

fn decimal(units: i128) -> Decimal {
    Decimal::try_from_i128_with_scale(units, PLACES).expect("within the number type")
}

fn asset(name: &str) -> Asset {
    Asset::parse_as("asset", name).expect("an asset")
}

/// Makes the fill of a plan; `held` is what the reference holds, in units.
fn fill(plan: &Plan, held: i128, trade_id: i64, executed_at_ms: i64) -> (Fill, Told) {
    let quantity_max = 10i128.pow(15 + PLACES);
    let quantity = match plan.size {
        Size::Free(digits, place) => i128::from(digits) * 10i128.pow(place),
        Size::Flatten => held.abs(),
        Size::Cross(beyond) => held.abs() + i128::from(beyond),
        Size::Part(parts) => held.abs() / i128::from(parts),
    }
    .clamp(1, quantity_max);
    let against = !matches!(plan.size, Size::Free(..)) && held != 0;
    let buy = if against { held < 0 } else { plan.buy };
    let price_max = (VALUE_MAX * 10i128.pow(PLACES) / quantity).max(1);
    let price = (i128::from(plan.price.0) * 10i128.pow(plan.price.1)).clamp(1, price_max);
    let value = i128::try_from(BigInt::from(price) * BigInt::from(quantity) / BigInt::from(10i128.pow(PLACES)))
        .expect("bounded by VALUE_MAX");
    let flattens = matches!(plan.size, Size::Flatten);
    let (name, of) = match plan.fee_asset {
        0 if !flattens => ("BTC", quantity),
        1 => ("USDT", value),
        2 => ("BNB", quantity.min(10i128.pow(12))),
        3 => ("TRX", value.min(10i128.pow(12))),
        _ => ("", 0),
    };
    let fee = of / 1_000_000 * i128::from(plan.fee_ppm);
    let told = Told {
        buy,
        quantity,
        value,
        fee,
        fee_asset: name,
        day: executed_at_ms.div_euclid(86_400_000),
    };
    let fill = Fill {
        symbol: Symbol::parse("BTCUSDT").expect("a symbol"),
        trade_id,
        base_asset: asset("BTC"),
        quote_asset: asset("USDT"),
        side: if buy { Side::Buy } else { Side::Sell },
        price: decimal(price),
        quantity: decimal(quantity),
        quote_quantity: decimal(value),
        commission: decimal(fee),
        commission_asset: (!name.is_empty()).then(|| asset(name)),
        executed_at_ms,
        venue_order_id: "1".to_owned(),
        client_order_id: String::new(),
        strategy_id: StrategyId::parse("").expect("may be empty"),
        is_maker: false,
        source: FillSource::Stream,
    };
    (fill, told)
}

fn exact(value: Decimal) -> Fraction {
    Fraction::new(BigInt::from(value.mantissa()), BigInt::from(10).pow(value.scale()))
}

fn near(value: Decimal, truth: &Fraction, roundings: usize) -> bool {
    let allowed = Fraction::new(BigInt::from(roundings), BigInt::from(10).pow(MONEY_PLACES));
    exact(value).minus(truth).abs() <= allowed
}

fn check(book: &SymbolBook, truth: &Reference, fills: usize) -> Result<(), TestCaseError> {
    prop_assert!(
        exact(book.holding.quantity) == Fraction::units(truth.quantity),
        "{book:?} {truth:?}"
    );
    for (asset, sum) in &truth.fees {
        let ours = book
            .fees
            .0
            .iter()
            .find(|(name, _)| name.as_str() == *asset)
            .map_or(Decimal::ZERO, |(_, sum)| *sum);
        prop_assert!(exact(ours) == Fraction::units(*sum), "fees in {asset}");
    }
    prop_assert!(near(book.holding.cost, &truth.cost, fills), "cost {book:?} {truth:?}");
    prop_assert!(
        near(book.realized, &truth.realized(), fills),
        "realised {book:?} {truth:?}"
    );
    for (day, realized) in &truth.realized_by_day {
        let ours = book
            .days
            .iter()
            .find(|(key, _)| key.0 == *day)
            .map(|(_, totals)| totals.realized);
        prop_assert!(
            ours.is_some_and(|ours| near(ours, realized, 2 * fills)),
            "day {day} {book:?} {truth:?}"
        );
    }
    check_valuation(book)?;
    // Rounding moves amounts between cost and profit; together they are the cash that flowed, to the last digit.
    let invested = match book.holding.side() {
        Some(Side::Buy) => exact(book.holding.cost),
        Some(Side::Sell) => Fraction::units(0).minus(&exact(book.holding.cost)),
        None => {
            prop_assert!(book.holding.cost.is_zero(), "flat, at a cost of {}", book.holding.cost);
            Fraction::units(0)
        }
    };
    prop_assert!(
        exact(book.realized).minus(&invested) == Fraction::units(truth.cash),
        "{book:?} {truth:?}"
    );
    let days: Decimal = book.days.values().map(|totals| totals.realized).sum();
    prop_assert_eq!(days, book.realized);
    Ok(())
}

/// Average, worth and unrealised profit, each rounded once, so at most half of the last place away from the truth; they
/// are errors only where that has more digits than fit.
fn check_valuation(book: &SymbolBook) -> Result<(), TestCaseError> {
    let (held, cost) = (book.holding.quantity.abs(), book.holding.cost);
    let units = |value: Decimal| BigInt::from(value.mantissa()) * BigInt::from(10).pow(28 - value.scale());
    let one = BigInt::from(10).pow(28);
    let half = Fraction::new(BigInt::from(1), BigInt::from(2) * BigInt::from(10).pow(MONEY_PLACES));
    let room = Fraction::new(BigInt::from(10).pow(28 - MONEY_PLACES) - 1, BigInt::from(1));
    let rounds = |what: &str, found: Option<Decimal>, truth: &Fraction| {
        match found {
            Some(found) => prop_assert!(exact(found).minus(truth).abs() <= half, "{what}: {found}, {truth:?}"),
            None => prop_assert!(truth.abs() > room, "{what} is an error, and {truth:?} fits"),
        }
        Ok(())
    };
    if !held.is_zero() {
        let truth = Fraction::new(units(cost), units(held));
        rounds("average", book.holding.average().ok(), &truth)?;
    }
    for price in ["0.00000001", "0.3333", "63999.99", "100000.00000001"] {
        let price = Decimal::from_str_exact(price).expect("a decimal");
        let truth = Fraction::new(units(held) * units(price), &one * &one);
        let worth = book.holding.worth(price).ok();
        rounds("worth", worth, &truth)?;
        let Some(Ok(unrealized)) = worth.map(|worth| book.holding.unrealized(worth)) else {
            continue;
        };
        let gain = match book.holding.side() {
            Some(Side::Buy) => truth.minus(&exact(cost)),
            Some(Side::Sell) => exact(cost).minus(&truth),
            None => Fraction::units(0),
        };
        rounds("unrealised", Some(unrealized), &gain)?;
    }
    Ok(())
}

#[test]
fn p8_the_fold_agrees_with_exact_fractions() {
    runner(400)
        .run(&prop::collection::vec(plan(), 1..40), |plans| {
            let (mut truth, mut book, mut now_ms) = (Reference::default(), None::<SymbolBook>, 1_763_999_990_000);
            for (index, plan) in plans.iter().enumerate() {
                now_ms += plan.pause_ms;
                let (fill, told) = fill(plan, truth.quantity, i64::try_from(index).expect("small"), now_ms);
                truth.apply(&told);
                let next = book
                    .map_or_else(|| SymbolBook::open(&fill), |book| book.with(&fill))
                    .expect("in range");
                check(&next, &truth, index + 1)?;
                book = Some(next);
            }
            Ok(())
        })
        .expect("the fold agrees");
}

// The agreement says little unless the plans reach what they are for.
#[test]
fn the_plans_reach_flat_crossed_and_short_positions() {
    let seen = [Cell::new(0), Cell::new(0), Cell::new(0)];
    runner(50)
        .run(&prop::collection::vec(plan(), 30..40), |plans| {
            let mut truth = Reference::default();
            for (index, plan) in plans.iter().enumerate() {
                let before = truth.quantity;
                truth.apply(&fill(plan, before, i64::try_from(index).expect("small"), 1).1);
                let reached = [
                    truth.quantity == 0,
                    truth.quantity.signum() * before.signum() < 0,
                    truth.quantity < 0,
                ];
                reached
                    .into_iter()
                    .zip(&seen)
                    .for_each(|(hit, count)| count.set(count.get() + i32::from(hit)));
            }
            Ok(())
        })
        .expect("no checks here");
    assert!(
        seen.iter().all(|count| count.get() > 20),
        "flat, crossed, short: {seen:?}"
    );
}

#[test]
fn p8_quantities_of_1e15_at_prices_of_1e_minus_8_are_exact() {
    let huge = Plan {
        buy: true,
        size: Size::Free(1, 23),
        price: (1, 0),
        fee_asset: 4,
        fee_ppm: 0,
        pause_ms: 0,
    };
    let (first, _) = fill(&huge, 0, 0, 1);
    assert_eq!(
        (first.quantity.normalize().to_string(), first.price.to_string()),
        ("1000000000000000".into(), "0.00000001".into())
    );
    let mut book = SymbolBook::open(&first).expect("fits");
    for trade_id in 1..2000 {
        book = book.with(&fill(&huge, 0, trade_id, 1).0).expect("fits");
    }
    assert_eq!(book.holding.quantity.normalize().to_string(), "2000000000000000000");
    assert_eq!(book.holding.cost.normalize().to_string(), "20000000000");
    assert_eq!(
        book.holding.average().expect("fits").normalize().to_string(),
        "0.00000001"
    );
}
