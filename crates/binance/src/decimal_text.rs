use rust_decimal::Decimal;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Reads a decimal from a JSON string only: a JSON number has gone through a float somewhere.
pub(crate) fn decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    let text = String::deserialize(deserializer)?;
    thunes_types::parse_decimal("decimal", &text).map_err(D::Error::custom)
}

/// Like [`decimal`]; an absent field (with `#[serde(default)]`) or null is `None`.
pub(crate) fn optional_decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| thunes_types::parse_decimal("decimal", &text).map_err(D::Error::custom))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Debug)]
    struct Money {
        #[serde(deserialize_with = "decimal")]
        amount: Decimal,
    }

    #[test]
    fn money_is_read_exactly_and_from_strings_only() {
        let read = |json: &str| serde_json::from_str::<Money>(json).map(|m| m.amount.to_string());
        assert_eq!(read(r#"{"amount":"0.10000000"}"#).expect("a string"), "0.10000000");
        assert_eq!(read(r#"{"amount":"-1.5","extra":[]}"#).expect("a string"), "-1.5");
        for bad in [
            r#"{"amount":0.1}"#,
            r#"{"amount":1}"#,
            r#"{"amount":"1e5"}"#,
            r#"{"amount":null}"#,
            "{}",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
