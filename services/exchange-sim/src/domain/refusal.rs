//! What the exchange answers when it says no: `{code, msg}` with the HTTP status of the documentation.

use serde_json::{Value, json};

/// A refusal in the exchange's own words.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// The exchange's error code.
    pub code: i32,
    /// The exchange's message.
    pub msg: String,
    /// `data` of cancel-replace refusals.
    pub data: Option<Value>,
    /// Seconds for the `Retry-After` header of 429 and 418.
    pub retry_after_s: Option<u64>,
}

impl ApiError {
    /// A refusal with HTTP 400.
    pub fn new(code: i32, msg: impl Into<String>) -> Self {
        Self {
            status: 400,
            code,
            msg: msg.into(),
            data: None,
            retry_after_s: None,
        }
    }

    /// The same with another HTTP status.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same with seconds to wait.
    pub fn with_retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// -1013, a filter failed; the order never reached matching.
    pub fn filter(name: &str) -> Self {
        Self::new(-1013, format!("Filter failure: {name}"))
    }

    /// -2010, refused by matching.
    pub fn order(msg: &str) -> Self {
        Self::new(-2010, msg)
    }

    /// -2010 for want of funds.
    pub fn insufficient() -> Self {
        Self::order("Account has insufficient balance for requested action.")
    }

    /// -2011, nothing to cancel.
    pub fn unknown_order() -> Self {
        Self::new(-2011, "Unknown order sent.")
    }

    /// -1102 for a missing or malformed parameter.
    pub fn mandatory(name: &str) -> Self {
        Self::new(
            -1102,
            format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed."),
        )
    }

    /// -1100 for characters outside the legal range.
    pub fn illegal(name: &str, range: &str) -> Self {
        Self::new(
            -1100,
            format!("Illegal characters found in parameter '{name}'; legal range is '{range}'."),
        )
    }

    /// -1106 for a parameter that the order type does not take.
    pub fn not_required(name: &str) -> Self {
        Self::new(-1106, format!("Parameter '{name}' sent when not required."))
    }

    /// The answer body.
    pub fn body(&self) -> Value {
        let mut body = json!({ "code": self.code, "msg": self.msg });
        if let Some(data) = &self.data {
            body["data"] = data.clone();
        }
        body
    }
}
