use crate::json::{JsonFault, Scanner};

/// How deep objects and arrays may nest; the payload itself counts as one.
pub const PAYLOAD_DEPTH_MAX: usize = 32;

/// The free part of an event: a JSON object without white space between its tokens, otherwise exactly as it was given.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Payload(String);

/// The payload is not a JSON object that every reader understands alike.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON object of at most {PAYLOAD_DEPTH_MAX} levels in which each key stands once: at byte {at}: {rule}")]
pub struct PayloadError {
    /// Where in the text, from 0.
    pub at: usize,
    pub rule: &'static str,
}

impl From<JsonFault> for PayloadError {
    fn from(fault: JsonFault) -> Self {
        Self {
            at: fault.at,
            rule: fault.rule,
        }
    }
}

impl Payload {
    /// `{}`.
    pub fn empty() -> Self {
        Self("{}".to_owned())
    }

    /// Reads a JSON object. Numbers, escapes and the order of keys stay as they are.
    ///
    /// # Errors
    /// Says where the text is not such an object.
    pub fn parse(text: &str) -> Result<Self, PayloadError> {
        let mut scanner = Scanner::new(text, PAYLOAD_DEPTH_MAX);
        scanner.skip_space();
        if scanner.peek() != Some(b'{') {
            return Err(PayloadError {
                at: scanner.at(),
                rule: "it must be an object",
            });
        }
        let mut compact = String::with_capacity(text.len());
        scanner.value(0, &mut compact)?;
        scanner.skip_space();
        if !scanner.at_end() {
            return Err(PayloadError {
                at: scanner.at(),
                rule: "nothing may follow the object",
            });
        }
        Ok(Self(compact))
    }

    /// Takes the payload at the place of a scanner, which stands inside a line.
    pub(crate) fn scan(scanner: &mut Scanner<'_>) -> Result<Self, JsonFault> {
        if scanner.peek() != Some(b'{') {
            return Err(JsonFault {
                at: scanner.at(),
                rule: "the payload must be an object",
            });
        }
        let mut compact = String::new();
        scanner.value(0, &mut compact)?;
        Ok(Self(compact))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_keeps_numbers_escapes_and_the_order_of_keys() {
        let text = " { \"z\" : 100000000000000000000000000000.10 , \"a\" : [ 1e300 , -0, \"\\u0041\\/\", {} , [ ] ] } ";
        let payload = Payload::parse(text).expect("valid");
        assert_eq!(
            payload.as_str(),
            r#"{"z":100000000000000000000000000000.10,"a":[1e300,-0,"\u0041\/",{},[]]}"#
        );
    }

    #[test]
    fn what_two_readers_could_understand_differently_is_refused() {
        let bad = [
            "",
            "[]",
            "1",
            "null",
            "{",
            "{}{}",
            "{} x",
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":01}"#,
            r#"{"a":.5}"#,
            r#"{"a":5.}"#,
            r#"{"a":+1}"#,
            r#"{"a":NaN}"#,
            r#"{"a":'b'}"#,
            r#"{a:1}"#,
            r#"{"a":1,}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\ud800\u0041"}"#,
            r#"{"a":"\udc00"}"#,
            r#"{"a":"\x"}"#,
            r#"{"a":"\u12g4"}"#,
            "{\"a\":\"\n\"}",
            "{\"a\":\"\0\"}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":[1 2]}"#,
            r#"{"a":tru}"#,
            "\u{feff}{}",
            r#"{"a":"\u00é"}"#,
            r#"{"a":1e}"#,
            r#"{"a":-}"#,
            r#"{"a":1e400}"#,
        ];
        for text in bad {
            assert!(Payload::parse(text).is_err(), "{text:?}");
        }
        assert!(Payload::parse(r#"{"a":"\ud83d\ude80","b":"🚀\u2028 \u0000"}"#).is_ok());
    }

    #[test]
    fn nesting_ends_at_32_levels_and_a_hostile_depth_costs_no_stack() {
        let nested = |levels: usize| format!("{}{}", "{\"a\":".repeat(levels - 1) + "{}", "}".repeat(levels - 1));
        assert!(Payload::parse(&nested(PAYLOAD_DEPTH_MAX)).is_ok());
        assert!(Payload::parse(&nested(PAYLOAD_DEPTH_MAX + 1)).is_err());
        assert!(Payload::parse(&format!("{{\"a\":{}", "[".repeat(1_000_000))).is_err());
    }
}
