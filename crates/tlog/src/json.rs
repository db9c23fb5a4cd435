//! A strict reader of JSON text (RFC 8259) that keeps what was written: numbers stay the digits that they were, so that
//! no value changes on its way into the log. It drops the white space between tokens, and refuses what two readers
//! could understand differently: a key that stands twice in an object, half a surrogate pair.

use std::collections::HashSet;

/// What is wrong with a JSON text, and at which byte.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {rule}")]
pub(crate) struct JsonFault {
    pub at: usize,
    pub rule: &'static str,
}

#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth_max: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str, depth_max: usize) -> Self {
        Self { text, at: 0, depth_max }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn at_end(&self) -> bool {
        self.at == self.text.len()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn fault<T>(&self, rule: &'static str) -> Result<T, JsonFault> {
        Err(JsonFault { at: self.at, rule })
    }

    /// Takes exactly these bytes.
    pub(crate) fn literal(&mut self, expected: &str, rule: &'static str) -> Result<(), JsonFault> {
        if self.text.as_bytes()[self.at..].starts_with(expected.as_bytes()) {
            self.at += expected.len();
            return Ok(());
        }
        self.fault(rule)
    }

    pub(crate) fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// One or more digits without a leading zero, as text.
    pub(crate) fn digits(&mut self) -> Result<&'a str, JsonFault> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        let digits = &self.text[start..self.at];
        if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
            self.at = start;
            return self.fault("a whole number without leading zeros must stand here");
        }
        Ok(digits)
    }

    /// A string with its quotes, as it is written.
    pub(crate) fn string(&mut self) -> Result<&'a str, JsonFault> {
        let start = self.at;
        self.literal("\"", "a string must stand here")?;
        loop {
            match self.peek() {
                None => return self.fault("the string does not end"),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(&self.text[start..self.at]);
                }
                Some(b'\\') => self.escape()?,
                Some(0..=0x1f) => return self.fault("a control character in a string must be escaped"),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonFault> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => {
                let high = self.code_unit()?;
                if (0xdc00..0xe000).contains(&high) {
                    return self.fault("half a surrogate pair");
                }
                if !(0xd800..0xdc00).contains(&high) {
                    return Ok(());
                }
                self.literal("\\", "half a surrogate pair")?;
                match self.peek() {
                    Some(b'u') if (0xdc00..0xe000).contains(&self.code_unit()?) => Ok(()),
                    _ => self.fault("half a surrogate pair"),
                }
            }
            _ => self.fault("no such escape"),
        }
    }

    /// The four hex digits after `u`.
    fn code_unit(&mut self) -> Result<u32, JsonFault> {
        let digits = self.text.as_bytes().get(self.at + 1..self.at + 5);
        let unit = digits.and_then(|d| {
            d.iter()
                .try_fold(0u32, |unit, b| Some(unit * 16 + char::from(*b).to_digit(16)?))
        });
        match unit {
            Some(unit) => {
                self.at += 5;
                Ok(unit)
            }
            None => self.fault("four hex digits must follow \\u"),
        }
    }

    fn number(&mut self, out: &mut String) -> Result<(), JsonFault> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        self.digits()?;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        let digits = &self.text[start..self.at];
        // Not arithmetic: only whether every reader can hold the number at all.
        if !digits.parse::<f64>().is_ok_and(|value| value.abs() < 1e308) {
            return Err(JsonFault {
                at: start,
                rule: "the number is beyond what JSON readers can hold",
            });
        }
        out.push_str(digits);
        Ok(())
    }

    fn some_digits(&mut self) -> Result<(), JsonFault> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return self.fault("a digit must stand here");
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    /// Any value, written to `out` without white space. `depth` counts the objects and arrays around it.
    pub(crate) fn value(&mut self, depth: usize, out: &mut String) -> Result<(), JsonFault> {
        match self.peek() {
            Some(b'{' | b'[') if depth >= self.depth_max => self.fault("nested too deeply"),
            Some(b'{') => self.object(depth + 1, out),
            Some(b'[') => self.array(depth + 1, out),
            Some(b'"') => {
                out.push_str(self.string()?);
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => self.number(out),
            _ => {
                for word in ["true", "false", "null"] {
                    if self.literal(word, "").is_ok() {
                        out.push_str(word);
                        return Ok(());
                    }
                }
                self.fault("a JSON value must stand here")
            }
        }
    }

    fn object(&mut self, depth: usize, out: &mut String) -> Result<(), JsonFault> {
        let mut keys = HashSet::new();
        self.literal("{", "an object must stand here")?;
        out.push('{');
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            out.push('}');
            return Ok(());
        }
        loop {
            self.skip_space();
            let key_at = self.at;
            let key = self.string()?;
            let name: String = serde_json::from_str(key).map_err(|_| JsonFault {
                at: key_at,
                rule: "the key is not a string",
            })?;
            if !keys.insert(name) {
                return Err(JsonFault {
                    at: key_at,
                    rule: "this key stands in the object already",
                });
            }
            out.push_str(key);
            self.skip_space();
            self.literal(":", "a colon must follow the key")?;
            out.push(':');
            self.skip_space();
            self.value(depth, out)?;
            if self.ends("}", out)? {
                return Ok(());
            }
        }
    }

    fn array(&mut self, depth: usize, out: &mut String) -> Result<(), JsonFault> {
        self.literal("[", "an array must stand here")?;
        out.push('[');
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            out.push(']');
            return Ok(());
        }
        loop {
            self.skip_space();
            self.value(depth, out)?;
            if self.ends("]", out)? {
                return Ok(());
            }
        }
    }

    /// Takes the comma (false) or the closing bracket (true).
    fn ends(&mut self, close: &'static str, out: &mut String) -> Result<bool, JsonFault> {
        self.skip_space();
        if self.literal(close, "").is_ok() {
            out.push_str(close);
            return Ok(true);
        }
        self.literal(",", "a comma or the closing bracket must stand here")?;
        out.push(',');
        Ok(false)
    }
}
