use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Request, Response, Url};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thunes_runtime::{clock, current_trace_id};
use thunes_types::Symbol;
use tokio::sync::Notify;
use tracing::Instrument;

use crate::budget::{Budget, Cost, Ticket};
use crate::classify::{RawAnswer, classify};
use crate::encode::Params;
use crate::{
    AveragePrice, BudgetStatus, Credentials, Doubt, DoubtWhy, ErrorKind, ExchangeInfo, HeldBack, Outcome, Purpose,
    ServerTime, Side, SignedRequest, TickerPrice,
};

/// The largest answer that is read: the rules of the whole exchange are about half of this.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Idle connections are dropped before the other side is likely to close them under a request.
const POOL_IDLE: Duration = Duration::from_secs(20);
const POOL_CONNECTIONS_MAX: usize = 16;
/// Says which of the limits a 429 is about: unfilled orders, while other requests may go on.
const TOO_MANY_ORDERS: i32 = -1015;

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
    /// Request weight that only cancels, closing orders and the clock may use.
    pub reserve_weight: u32,
}

impl ClientConfig {
    /// The usual waits: 1 s to connect, 5 s for orders, 10 s for reads; a reserve of 200.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            connect_timeout_ms: 1_000,
            order_timeout_ms: 5_000,
            read_timeout_ms: 10_000,
            reserve_weight: 200,
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
    budget: SharedBudget,
    clock_doubted: Notify,
}

/// The budget of an address, for all that send from it: the client and the stream.
#[derive(Debug, Clone)]
pub struct SharedBudget(Arc<Mutex<Budget>>);

impl SharedBudget {
    fn new(reserve_weight: u32) -> Self {
        Self(Arc::new(Mutex::new(Budget::new(reserve_weight))))
    }

    pub(crate) fn with<T>(&self, use_it: impl FnOnce(&mut Budget, i64) -> T) -> T {
        use_it(
            &mut self.0.lock().unwrap_or_else(PoisonError::into_inner),
            clock::boot_ms(),
        )
    }
}

