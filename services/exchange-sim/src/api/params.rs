//! Request parameters and the exchange's rules for reading them.

use rust_decimal::Decimal;
use url::form_urlencoded;

use crate::domain::{ApiError, parse_decimal};

/// Parameters a request may have.
const MAX_PARAMS: usize = 64;
const INTEGER_RANGE: &str = "^[0-9]{1,20}$";
const DECIMAL_RANGE: &str = "^([0-9]{1,20})(\\.[0-9]{1,20})?$";
/// Legal range of client order ids.
pub const CLIENT_ID_RANGE: &str = "^[a-zA-Z0-9-_]{1,36}$";
const SYMBOL_RANGE: &str = "^[A-Z0-9-_.]{1,20}$";

/// Parameters in the order they were sent.
#[derive(Debug, Clone, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Reads a query string and a form body; where both name a parameter the query counts.
    ///
    /// # Errors
    /// -1101 for too many parameters or one sent twice in the same place.
    pub fn from_query_and_body(query: &str, body: &str) -> Result<Self, ApiError> {
        let mut params = Self::default();
        for (part, is_body) in [(query, false), (body, true)] {
            let mut seen = Vec::new();
            for (name, value) in form_urlencoded::parse(part.as_bytes()) {
                if seen.contains(&name) {
                    return Err(ApiError::new(-1101, "Duplicate values for a parameter detected."));
                }
                if !(is_body && params.get(&name).is_some()) {
                    params.push(name.to_string(), value.into_owned())?;
                }
                seen.push(name);
            }
        }
        Ok(params)
    }

    /// Adds a parameter.
    ///
    /// # Errors
    /// -1101 when there are too many.
    pub fn push(&mut self, name: String, value: String) -> Result<(), ApiError> {
        if self.0.len() == MAX_PARAMS {
            return Err(ApiError::new(
                -1101,
                format!("Too many parameters; expected '{MAX_PARAMS}' at most."),
            ));
        }
        self.0.push((name, value));
        Ok(())
    }

    /// A value as sent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// A value that must not be empty when sent.
    ///
    /// # Errors
    /// -1105 when it is empty.
    pub fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        match self.get(name) {
            Some("") => Err(ApiError::new(-1105, format!("Parameter '{name}' was empty."))),
            other => Ok(other),
        }
    }

    /// A value that must be sent.
    ///
    /// # Errors
    /// -1102 when it is missing, -1105 when it is empty.
    pub fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.text(name)?.ok_or_else(|| ApiError::mandatory(name))
    }

    /// A whole number.
    ///
    /// # Errors
    /// -1100 for anything else, -1108 beyond 63 bits.
    pub fn integer(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        if text.len() > 20 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ApiError::illegal(name, INTEGER_RANGE));
        }
        let value = text.parse::<u64>().ok().filter(|v| i64::try_from(*v).is_ok());
        value
            .map(Some)
            .ok_or_else(|| ApiError::new(-1108, format!("Parameter '{name}' overflowed.")))
    }

    /// A time in ms (or microseconds, told by its size), as ms.
    ///
    /// # Errors
    /// As for whole numbers.
    pub fn time_ms(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let value = self.integer(name)?.and_then(|v| i64::try_from(v).ok());
        Ok(value.map(|v| if v >= 100_000_000_000_000 { v / 1_000 } else { v }))
    }

    /// `limit`: 1 to `max`, where more is taken as `max`.
    ///
    /// # Errors
    /// -1130 for zero.
    pub fn limit(&self, default: usize, max: usize) -> Result<usize, ApiError> {
        match self.integer("limit")? {
            Some(0) => Err(ApiError::new(-1130, "Data sent for parameter 'limit' is not valid.")),
            Some(limit) => Ok(usize::try_from(limit).unwrap_or(max).min(max)),
            None => Ok(default),
        }
    }

    /// An amount.
    ///
    /// # Errors
    /// -1100 outside the grammar, -1111 beyond eight decimals.
    pub fn decimal(&self, name: &str) -> Result<Option<Decimal>, ApiError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match parse_decimal(text) {
            Ok(value) => Ok(Some(value)),
            Err(crate::domain::BadDecimal::Grammar) => Err(ApiError::illegal(name, DECIMAL_RANGE)),
            Err(crate::domain::BadDecimal::Precision) => Err(ApiError::new(
                -1111,
                format!("Parameter '{name}' has too much precision."),
            )),
        }
    }

    /// An amount above zero.
    ///
    /// # Errors
    /// As for amounts; -1013 for zero.
    pub fn positive(&self, name: &str) -> Result<Option<Decimal>, ApiError> {
        match self.decimal(name)? {
            Some(value) if value.is_zero() => Err(ApiError::new(-1013, format!("Invalid {name}."))),
            other => Ok(other),
        }
    }

    /// A client order id.
    ///
    /// # Errors
    /// -1100 outside the legal range.
    pub fn client_id(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let legal = text.len() <= 36
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if legal {
            Ok(Some(text))
        } else {
            Err(ApiError::illegal(name, CLIENT_ID_RANGE))
        }
    }

    /// A symbol's name, not yet looked up.
    ///
    /// # Errors
    /// -1100 outside the legal range.
    pub fn symbol(&self) -> Result<Option<&str>, ApiError> {
        let Some(text) = self.text("symbol")? else {
            return Ok(None);
        };
        let legal = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b"-_.".contains(&b);
        if text.len() <= 20 && text.bytes().all(legal) {
            Ok(Some(text))
        } else {
            Err(ApiError::illegal("symbol", SYMBOL_RANGE))
        }
    }

    /// A symbol that must be sent.
    ///
    /// # Errors
    /// As for `symbol`, or -1102.
    pub fn required_symbol(&self) -> Result<&str, ApiError> {
        self.symbol()?.ok_or_else(|| ApiError::mandatory("symbol"))
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// -1130 for anything else.
    pub fn boolean(&self, name: &str) -> Result<bool, ApiError> {
        match self.text(name)? {
            None => Ok(false),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(_) => Err(ApiError::new(
                -1130,
                format!("Data sent for parameter '{name}' is not valid."),
            )),
        }
    }
}
