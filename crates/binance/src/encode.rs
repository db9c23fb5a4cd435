use std::fmt::Write;

/// Parameters in the order in which they were added, percent-encoded: what is signed is byte for byte what is sent.
#[derive(Default)]
pub(crate) struct Params(String);

impl Params {
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        percent_encode_into(&mut self.0, name);
        self.0.push('=');
        percent_encode_into(&mut self.0, value);
    }

    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.add(name, &value.to_string());
        self
    }

    pub(crate) fn with_some(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

/// RFC 3986: everything but letters, digits and `-._~` becomes `%XX`; a space is `%20`, never `+`.
fn percent_encode_into(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_a_query_is_encoded() {
        let params = Params::default()
            .with("symbols", r#"["BTCUSDT","ETHUSDT"]"#)
            .with("a b", "1&c=2'+/%~");
        assert_eq!(
            params.as_str(),
            "symbols=%5B%22BTCUSDT%22%2C%22ETHUSDT%22%5D&a%20b=1%26c%3D2%27%2B%2F%25~"
        );
    }

    #[test]
    fn other_scripts_are_encoded_as_utf8() {
        assert_eq!(Params::default().with("symbol", "人").as_str(), "symbol=%E4%BA%BA");
    }

    #[test]
    fn absent_values_leave_no_trace() {
        assert_eq!(
            Params::default()
                .with_some("fromId", None::<i64>)
                .with("limit", 5)
                .as_str(),
            "limit=5"
        );
    }

    proptest::proptest! {
        /// The URL parser must leave what was signed as it is, or the signature would not match.
        #[test]
        fn a_url_carries_the_signed_bytes_unchanged(value in "\\PC{0,40}") {
            let signed = Params::default().with("v", value).into_string();
            let url = reqwest::Url::parse(&format!("http://127.0.0.1/api?{signed}")).expect("a valid URL");
            proptest::prop_assert_eq!(url.query(), Some(signed.as_str()));
        }
    }
}
