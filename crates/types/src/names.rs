use std::fmt;

use crate::FieldError;

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $field:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Reads the name from the wire.
            ///
            /// # Errors
            /// Names the field, the value and the rule.
            pub fn parse(text: &str) -> Result<Self, FieldError> {
                Self::parse_as($field, text)
            }

            /// Like `parse`, for a field of another name.
            ///
            /// # Errors
            /// Names the field, the value and the rule.
            pub fn parse_as(field: &str, text: &str) -> Result<Self, FieldError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.to_owned())) } else { Err(FieldError::new(field, text, $rule)) }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_type!(
    /// An instrument at the exchange, such as BTCUSDT.
    Symbol, "symbol", "1 to 20 upper case letters and digits, such as BTCUSDT",
    |t| (1..=20).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
);
name_type!(
    /// Our name for an order; it makes at most one order at the exchange.
    ClientOrderId, "client_order_id", "1 to 36 characters of a-z, A-Z, 0-9, - and _",
    |t| (1..=36).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
);
name_type!(
    /// Which strategy an order belongs to; may be empty.
    StrategyId, "strategy_id", "at most 64 characters of a-z, A-Z, 0-9, -, _ and .",
    |t| t.len() <= 64 && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
);
name_type!(
    /// A caller's name for one request, so that repeating it is harmless.
    RequestId, "request_id", "1 to 64 characters of a-z, A-Z, 0-9, -, _, . and :",
    |t| (1..=64).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
);
name_type!(
    /// Why a person or a program did something; goes to the audit trail as it is.
    Reason, "reason", "1 to 512 characters, not only spaces, no control characters",
    |t| (1..=512).contains(&t.chars().count()) && !t.trim().is_empty() && !t.chars().any(char::is_control)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_beyond_their_bounds() {
        assert!(Symbol::parse("BTCUSDT").is_ok());
        for bad in ["", "btcusdt", "BTC/USDT", "BTCUSDT\0", &"A".repeat(21)] {
            assert!(Symbol::parse(bad).is_err(), "{bad:?}");
        }
        assert!(ClientOrderId::parse(&"a".repeat(36)).is_ok());
        assert!(ClientOrderId::parse(&"a".repeat(37)).is_err());
        assert!(ClientOrderId::parse("a b").is_err());
        assert!(Reason::parse(&"ü".repeat(512)).is_ok());
        assert!(Reason::parse(&"ü".repeat(513)).is_err());
        assert!(Reason::parse("   ").is_err());
        assert!(Reason::parse("two\nlines").is_err());
        let error = Reason::parse(&"x".repeat(10_000)).expect_err("too long");
        assert!(error.value.chars().count() < 100, "a hostile value is not echoed whole");
    }
}
