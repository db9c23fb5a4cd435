//! Exact decimals: every amount has at most eight decimals, as on the exchange, so no operation here ever rounds by itself.

use rust_decimal::{Decimal, RoundingStrategy};

/// Zero, written once.
pub const ZERO: Decimal = Decimal::ZERO;

/// The digits the exchange accepts on each side of the point.
const MAX_DIGITS: usize = 20;

/// Why a text is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadDecimal {
    /// Outside the legal grammar (sign, exponent, letters, too many digits).
    Grammar,
    /// More than eight decimals that are not zero.
    Precision,
}

/// Parses `digits[.digits]`, at most eight significant decimals.
pub fn parse_decimal(text: &str) -> Result<Decimal, BadDecimal> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let legal = |part: &str| !part.is_empty() && part.len() <= MAX_DIGITS && part.bytes().all(|b| b.is_ascii_digit());
    if !legal(whole) || !legal(fraction) {
        return Err(BadDecimal::Grammar);
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 8 {
        return Err(BadDecimal::Precision);
    }
    let joined = if fraction.is_empty() {
        whole.to_owned()
    } else {
        format!("{whole}.{fraction}")
    };
    joined.parse().map_err(|_| BadDecimal::Grammar)
}

/// The exchange's number format: always eight decimals.
pub fn fixed8(value: Decimal) -> String {
    format!("{value:.8}")
}

/// A product of two amounts. Filters and the configuration bound both factors far below the range of the type.
pub fn times(a: Decimal, b: Decimal) -> Decimal {
    a.checked_mul(b)
        .expect("both factors are bounded by the symbol's filters")
        .normalize()
}

/// The share `bps` (hundredths of a percent) of an amount, rounded toward zero to eight decimals.
pub fn share_bps(amount: Decimal, bps: Decimal) -> Decimal {
    let exact = amount
        .checked_mul(bps)
        .and_then(|v| v.checked_div(Decimal::from(10_000)));
    exact
        .expect("an amount times at most 10000 bps fits")
        .round_dp_with_strategy(8, RoundingStrategy::ToZero)
        .normalize()
}

/// The largest multiple of `step` that is not above `amount`.
pub fn floor_to(amount: Decimal, step: Decimal) -> Decimal {
    if step.is_zero() {
        return amount;
    }
    (amount - amount % step).normalize()
}

/// `amount / by`, rounded toward zero to eight decimals; zero when `by` is zero.
pub fn divide_down(amount: Decimal, by: Decimal) -> Decimal {
    let quotient = amount.checked_div(by).unwrap_or(ZERO);
    quotient.round_dp_with_strategy(8, RoundingStrategy::ToZero)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_outside_the_grammar_is_refused() {
        for bad in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e5",
            "NaN",
            "1,5",
            " 1",
            "123456789012345678901",
            "1.2.3",
        ] {
            assert_eq!(parse_decimal(bad), Err(BadDecimal::Grammar), "{bad}");
        }
        assert_eq!(parse_decimal("0.123456789"), Err(BadDecimal::Precision));
        assert_eq!(parse_decimal("1.50000000000").unwrap().to_string(), "1.5");
    }

    #[test]
    fn numbers_show_eight_decimals() {
        assert_eq!(fixed8("1.5".parse().unwrap()), "1.50000000");
        assert_eq!(fixed8(ZERO), "0.00000000");
        assert_eq!(
            fixed8("99999999999999999999.99999999".parse().unwrap()),
            "99999999999999999999.99999999"
        );
    }

    #[test]
    fn a_commission_never_rounds_up() {
        assert_eq!(
            share_bps("0.00001999".parse().unwrap(), Decimal::from(10)).to_string(),
            "0.00000001"
        );
        assert_eq!(
            floor_to("1.23456".parse().unwrap(), "0.001".parse().unwrap()).to_string(),
            "1.234"
        );
    }
}
