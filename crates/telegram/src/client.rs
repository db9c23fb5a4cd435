use std::error::Error;
use std::fmt;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

/// Telegram's own Bot API.
pub const API_URL: &str = "https://api.telegram.org";
/// The longest text that the Bot API takes, in UTF-16 code units; longer ones are cut.
pub const TEXT_UNITS_MAX: usize = 4096;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// What is waited after a 429 that does not say how long.
const RETRY_DEFAULT_MS: i64 = 1_000;
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
const DESCRIPTION_CHARS_MAX: usize = 300;

/// How the sending of one message ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum SendOutcome {
    /// The Bot API has it.
    Accepted { message_id: i64 },
    /// Too many messages: nothing may be sent before this time is over.
    RetryAfter { ms: i64 },
    /// The Bot API does not want this message (bad token, chat or text): sending it again changes nothing.
    Refused { description: String },
    /// No clear answer. The message may have arrived all the same, so sending it again may repeat it.
    Unreachable { why: String },
}

/// Why no client could be made. The token is never named.
#[derive(Debug, thiserror::Error)]
pub enum TelegramError {
    #[error("base URL {url:?} is not accepted: scheme (http or https), host and at most a path, such as {API_URL}")]
    BaseUrl { url: String },
    #[error("the bot token is not accepted: letters, digits, colon, hyphen and underscore, as BotFather gives it")]
    Token,
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    #[error("the HTTP client cannot be built")]
    Http(#[source] reqwest::Error),
}

/// Sends messages as one bot. The token appears in no log, `Debug` output or error text.
pub struct TelegramClient {
    http: reqwest::Client,
    base_url: String,
    token: SecretString,
}

#[derive(Deserialize)]
struct Answer {
    ok: bool,
    #[serde(default)]
    result: Option<SentMessage>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct SentMessage {
    message_id: i64,
}

#[derive(Deserialize)]
struct Parameters {
    /// Seconds.
    retry_after: Option<i64>,
}

impl TelegramClient {
    /// A client for the Bot API at `base_url`, such as [`API_URL`].
    ///
    /// # Errors
    /// When the URL or the token is malformed, or TLS cannot be set up.
    pub fn new(base_url: &str, token: impl Into<SecretString>) -> Result<Self, TelegramError> {
        let token = token.into();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b":-_".contains(&byte);
        if token.expose_secret().is_empty() || !token.expose_secret().bytes().all(fits) {
            return Err(TelegramError::Token);
        }
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(crate::tls::tls_config().map_err(TelegramError::Tls)?)
            .retry(reqwest::retry::never())
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .user_agent("thunes")
            .build()
            .map_err(TelegramError::Http)?;
        Ok(Self {
            http,
            base_url: accepted_base_url(base_url)?,
            token,
        })
    }

    /// Sends one message to a chat (a number, or the `@name` of a channel). One attempt: the caller decides about more.
    pub async fn send_message(&self, chat_id: &str, text: &str) -> SendOutcome {
        let url = format!("{}/bot{}/sendMessage", self.base_url, self.token.expose_secret());
        let message = json!({"chat_id": chat_id, "text": cut(text)});
        match self.http.post(url).json(&message).send().await {
            Ok(response) => read(response).await,
            Err(error) => SendOutcome::Unreachable { why: describe(error) },
        }
    }
}

impl fmt::Debug for TelegramClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TelegramClient")
            .field("base_url", &self.base_url)
            .field("token", &"[hidden]")
            .finish()
    }
}

async fn read(mut response: Response) -> SendOutcome {
    let status = response.status().as_u16();
    let header_ms = retry_after_ms(response.headers());
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => return outcome(status, header_ms, &body),
            Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_BYTES_MAX => body.extend_from_slice(&chunk),
            Ok(Some(_)) => {
                return SendOutcome::Unreachable {
                    why: "the answer is too large".to_owned(),
                };
            }
            Err(error) => return SendOutcome::Unreachable { why: describe(error) },
        }
    }
}

fn outcome(status: u16, header_ms: Option<i64>, body: &[u8]) -> SendOutcome {
    let answer: Option<Answer> = serde_json::from_slice(body).ok();
    let description = answer.as_ref().and_then(|a| a.description.clone());
    let described = || shorten(&description.unwrap_or_else(|| format!("HTTP {status}")));
    match (status, answer) {
        (
            200,
            Some(Answer {
                ok: true,
                result: Some(message),
                ..
            }),
        ) => SendOutcome::Accepted {
            message_id: message.message_id,
        },
        (429, answer) => {
            let seconds = answer
                .and_then(|a| a.parameters)
                .and_then(|p| p.retry_after)
                .filter(|s| *s >= 0);
            let told_ms = seconds.map(|s| s.saturating_mul(1000)).or(header_ms);
            SendOutcome::RetryAfter {
                ms: told_ms.unwrap_or(RETRY_DEFAULT_MS),
            }
        }
        (400..=499, _) => SendOutcome::Refused {
            description: described(),
        },
        (200..=299, _) => SendOutcome::Unreachable {
            why: "the answer cannot be read".to_owned(),
        },
        _ => SendOutcome::Unreachable { why: described() },
    }
}

