use std::collections::HashMap;

use serde_json::Value;

use super::answer::Failure;
use super::multipart;

/// The parameters of one call, wherever they came from.
#[derive(Debug, Default)]
pub(crate) struct Params(HashMap<String, String>);

impl Params {
    /// Reads the query and the body (JSON, form or multipart); what stands in the body wins.
    ///
    /// # Errors
    /// When the body is not what its content type says.
    pub(crate) fn read(query: Option<&str>, content_type: &str, body: &[u8]) -> Result<Self, Failure> {
        let mut all: HashMap<String, String> = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
        let media_type = content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        match media_type.as_str() {
            _ if body.is_empty() => {}
            "application/json" => all.extend(json_fields(body)?),
            "multipart/form-data" => all.extend(
                multipart::fields(content_type, body).ok_or_else(|| Failure::bad_request("can't parse multipart"))?,
            ),
            _ => all.extend(url::form_urlencoded::parse(body).into_owned()),
        }
        Ok(Self(all))
    }

    /// A parameter that is there and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

fn json_fields(body: &[u8]) -> Result<impl Iterator<Item = (String, String)>, Failure> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else {
        return Err(Failure::bad_request("can't parse JSON object"));
    };
    Ok(fields.into_iter().filter_map(|(name, value)| match value {
        Value::Null => None,
        Value::String(text) => Some((name, text)),
        other => Some((name, other.to_string())),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_sending_says_the_same() {
        let multipart = "--B\r\nContent-Disposition: form-data; name=\"chat_id\"\r\n\r\n-7\r\n--B\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\na b&c\r\n--B--\r\n";
        for (query, content_type, body) in [
            (Some("chat_id=-7&text=a+b%26c"), "", ""),
            (None, "application/x-www-form-urlencoded", "chat_id=-7&text=a%20b%26c"),
            (
                None,
                "application/json; charset=utf-8",
                r#"{"chat_id":-7,"text":"a b&c","entities":null}"#,
            ),
            (
                Some("text=overruled"),
                "Application/JSON",
                r#"{"chat_id":"-7","text":"a b&c"}"#,
            ),
            (None, "multipart/form-data; boundary=B", multipart),
            (None, "multipart/form-data; boundary=\"B\"", multipart),
        ] {
            let params = Params::read(query, content_type, body.as_bytes()).expect(content_type);
            assert_eq!(
                (params.get("chat_id"), params.get("text")),
                (Some("-7"), Some("a b&c")),
                "{content_type}"
            );
        }
    }

    #[test]
    fn a_body_that_is_not_what_it_says_is_refused() {
        for (content_type, body) in [
            ("application/json", "[]"),
            ("application/json", "{"),
            ("multipart/form-data", "x"),
            ("multipart/form-data; boundary=B", "x"),
        ] {
            assert!(
                Params::read(None, content_type, body.as_bytes()).is_err(),
                "{content_type} {body}"
            );
        }
    }
}
