use std::error::Error;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Request, Response, Url};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thunes_runtime::{clock, current_trace_id};
use thunes_types::Symbol;
use tracing::Instrument;

use crate::classify::{RawAnswer, classify};
use crate::encode::Params;
use crate::{Credentials, Doubt, DoubtWhy, ExchangeInfo, Outcome, ServerTime, SignedRequest, TickerPrice};

/// The largest answer that is read: the rules of the whole exchange are about half of this.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Idle connections are dropped before the other side is likely to close them under a request.
const POOL_IDLE: Duration = Duration::from_secs(20);
const POOL_CONNECTIONS_MAX: usize = 16;

/// Where the exchange is and how long to wait for it.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Scheme and host without a path, such as `https://testnet.binance.vision`.
    pub base_url: String,
    pub connect_timeout_ms: u64,
    /// For placing and canceling.
    pub order_timeout_ms: u64,
    /// For everything else.
    pub read_timeout_ms: u64,
}

impl ClientConfig {
    /// The usual waits: 1 s to connect, 5 s for orders, 10 s for reads.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            connect_timeout_ms: 1_000,
            order_timeout_ms: 5_000,
            read_timeout_ms: 10_000,
        }
    }
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("base URL {url:?} is not accepted: {rule}")]
    BaseUrl { url: String, rule: &'static str },
    #[error("the API key holds characters that no HTTP header can carry")]
    ApiKey,
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    #[error("the HTTP client cannot be built")]
    Http(#[source] reqwest::Error),
}

/// A client for the exchange's REST API. Cheap to share by reference; holds its connections.
pub struct BinanceClient {
    http: reqwest::Client,
    base_url: String,
    credentials: Credentials,
    api_key: HeaderValue,
    order_timeout: Duration,
    read_timeout: Duration,
    used_weight_1m: AtomicU32,
}

impl BinanceClient {
    /// A client that sends every request at most once: no retries, no redirects, no proxy from the environment.
    ///
    /// # Errors
    /// When the base URL or the API key is malformed, or TLS cannot be set up.
    pub fn new(config: ClientConfig, credentials: Credentials) -> Result<Self, ClientError> {
        let base_url = accepted_base_url(&config.base_url)?;
        let mut api_key =
            HeaderValue::from_str(credentials.api_key.expose_secret()).map_err(|_| ClientError::ApiKey)?;
        api_key.set_sensitive(true);
        let http = reqwest::Client::builder()
            // Without this, the HTTP library may send a request again when the other side says that it did not process it.
            .retry(reqwest::retry::never())
            .tls_backend_preconfigured(crate::tls::tls_config().map_err(ClientError::Tls)?)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_millis(config.connect_timeout_ms))
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_CONNECTIONS_MAX)
            .user_agent("thunes")
            .build()
            .map_err(ClientError::Http)?;
        Ok(Self {
            http,
            base_url,
            credentials,
            api_key,
            order_timeout: Duration::from_millis(config.order_timeout_ms),
            read_timeout: Duration::from_millis(config.read_timeout_ms),
            used_weight_1m: AtomicU32::new(0),
        })
    }

    /// The request weight that this address used in the current minute, as the last answer told it.
    pub fn used_weight_1m(&self) -> u32 {
        self.used_weight_1m.load(Ordering::Relaxed)
    }

    /// Sends a signed request. It is consumed: nothing can send it a second time. A caller that drops this future before
    /// it ends must take the outcome as unknown.
    pub async fn send<T: DeserializeOwned>(&self, signed: SignedRequest<T>) -> Outcome<T> {
        let SignedRequest {
            method,
            path,
            mut payload,
            signature,
            timeout,
            ..
        } = signed;
        let mut tail = Params::default();
        tail.add("signature", &signature);
        payload.push('&');
        payload.push_str(tail.as_str());
        self.call(method, path, payload, timeout).await
    }

    /// The exchange's clock, with readings of CLOCK_BOOTTIME around it.
    pub async fn server_time(&self) -> Outcome<ServerTime> {
        #[derive(Deserialize)]
        struct Body {
            #[serde(rename = "serverTime")]
            server_time_ms: i64,
        }
        let sent_boot_us = clock::boot_us();
        let outcome = self
            .call::<Body>(Method::GET, "/api/v3/time", String::new(), self.read_timeout)
            .await;
        let received_boot_us = clock::boot_us();
        outcome.map(|body| ServerTime {
            server_time_ms: body.server_time_ms,
            sent_boot_us,
            received_boot_us,
        })
    }

    /// The rules of these symbols, or of all when none is named.
    pub async fn exchange_info(&self, symbols: &[Symbol]) -> Outcome<ExchangeInfo> {
        self.call(
            Method::GET,
            "/api/v3/exchangeInfo",
            symbols_query(symbols),
            self.read_timeout,
        )
        .await
    }

    /// The last prices of these symbols, or of all when none is named.
    pub async fn ticker_prices(&self, symbols: &[Symbol]) -> Outcome<Vec<TickerPrice>> {
        self.call(
            Method::GET,
            "/api/v3/ticker/price",
            symbols_query(symbols),
            self.read_timeout,
        )
        .await
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    pub(crate) fn order_timeout(&self) -> Duration {
        self.order_timeout
    }

    pub(crate) fn read_timeout(&self) -> Duration {
        self.read_timeout
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        params: String,
        timeout: Duration,
    ) -> Outcome<T> {
        let request = match self.request(method, path, params, timeout) {
            Ok(request) => request,
            Err(why) => return Outcome::NotSent { why },
        };
        let span = call_span(&request);
        let answered = async {
            match self.http.execute(request).await {
                Ok(response) => {
                    tracing::Span::current().record("http.response.status_code", i64::from(response.status().as_u16()));
                    self.read(response).await
                }
                Err(error) => ending_of_error(error),
            }
        };
        let outcome = answered.instrument(span.clone()).await;
        if matches!(outcome, Outcome::NotSent { .. } | Outcome::Unknown(_)) {
            span.record("otel.status_code", "ERROR");
        }
        outcome
    }

    /// GET and DELETE carry their parameters in the query, POST in the body.
    fn request(&self, method: Method, path: &str, params: String, timeout: Duration) -> Result<Request, String> {
        let in_body = method == Method::POST;
        let query = if in_body || params.is_empty() {
            String::new()
        } else {
            format!("?{params}")
        };
        let url = Url::parse(&format!("{}{path}{query}", self.base_url))
            .map_err(|error| format!("the request has no valid URL: {error}"))?;
        let mut request = Request::new(method, url);
        request.headers_mut().insert("X-MBX-APIKEY", self.api_key.clone());
        if in_body {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            request.headers_mut().insert(CONTENT_TYPE, form);
            *request.body_mut() = Some(params.into());
        }
        *request.timeout_mut() = Some(timeout);
        Ok(request)
    }

    async fn read<T: DeserializeOwned>(&self, mut response: Response) -> Outcome<T> {
        let status = response.status().as_u16();
        self.note_weight(response.headers());
        let retry_after_ms = retry_after_ms(response.headers());
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(None) => {
                    return classify(&RawAnswer {
                        status,
                        retry_after_ms,
                        body: &body,
                    });
                }
                Ok(Some(chunk)) if body.len() + chunk.len() <= BODY_BYTES_MAX => body.extend_from_slice(&chunk),
                Ok(Some(_)) => return unread(status, DoubtWhy::UnreadableAnswer, "the answer is too large".to_owned()),
                Err(error) if error.is_timeout() => return unread(status, DoubtWhy::TimedOut, describe(error)),
                Err(error) => return unread(status, DoubtWhy::ConnectionLost, describe(error)),
            }
        }
    }

    fn note_weight(&self, headers: &HeaderMap) {
        let told = headers
            .get("x-mbx-used-weight-1m")
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.parse().ok());
        if let Some(weight) = told {
            self.used_weight_1m.store(weight, Ordering::Relaxed);
        }
    }
}

