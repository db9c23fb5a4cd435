use rust_decimal::Decimal;

use crate::FieldError;

/// Longest decimal string that is looked at.
pub const DECIMAL_LENGTH_MAX: usize = 40;
/// Most digits that a decimal may have: the exact range of the number type behind it.
pub const DECIMAL_DIGITS_MAX: usize = 28;

/// Reads a decimal by the strict grammar of the API: `-?digits[.digits]`, no exponent, no plus sign, no separators.
///
/// # Errors
/// Names the field, the value and the rule.
pub fn parse_decimal(field: &str, text: &str) -> Result<Decimal, FieldError> {
    let refuse = |rule: &str| Err(FieldError::new(field, text, rule));
    if text.is_empty() {
        return refuse("a decimal number is required, such as 100 or 0.001");
    }
    if text.len() > DECIMAL_LENGTH_MAX {
        return refuse("at most 40 characters");
    }
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (unsigned, None),
    };
    let digits_only = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits_only(whole) || !fraction.is_none_or(digits_only) {
        return refuse("a plain decimal number: digits, at most one point with digits on both sides, no exponent");
    }
    let significant = whole.trim_start_matches('0').len() + fraction.map_or(0, str::len);
    if significant > DECIMAL_DIGITS_MAX {
        return refuse("at most 28 digits");
    }
    Decimal::from_str_exact(text).or_else(|_| refuse("at most 28 digits"))
}

/// Like [`parse_decimal`], and above zero.
///
/// # Errors
/// Names the field, the value and the rule.
pub fn parse_positive(field: &str, text: &str) -> Result<Decimal, FieldError> {
    let value = parse_decimal(field, text)?;
    if value > Decimal::ZERO {
        Ok(value)
    } else {
        Err(FieldError::new(field, text, "must be greater than 0"))
    }
}

/// Like [`parse_decimal`], and not below zero.
///
/// # Errors
/// Names the field, the value and the rule.
pub fn parse_non_negative(field: &str, text: &str) -> Result<Decimal, FieldError> {
    let value = parse_decimal(field, text)?;
    if value >= Decimal::ZERO {
        Ok(value.abs())
    } else {
        Err(FieldError::new(field, text, "must not be negative"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn p8_garbage_is_refused_with_field_value_and_rule() {
        for bad in [
            "", "-", ".", "1.", ".5", "1e5", "+1", "1,000", " 1", "1 ", "0x10", "NaN", "inf", "--1", "1.2.3", "١",
        ] {
            let error = parse_decimal("quote_amount", bad).expect_err(bad);
            assert_eq!(error.field, "quote_amount");
            assert!(!error.rule.is_empty());
        }
        assert!(parse_decimal("q", &format!("1{}", "0".repeat(30))).is_err());
        assert!(parse_decimal("q", &"9".repeat(10_000)).is_err());
        assert!(parse_positive("q", "0").is_err());
        assert!(parse_positive("q", "-1").is_err());
    }

    #[test]
    fn p8_the_bounds_are_exact() {
        let most = "9".repeat(28);
        assert_eq!(parse_decimal("q", &most).expect("28 digits").to_string(), most);
        assert!(parse_decimal("q", &"9".repeat(29)).is_err());
        assert_eq!(
            parse_decimal("q", "0.0000000000000000000000000001")
                .expect("28 places")
                .scale(),
            28
        );
    }

    proptest! {
        #[test]
        fn p8_what_was_written_is_what_is_read(whole in 0u64..=u64::MAX, fraction in "[0-9]{1,8}") {
            let text = format!("{whole}.{fraction}");
            prop_assert_eq!(parse_decimal("q", &text).expect("in range").to_string(), text);
        }

        #[test]
        fn p8_no_input_panics(text in ".{0,60}") {
            let _ = parse_decimal("q", &text);
        }
    }
}
