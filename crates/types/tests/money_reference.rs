//! Sums, products, quotients and floors against an independent reference: whole numbers of a common scale, written
//! digit by digit from the text of the numbers. It shares no code with the crate.

use num_bigint::{BigInt, Sign};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use thunes_types::{Decimal, checked_add, checked_mul_exact, checked_sub, floor_to_step, mul_div_half_even};

/// Every number of the tests is a multiple of 10^-84: a product of three with 28 places each.
const COMMON: usize = 84;

fn runner(cases: u32) -> TestRunner {
    let seed: u64 = match std::env::var("THUNES_TEST_SEED") {
        Ok(text) => text.parse().expect("THUNES_TEST_SEED is a printed seed"),
        Err(_) => std::process::id().into(),
    };
    println!("THUNES_TEST_SEED={seed}");
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// Any number that the API's grammar can carry: 1 to 28 digits, 0 to 28 places, with a liking for the ends.
fn number() -> impl Strategy<Value = Decimal> {
    let digits = prop_oneof![
        3 => "[0-9]{1,28}",
        1 => "9{20,28}",
        1 => "10{0,27}",
        1 => "[0-9]{1,12}",
        1 => Just("5".to_owned()),
    ];
    (digits, 0u32..=28, any::<bool>()).prop_map(|(digits, scale, negative)| {
        let mantissa: i128 = digits.parse().expect("digits");
        let value = Decimal::try_from_i128_with_scale(mantissa, scale).expect("28 digits");
        if negative { -value } else { value }
    })
}

/// The number as a multiple of 10^-COMMON, from its text.
fn told(value: Decimal) -> BigInt {
    let text = value.to_string();
    let (negative, text) = text
        .strip_prefix('-')
        .map_or((false, text.as_str()), |rest| (true, rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{fraction}{}", "0".repeat(COMMON - fraction.len()));
    let units: BigInt = digits.parse().expect("digits");
    if negative { -units } else { units }
}

fn ten(power: usize) -> BigInt {
    format!("1{}", "0".repeat(power)).parse().expect("digits")
}

/// Whether a multiple of 10^-COMMON can be written with 28 digits and 28 places at most.
fn fits(units: &BigInt) -> bool {
    let text = units.magnitude().to_string();
    let padded = format!("{}{text}", "0".repeat((COMMON + 1).saturating_sub(text.len())));
    let (whole, fraction) = padded.split_at(padded.len() - COMMON);
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let digits = if whole.is_empty() {
        fraction.trim_start_matches('0').len()
    } else {
        whole.len() + fraction.len()
    };
    fraction.len() <= 28 && digits <= 28
}

/// What is found is the truth, or an error exactly where the truth does not fit.
fn same<E: std::fmt::Debug>(what: &str, found: Result<Decimal, E>, truth: &BigInt) -> Result<(), TestCaseError> {
    match found {
        Ok(value) => {
            prop_assert!(told(value) == *truth, "{what}: {value} is not the exact result");
            prop_assert!(fits(truth), "{what}: {value} has more digits than the API can carry");
        }
        Err(error) => prop_assert!(!fits(truth), "{what}: {error:?}, but it fits"),
    }
    Ok(())
}

#[test]
fn p8_sums_and_differences_are_exact_or_errors() {
    runner(4_000)
        .run(&(number(), number()), |(a, b)| {
            same("sum", checked_add(a, b), &(told(a) + told(b)))?;
            same("difference", checked_sub(a, b), &(told(a) - told(b)))
        })
        .expect("they agree");
}

#[test]
fn p8_products_are_exact_or_errors() {
    runner(4_000)
        .run(&(number(), number()), |(a, b)| {
            let truth = told(a) * told(b) / ten(COMMON);
            same("product", checked_mul_exact(a, b), &truth)
        })
        .expect("they agree");
}

/// Half to even, by comparing what is left with the half of the divisor.
fn rounded(top: &BigInt, bottom: &BigInt) -> BigInt {
    let negative = (top.sign() == Sign::Minus) != (bottom.sign() == Sign::Minus);
    let (top, bottom) = (
        BigInt::from(top.magnitude().clone()),
        BigInt::from(bottom.magnitude().clone()),
    );
    let down: BigInt = &top / &bottom;
    let left = &top - &down * &bottom;
    let other: BigInt = &bottom - &left;
    let is_even = !down.bit(0);
    let nearest = if left < other || (left == other && is_even) {
        down
    } else {
        down + 1
    };
    if negative { -nearest } else { nearest }
}

#[test]
fn p8_quotients_round_half_to_even_at_their_scale_or_are_errors() {
    runner(4_000)
        .run(
            &(number(), number(), number(), 0u32..=28),
            |(value, numerator, denominator, scale)| {
                let found = mul_div_half_even(value, numerator, denominator, scale);
                if denominator.is_zero() {
                    prop_assert!(found.is_err(), "a division by zero");
                    return Ok(());
                }
                // value * numerator / denominator in units of 10^-scale.
                let top = told(value) * told(numerator) * ten(usize::try_from(scale).expect("small"));
                let bottom = told(denominator) * ten(COMMON);
                let truth = rounded(&top, &bottom) * ten(COMMON - usize::try_from(scale).expect("small"));
                same("quotient", found, &truth)
            },
        )
        .expect("they agree");
}

#[test]
fn p8_a_floor_is_the_largest_multiple_not_above_or_an_error() {
    runner(4_000)
        .run(&(number(), number()), |(value, step)| {
            let (value, step) = (value.abs(), step.abs());
            let truth = if step.is_zero() {
                told(value)
            } else {
                told(value) - told(value) % told(step)
            };
            same("floor", floor_to_step(value, step), &truth)
        })
        .expect("they agree");
}

#[test]
fn p8_a_floor_that_has_no_room_is_an_error_and_not_the_value_itself() {
    let d = |text: &str| Decimal::from_str_exact(text).expect("a decimal");
    assert!(floor_to_step(d("9999999999999999999999999999"), d("0.7")).is_err());
    let floor = floor_to_step(d("1000000000000000.00000001"), d("0.00000003")).expect("fits");
    assert_eq!(floor, d("999999999999999.99999999"));
}

#[test]
fn p8_long_sums_of_huge_and_tiny_amounts_lose_nothing() {
    let pair = (1i64..1_000_000_000, 0u32..=14);
    runner(50)
        .run(&prop::collection::vec((pair, any::<bool>()), 500..1500), |parts| {
            let (mut sum, mut truth) = (Decimal::ZERO, BigInt::from(0));
            for ((digits, place), negative) in parts {
                // From 10^-8 up to 10^15.
                let units = i128::from(digits) * 10i128.pow(place) * if negative { -1 } else { 1 };
                let amount = Decimal::try_from_i128_with_scale(units, 8)
                    .expect("24 digits at most")
                    .normalize();
                sum = checked_add(sum, amount).expect("1500 times 10^15 fits");
                truth += told(amount);
            }
            prop_assert!(told(sum) == truth, "{sum}");
            Ok(())
        })
        .expect("they agree");
}
