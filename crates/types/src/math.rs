use num_bigint::BigInt;
use rust_decimal::Decimal;

/// A result that does not fit. Money never wraps and is never silently rounded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation} of {left} and {right} does not fit into 28 digits")]
pub struct MoneyError {
    pub operation: &'static str,
    pub left: Decimal,
    pub right: Decimal,
}

/// Exact sum.
///
/// # Errors
/// When the exact sum does not fit.
pub fn checked_add(left: Decimal, right: Decimal) -> Result<Decimal, MoneyError> {
    exact(left, right, "the sum", |l, r| l + r)
}

/// Exact difference.
///
/// # Errors
/// When the exact difference does not fit.
pub fn checked_sub(left: Decimal, right: Decimal) -> Result<Decimal, MoneyError> {
    exact(left, right, "the difference", |l, r| l - r)
}

// The decimal type rounds silently when digits run out, so sums are made in big integers of one scale.
fn exact(
    left: Decimal,
    right: Decimal,
    operation: &'static str,
    combine: fn(BigInt, BigInt) -> BigInt,
) -> Result<Decimal, MoneyError> {
    let scale = left.scale().max(right.scale());
    let sum = combine(at_scale(left, scale), at_scale(right, scale));
    to_decimal(sum, scale).ok_or(MoneyError { operation, left, right })
}

/// Exact product.
///
/// # Errors
/// When the exact product does not fit.
pub fn checked_mul_exact(left: Decimal, right: Decimal) -> Result<Decimal, MoneyError> {
    let product = BigInt::from(left.mantissa()) * BigInt::from(right.mantissa());
    to_decimal(product, left.scale() + right.scale()).ok_or(MoneyError {
        operation: "the product",
        left,
        right,
    })
}

/// `value * numerator / denominator`, rounded half to even at `scale` places; the product is exact whatever its size.
///
/// # Errors
/// When the result does not fit, or the denominator is zero.
pub fn mul_div_half_even(
    value: Decimal,
    numerator: Decimal,
    denominator: Decimal,
    scale: u32,
) -> Result<Decimal, MoneyError> {
    let misfit = MoneyError {
        operation: "the quotient",
        left: value,
        right: denominator,
    };
    if denominator.is_zero() {
        return Err(misfit);
    }
    // value * numerator / denominator as one fraction of integers, shifted to `scale` places.
    let mut top = BigInt::from(value.mantissa()) * BigInt::from(numerator.mantissa());
    let mut bottom = BigInt::from(denominator.mantissa());
    let shift =
        i64::from(scale) + i64::from(denominator.scale()) - i64::from(value.scale()) - i64::from(numerator.scale());
    let power = BigInt::from(10).pow(u32::try_from(shift.unsigned_abs()).map_err(|_| misfit.clone())?);
    if shift >= 0 {
        top *= power
    } else {
        bottom *= power
    }
    to_decimal(divide_half_even(&top, &bottom), scale).ok_or(misfit)
}

fn divide_half_even(top: &BigInt, bottom: &BigInt) -> BigInt {
    let zero = BigInt::from(0);
    let negative = (*top < zero) != (*bottom < zero);
    let (top, bottom) = (
        BigInt::from(top.magnitude().clone()),
        BigInt::from(bottom.magnitude().clone()),
    );
    let quotient = &top / &bottom;
    let twice_rest = (&top - &quotient * &bottom) * 2;
    let odd = &quotient % 2 != zero;
    let up = twice_rest > bottom || (twice_rest == bottom && odd);
    let rounded = if up { quotient + 1 } else { quotient };
    if negative { -rounded } else { rounded }
}

/// The largest multiple of `step` that is not above `value`; both must not be negative. A zero step changes nothing.
///
/// # Errors
/// When that multiple does not fit: a huge value has no room for the places of a tiny step.
pub fn floor_to_step(value: Decimal, step: Decimal) -> Result<Decimal, MoneyError> {
    if step.is_zero() {
        return Ok(value);
    }
    let scale = value.scale().max(step.scale());
    let (units, step_units) = (at_scale(value, scale), at_scale(step, scale));
    let floored = &units / &step_units * &step_units;
    let misfit = MoneyError {
        operation: "the floor",
        left: value,
        right: step,
    };
    to_decimal(floored, scale).map(|found| found.normalize()).ok_or(misfit)
}

/// What the API's grammar can carry: 28 digits. The number type itself would take a little more.
const MANTISSA_BOUND: u128 = 10u128.pow(28);

fn at_scale(value: Decimal, scale: u32) -> BigInt {
    BigInt::from(value.mantissa()) * BigInt::from(10).pow(scale - value.scale())
}

fn to_decimal(mut mantissa: BigInt, mut scale: u32) -> Option<Decimal> {
    let ten = BigInt::from(10);
    let zero = BigInt::from(0);
    loop {
        if scale <= Decimal::MAX_SCALE
            && let Ok(small) = i128::try_from(&mantissa)
            && small.unsigned_abs() < MANTISSA_BOUND
            && let Ok(value) = Decimal::try_from_i128_with_scale(small, scale)
        {
            return Some(value);
        }
        // Trailing zeros carry no information: dropping them is not rounding.
        if scale == 0 || &mantissa % &ten != zero {
            return None;
        }
        mantissa /= &ten;
        scale -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn d(text: &str) -> Decimal {
        Decimal::from_str_exact(text).expect("a decimal")
    }

    #[test]
    fn p8_sums_that_would_round_are_errors() {
        assert!(checked_add(d("9999999999999999999999999999"), d("0.1")).is_err());
        assert_eq!(
            checked_add(d("1000000000000000.00000001"), d("0.00000001")).expect("fits"),
            d("1000000000000000.00000002")
        );
        assert!(checked_add(Decimal::MAX, Decimal::ONE).is_err());
    }

    #[test]
    fn p8_products_of_huge_quantities_and_tiny_prices_are_exact() {
        assert_eq!(
            checked_mul_exact(d("1000000000000000"), d("0.00000001")).expect("fits"),
            d("10000000")
        );
        assert!(checked_mul_exact(d("1000000000000000.00000001"), d("100000.00000001")).is_err());
    }

    #[test]
    fn p8_halves_go_to_even() {
        assert_eq!(mul_div_half_even(d("1"), d("1"), d("8"), 2).expect("fits"), d("0.12"));
        assert_eq!(mul_div_half_even(d("3"), d("1"), d("8"), 2).expect("fits"), d("0.38"));
        assert_eq!(mul_div_half_even(d("-1"), d("1"), d("8"), 2).expect("fits"), d("-0.12"));
        assert!(mul_div_half_even(d("1"), d("1"), d("0"), 2).is_err());
    }

    proptest! {
        #[test]
        fn p8_floor_never_exceeds_and_misses_by_less_than_a_step(units in 0i64.., step in 1i64..1_000_000) {
            let (value, step) = (Decimal::new(units, 8), Decimal::new(step, 8));
            let floored = floor_to_step(value, step).expect("fits");
            prop_assert!(floored <= value);
            prop_assert!(value - floored < step);
            prop_assert!((floored % step).is_zero());
        }

        #[test]
        fn p8_sums_agree_with_integers(a in any::<i64>(), b in any::<i64>()) {
            let sum = checked_add(Decimal::new(a, 8), Decimal::new(b, 8)).expect("fits");
            prop_assert_eq!(sum.mantissa() * 10i128.pow(8 - sum.scale()), i128::from(a) + i128::from(b));
        }
    }
}