/// A call as it will be made.
struct Call<'a> {
    method: Method,
    path: &'a str,
    params: String,
    timeout: Duration,
    cost: Cost,
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
            budget: SharedBudget::new(config.reserve_weight),
            clock_doubted: Notify::new(),
        })
    }

    /// What is used of the exchange's limits, and whether it wants silence.
    pub fn budget_status(&self) -> BudgetStatus {
        self.budget.with(Budget::status)
    }

    /// The same limits, for the stream that connects from this address.
    pub fn shared_budget(&self) -> SharedBudget {
        self.budget.clone()
    }

    /// Whether an order of this side would be sent now.
    ///
    /// # Errors
    /// Why it would be held back.
    pub fn order_would_leave(&self, side: Side) -> Result<(), HeldBack> {
        self.budget
            .with(|budget, now| budget.check(crate::signed::order_cost(side), now))
    }

    /// Ends when the exchange has refused a timestamp (-1021): our idea of its clock is wrong, and should be read anew.
    pub async fn clock_doubted(&self) {
        self.clock_doubted.notified().await;
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
            cost,
            ..
        } = signed;
        let mut tail = Params::default();
        tail.add("signature", &signature);
        payload.push('&');
        payload.push_str(tail.as_str());
        self.call(Call {
            method,
            path,
            params: payload,
            timeout,
            cost,
        })
        .await
    }

    /// The exchange's clock, with readings of CLOCK_BOOTTIME around it.
    pub async fn server_time(&self) -> Outcome<ServerTime> {
        #[derive(Deserialize)]
        struct Body {
            #[serde(rename = "serverTime")]
            server_time_ms: i64,
        }
        let sent_boot_us = clock::boot_us();
        // Whatever is to be canceled needs the clock for its signature.
        let cost = Cost {
            weight: 1,
            orders: 0,
            purpose: Purpose::Stop,
        };
        let outcome = self.get::<Body>("/api/v3/time", String::new(), cost).await;
        let received_boot_us = clock::boot_us();
        outcome.map(|body| ServerTime {
            server_time_ms: body.server_time_ms,
            sent_boot_us,
            received_boot_us,
        })
    }

    /// The rules of these symbols, or of all when none is named. The limits in it hold for this client from then on.
    pub async fn exchange_info(&self, symbols: &[Symbol]) -> Outcome<ExchangeInfo> {
        let outcome: Outcome<ExchangeInfo> = self
            .get("/api/v3/exchangeInfo", symbols_query(symbols), Cost::read(20))
            .await;
        if let Outcome::Answer(info) = &outcome {
            self.budget.with(|budget, _| budget.set_limits(&info.rate_limits));
        }
        outcome
    }

    /// The last prices of these symbols, or of all when none is named.
    pub async fn ticker_prices(&self, symbols: &[Symbol]) -> Outcome<Vec<TickerPrice>> {
        self.get("/api/v3/ticker/price", symbols_query(symbols), Cost::read(4))
            .await
    }

    /// The average price of a symbol over the minutes that the exchange's filters use.
    pub async fn average_price(&self, symbol: &Symbol) -> Outcome<AveragePrice> {
        let params = Params::default().with("symbol", symbol).into_string();
        self.get("/api/v3/avgPrice", params, Cost::read(2)).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, params: String, cost: Cost) -> Outcome<T> {
        self.call(Call {
            method: Method::GET,
            path,
            params,
            timeout: self.read_timeout,
            cost,
        })
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

    async fn call<T: DeserializeOwned>(&self, call: Call<'_>) -> Outcome<T> {
        let cost = call.cost;
        let is_get = call.method == Method::GET;
        let request = match self.request(call.method, call.path, call.params, call.timeout) {
            Ok(request) => request,
            Err(why) => return Outcome::NotSent { why },
        };
        let ticket = match self.budget.with(|budget, now| budget.admit(cost, now)) {
            Ok(ticket) => ticket,
            Err(held) => return Outcome::HeldBack(held),
        };
        // Whoever drops this future has sent something all the same.
        let mut sent = Sent {
            budget: &self.budget,
            ticket,
            headers: HeaderMap::new(),
            free: false,
        };
        let span = call_span(&request);
        let answered = async {
            match self.http.execute(request).await {
                Ok(response) => {
                    tracing::Span::current().record("http.response.status_code", i64::from(response.status().as_u16()));
                    sent.headers = response.headers().clone();
                    read(response).await
                }
                Err(error) => ending_of_error(error),
            }
        };
        let outcome = answered.instrument(span.clone()).await;
        sent.free = matches!(outcome, Outcome::NotSent { .. }) || (!is_get && matches!(outcome, Outcome::Answer(_)));
        drop(sent);
        self.heed(&outcome);
        if matches!(outcome, Outcome::NotSent { .. } | Outcome::Unknown(_)) {
            span.record("otel.status_code", "ERROR");
        }
        outcome
    }

    /// Does what an answer asks of the whole client.
    fn heed<T>(&self, outcome: &Outcome<T>) {
        match outcome {
            Outcome::RateLimited(limited) if limited.code == Some(TOO_MANY_ORDERS) => self
                .budget
                .with(|budget, now| budget.too_many_orders(limited.retry_after_ms, now)),
            Outcome::RateLimited(limited) => {
                tracing::warn!(%limited, "the exchange wants silence");
                self.budget
                    .with(|budget, now| budget.told_to_wait(limited.retry_after_ms, limited.banned, now));
            }
            Outcome::Rejected(rejection) if rejection.kind == ErrorKind::InvalidTimestamp => {
                self.clock_doubted.notify_one();
            }
            Outcome::Answer(_)
            | Outcome::Rejected(_)
            | Outcome::NotSent { .. }
            | Outcome::Unknown(_)
            | Outcome::HeldBack(_) => {}
        }
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
}

/// A request that left; when it ends, in whatever way, the budget knows.
struct Sent<'a> {
    budget: &'a SharedBudget,
    ticket: Ticket,
    headers: HeaderMap,
    free: bool,
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        let header = |name: &str| self.headers.get(name)?.to_str().ok()?.trim().parse().ok();
        self.budget
            .with(|budget, now| budget.answered(&self.ticket, self.free, header, now));
    }
}

async fn read<T: DeserializeOwned>(mut response: Response) -> Outcome<T> {
    let status = response.status().as_u16();
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