/// A span for what a traced call asks of the exchange; the exchange hears nothing of it. Without the query and the body:
/// they hold the signature. Questions that nobody asked for (prices, the clock) are not traced.
fn call_span(request: &Request) -> tracing::Span {
    if current_trace_id().is_empty() {
        return tracing::Span::none();
    }
    tracing::info_span!(
        "exchange",
        otel.name = format!("{} {}", request.method(), request.url().path()),
        otel.kind = "client",
        otel.status_code = tracing::field::Empty,
        http.request.method = request.method().as_str(),
        http.response.status_code = tracing::field::Empty,
        url.path = request.url().path(),
        server.address = request.url().host_str(),
    )
}

fn accepted_base_url(text: &str) -> Result<String, ClientError> {
    let refuse = |rule| {
        Err(ClientError::BaseUrl {
            url: text.chars().take(200).collect(),
            rule,
        })
    };
    let Ok(url) = Url::parse(text) else {
        return refuse("a URL such as https://testnet.binance.vision");
    };
    if !matches!(url.scheme(), "http" | "https") {
        return refuse("the scheme must be http or https");
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return refuse("scheme and host only: /api/v3/… is added to it");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ClientError::BaseUrl {
            url: "(hidden)".to_owned(),
            rule: "no user and password in it",
        });
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn symbols_query(symbols: &[Symbol]) -> String {
    if symbols.is_empty() {
        return String::new();
    }
    let quoted: Vec<String> = symbols.iter().map(|symbol| format!("\"{symbol}\"")).collect();
    Params::default()
        .with("symbols", format!("[{}]", quoted.join(",")))
        .into_string()
}

/// `Retry-After` in whole seconds, as the exchange sends it.
fn retry_after_ms(headers: &HeaderMap) -> Option<i64> {
    let seconds: i64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    (seconds >= 0).then(|| seconds.saturating_mul(1000))
}

fn ending_of_error<T>(error: reqwest::Error) -> Outcome<T> {
    // A connection that could not be made (its own timeout included) carried no byte of the request.
    if error.is_connect() || error.is_builder() {
        return Outcome::NotSent { why: describe(error) };
    }
    let why = if error.is_timeout() {
        DoubtWhy::TimedOut
    } else {
        DoubtWhy::ConnectionLost
    };
    Outcome::Unknown(Doubt {
        why,
        http_status: None,
        code: None,
        message: describe(error),
    })
}

fn unread<T>(status: u16, why: DoubtWhy, message: String) -> Outcome<T> {
    Outcome::Unknown(Doubt {
        why,
        http_status: Some(status),
        code: None,
        message,
    })
}

/// The error and its causes, without the URL: that one holds the signature.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    crate::classify::shorten(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p8_a_malformed_base_url_is_refused_with_its_rule() {
        for bad in [
            "",
            "testnet.binance.vision",
            "ftp://a",
            "https://a/api",
            "https://a/?x=1",
            "http://u:p@a",
        ] {
            assert!(
                matches!(accepted_base_url(bad), Err(ClientError::BaseUrl { .. })),
                "{bad}"
            );
        }
        assert_eq!(accepted_base_url("https://a/").expect("fine"), "https://a");
    }

    #[test]
    fn retry_after_counts_seconds() {
        let headers = |text: &'static str| HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
        assert_eq!(retry_after_ms(&headers("7")), Some(7000));
        assert_eq!(retry_after_ms(&headers("9223372036854775807")), Some(i64::MAX));
        for bad in ["-1", "soon", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            assert_eq!(retry_after_ms(&headers(bad)), None, "{bad}");
        }
        assert_eq!(retry_after_ms(&HeaderMap::new()), None);
    }
}