fn retry_after_ms(headers: &HeaderMap) -> Option<i64> {
    let seconds: i64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    (seconds >= 0).then(|| seconds.saturating_mul(1000))
}

fn accepted_base_url(text: &str) -> Result<String, TelegramError> {
    let accepted = Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    });
    if accepted {
        return Ok(text.trim_end_matches('/').to_owned());
    }
    // What is refused may hold a password.
    let shown = if text.contains('@') {
        "(hidden)".to_owned()
    } else {
        text.chars().take(200).collect()
    };
    Err(TelegramError::BaseUrl { url: shown })
}

/// A cut alert is better than one that is refused for its length.
fn cut(text: &str) -> String {
    if text.encode_utf16().count() <= TEXT_UNITS_MAX {
        return text.to_owned();
    }
    let mut units = 0;
    let fits = |c: &char| {
        units += c.len_utf16();
        units < TEXT_UNITS_MAX
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

/// The error and its causes, without the URL: that one holds the token.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    shorten(&text)
}

fn shorten(text: &str) -> String {
    text.chars()
        .take(DESCRIPTION_CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let accepted = r#"{"ok":true,"result":{"message_id":7,"date":1,"chat":{"id":1,"type":"private"},"text":"x"}}"#;
        assert_eq!(
            outcome(200, None, accepted.as_bytes()),
            SendOutcome::Accepted { message_id: 7 }
        );
        let slow = br#"{"ok":false,"error_code":429,"description":"Too Many Requests","parameters":{"retry_after":3}}"#;
        assert_eq!(outcome(429, Some(9_000), slow), SendOutcome::RetryAfter { ms: 3_000 });
        assert_eq!(
            outcome(429, Some(9_000), b"<html>"),
            SendOutcome::RetryAfter { ms: 9_000 }
        );
        assert_eq!(
            outcome(429, None, b""),
            SendOutcome::RetryAfter { ms: RETRY_DEFAULT_MS }
        );
        let refused = br#"{"ok":false,"error_code":400,"description":"Bad Request: chat not found"}"#;
        let description = "Bad Request: chat not found".to_owned();
        assert_eq!(outcome(400, None, refused), SendOutcome::Refused { description });
        assert_eq!(
            outcome(404, None, b"<html>"),
            SendOutcome::Refused {
                description: "HTTP 404".to_owned()
            }
        );
        for (status, body) in [
            (500, "{}"),
            (502, "<html>"),
            (302, ""),
            (200, "<html>"),
            (200, "{}"),
            (200, r#"{"ok":true}"#),
        ] {
            assert!(
                matches!(outcome(status, None, body.as_bytes()), SendOutcome::Unreachable { .. }),
                "{status} {body}"
            );
        }
    }

    #[test]
    fn long_texts_are_cut_to_the_bound_and_no_character_in_two() {
        assert_eq!(cut(&"a".repeat(TEXT_UNITS_MAX)).len(), TEXT_UNITS_MAX);
        for text in [
            "a".repeat(10_000),
            "🚨".repeat(10_000),
            format!("a{}", "🚨".repeat(10_000)),
        ] {
            let cut = cut(&text);
            assert!(cut.encode_utf16().count() <= TEXT_UNITS_MAX && cut.ends_with('…'));
            assert!(cut.encode_utf16().count() >= TEXT_UNITS_MAX - 1);
        }
    }

    #[test]
    fn p8_malformed_settings_are_refused_without_the_secret() {
        for token in ["", "a b", "1:x/y", "1:x\n"] {
            let error = TelegramClient::new(API_URL, token).expect_err(token).to_string();
            assert!(token.is_empty() || !error.contains(token), "{error}");
        }
        for url in [
            "",
            "api.telegram.org",
            "ftp://a",
            "https://a/?x=1",
            "https://me:secret@a",
        ] {
            let error = TelegramClient::new(url, "1:x").expect_err(url).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn debug_output_holds_no_token() {
        let client = TelegramClient::new(API_URL, "123:hush").expect("a client");
        assert!(!format!("{client:?}").contains("hush"));
    }
}
