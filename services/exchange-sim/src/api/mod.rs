//! One request from arrival to answer, whichever way it came: faults, limits, keys, endpoint.

mod account_data;
mod auth;
mod limits;
mod market_data;
mod params;
mod refusals;
mod render;
mod routes;
mod trading;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

pub use auth::{Caller, Keys, Signed, rest_payload, ws_payload};
pub use limits::{LimitRules, Limits, OrderCount};
pub use market_data::{depth_body, exchange_info, levels};
pub use params::Params;
pub use refusals::{Refusals, Stage};
pub use render::account_event;
pub use routes::{Endpoint, Security};
pub use trading::unknown_outcome;

use crate::domain::ApiError;
use crate::engine::Engine;
use crate::faults::{FaultKind, Faults, Target};

/// Everything the public APIs share.
pub struct Api {
    /// Matching and state.
    pub engine: Engine,
    /// Injected faults.
    pub faults: Arc<Faults>,
    /// Keys and accounts.
    pub keys: Keys,
    /// Rate limits.
    pub limits: Limits,
    /// Latest refusals of orders and cancels.
    pub refusals: Refusals,
}

/// A request.
pub struct Call<'a> {
    /// HTTP method (for the WebSocket API: that of the same endpoint).
    pub method: &'a str,
    /// Path (for the WebSocket API: that of the same endpoint).
    pub path: &'a str,
    /// Parameters.
    pub params: &'a Params,
    /// API key.
    pub api_key: Option<&'a str>,
    /// What the signature covers.
    pub payload: &'a str,
    /// Account of a logged-on session, whose requests need no signature.
    pub session: Option<&'a str>,
    /// Where it comes from.
    pub address: IpAddr,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Outcome {
    /// An answer or a refusal.
    Answer(Result<Value, ApiError>),
    /// No answer: the connection is to be closed.
    Hang,
    /// HTTP 403 from something in front of the exchange that does not speak its JSON.
    Firewall,
}

/// An outcome with what the headers tell.
#[derive(Debug)]
pub struct Handled {
    /// The outcome.
    pub outcome: Outcome,
    /// Weight used by the address in this minute.
    pub used_weight: u64,
    /// Unfilled orders of the account, after an order was taken.
    pub order_count: Option<OrderCount>,
}

impl Api {
    /// The exchange's clock, UTC ms.
    pub fn exchange_now_ms(&self) -> i64 {
        thunes_runtime::clock::now_ms() + self.faults.clock_skew_ms()
    }

    /// Handles a request.
    pub async fn handle(&self, call: &Call<'_>, endpoint: Result<Endpoint, ApiError>) -> Handled {
        let target = Target {
            method: call.method,
            path: call.path,
            symbol: call.params.get("symbol"),
        };
        let weight = endpoint.as_ref().map_or(1, |endpoint| endpoint.weight(call.params));
        let used = self.limits.use_weight(call.address, weight, self.exchange_now_ms());
        let early = match (self.strike_before(target).await, &used) {
            (Some(outcome), _) => Some(outcome),
            (None, Err(refusal)) => Some(Outcome::Answer(Err(refusal.clone()))),
            (None, Ok(_)) => None,
        };
        let outcome = match (early, endpoint) {
            (Some(outcome), _) => outcome,
            (None, Err(refusal)) => Outcome::Answer(Err(refusal)),
            (None, Ok(endpoint)) => self.execute(call, endpoint, target).await,
        };
        self.finish(call, endpoint_of(call), outcome, weight)
    }

    fn finish(&self, call: &Call<'_>, endpoint: Option<Endpoint>, outcome: Outcome, weight: u64) -> Handled {
        let now_ms = self.exchange_now_ms();
        let succeeded = matches!(&outcome, Outcome::Answer(Ok(_)));
        let free = succeeded && endpoint.is_some_and(Endpoint::is_free_when_it_succeeds);
        let used_weight = if free {
            self.limits.refund_weight(call.address, weight, now_ms)
        } else {
            self.limits.weight(call.address, now_ms)
        };
        let places = matches!(endpoint, Some(Endpoint::PlaceOrder | Endpoint::CancelReplace));
        let account = call.session.or_else(|| self.keys.account_of(call.api_key).ok());
        let order_count = account
            .filter(|_| succeeded && places)
            .map(|account| self.limits.orders(account, now_ms));
        Handled {
            outcome,
            used_weight,
            order_count,
        }
    }

    /// Faults that strike before anything is looked at.
    async fn strike_before(&self, target: Target<'_>) -> Option<Outcome> {
        if let Some(fault) = self.faults.strike(FaultKind::Http418, target) {
            let seconds = fault.spec.retry_after_s.unwrap_or(120);
            let until = self.exchange_now_ms() + i64::try_from(seconds).unwrap_or(0).saturating_mul(1_000);
            let msg = format!(
                "Way too much request weight used; IP banned until {until}. \
                 Please use WebSocket Streams for live updates to avoid bans."
            );
            return Some(refused(
                ApiError::new(-1003, msg).with_status(418).with_retry_after(seconds),
            ));
        }
        if let Some(fault) = self.faults.strike(FaultKind::Http429, target) {
            let seconds = fault.spec.retry_after_s.unwrap_or(1);
            let msg = "Too much request weight used; current limit is 6000 request weight per 1 MINUTE. \
                       Please use WebSocket Streams for live updates to avoid polling the API.";
            return Some(refused(
                ApiError::new(-1003, msg).with_status(429).with_retry_after(seconds),
            ));
        }
        if self.faults.strike(FaultKind::Http403, target).is_some() {
            return Some(Outcome::Firewall);
        }
        if let Some(fault) = self.faults.strike(FaultKind::TimeoutBefore, target) {
            pause(fault.delay_ms()).await;
            return Some(Outcome::Hang);
        }
        let refusals = [
            (FaultKind::Error1008, overloaded()),
            (FaultKind::Error503Before, unknown_503()),
            (FaultKind::Error1006Before, unknown_500()),
        ];
        refusals
            .into_iter()
            .find(|(kind, _)| self.faults.strike(*kind, target).is_some())
            .map(|(_, refusal)| refused(refusal))
    }

    async fn execute(&self, call: &Call<'_>, endpoint: Endpoint, target: Target<'_>) -> Outcome {
        let result = self.checked(call, endpoint, target).await;
        if endpoint.security() == Security::Trade
            && let Err((stage, refusal)) = &result
        {
            self.refusals
                .record(call, *stage, refusal, thunes_runtime::clock::now_ms());
            if refusal.msg == "Market is closed." {
                self.faults.strike(FaultKind::HaltSymbol, target);
            }
        }
        match result {
            Err((_, refusal)) => refused(refusal),
            Ok(answer) => self.strike_after(answer, target).await,
        }
    }

    /// Faults that strike after execution: the order stands, the client does not hear of it (in time).
    async fn strike_after(&self, answer: Value, target: Target<'_>) -> Outcome {
        if let Some(fault) = self.faults.strike(FaultKind::LatencyAfter, target) {
            pause(fault.delay_ms()).await;
        }
        if let Some(fault) = self.faults.strike(FaultKind::TimeoutAfter, target) {
            pause(fault.delay_ms()).await;
            return Outcome::Hang;
        }
        if self.faults.strike(FaultKind::Error503After, target).is_some() {
            return refused(unknown_503());
        }
        if self.faults.strike(FaultKind::Error1006After, target).is_some() {
            return refused(unknown_500());
        }
        Outcome::Answer(Ok(answer))
    }

    async fn checked(
        &self,
        call: &Call<'_>,
        endpoint: Endpoint,
        target: Target<'_>,
    ) -> Result<Value, (Stage, ApiError)> {
        endpoint.check_all_read(call.params).map_err(|e| (Stage::Arrival, e))?;
        let caller = match endpoint.security() {
            Security::Public => None,
            Security::UserData | Security::Trade => {
                self.faults.strike(FaultKind::ClockSkew, target);
                Some(self.authenticate(call).map_err(|e| (Stage::Arrival, e))?)
            }
        };
        if let Some(fault) = self.faults.strike(FaultKind::Latency, target) {
            pause(fault.delay_ms()).await;
        }
        let result = match &caller {
            None => self.public(endpoint, call.params).await,
            Some(caller) => self.signed(endpoint, caller, call.params, target).await,
        };
        result.map_err(|e| {
            (
                if e.code == -1021 {
                    Stage::BeforeMatching
                } else {
                    Stage::Order
                },
                e,
            )
        })
    }

    /// Who sent a signed request: by its session, or by key and signature.
    ///
    /// # Errors
    /// The exchange's own refusal.
    pub fn authenticate(&self, call: &Call<'_>) -> Result<Caller, ApiError> {
        let now_ms = self.exchange_now_ms();
        match call.session {
            Some(account) if call.params.get("signature").is_none() => {
                let signed = Signed::read(call.params)?;
                signed.check(now_ms)?;
                Ok(Caller {
                    account: account.to_owned(),
                    signed,
                })
            }
            Some(_) | None => self.keys.authenticate(call.api_key, call.payload, call.params, now_ms),
        }
    }

    async fn public(&self, endpoint: Endpoint, params: &Params) -> Result<Value, ApiError> {
        let exchange = self.engine.read().await;
        let now_ms = self.exchange_now_ms();
        match endpoint {
            Endpoint::Ping => Ok(json!({})),
            Endpoint::Time => Ok(json!({ "serverTime": now_ms })),
            Endpoint::ExchangeInfo => market_data::exchange_info(&exchange, params, now_ms, self.limits.rules_json()),
            Endpoint::Depth => market_data::depth(&exchange, params),
            Endpoint::Trades | Endpoint::HistoricalTrades => market_data::trades(&exchange, params),
            Endpoint::AggTrades => market_data::agg_trades(&exchange, params),
            Endpoint::Klines => market_data::klines(&exchange, params),
            Endpoint::AvgPrice => market_data::avg_price(&exchange, params, now_ms),
            Endpoint::Ticker24h => market_data::ticker_24h(&exchange, params, now_ms),
            Endpoint::TickerPrice => market_data::ticker_price(&exchange, params),
            Endpoint::BookTicker => market_data::book_ticker(&exchange, params),
            Endpoint::PlaceOrder
            | Endpoint::TestOrder
            | Endpoint::CancelReplace
            | Endpoint::QueryOrder
            | Endpoint::CancelOrder
            | Endpoint::OpenOrders
            | Endpoint::CancelOpenOrders
            | Endpoint::AllOrders
            | Endpoint::Account
            | Endpoint::MyTrades
            | Endpoint::OrderRateLimit
            | Endpoint::MyFilters
            | Endpoint::Commission => unreachable!("signed endpoints are never dispatched as public"),
        }
    }

    async fn signed(
        &self,
        endpoint: Endpoint,
        caller: &Caller,
        params: &Params,
        target: Target<'_>,
    ) -> Result<Value, ApiError> {
        let account = caller.account.as_str();
        match endpoint {
            Endpoint::PlaceOrder | Endpoint::CancelReplace
                if self.faults.strike(FaultKind::InsufficientBalance, target).is_some() =>
            {
                Err(ApiError::insufficient())
            }
            Endpoint::PlaceOrder => trading::place(self, caller, params).await,
            Endpoint::TestOrder => trading::test(self, caller, params).await,
            Endpoint::CancelReplace => trading::cancel_replace(self, caller, params).await,
            Endpoint::CancelOrder => trading::cancel(self, caller, params).await,
            Endpoint::CancelOpenOrders => trading::cancel_open(self, caller, params).await,
            Endpoint::QueryOrder if self.faults.strike(FaultKind::HideOrder, target).is_some() => {
                Err(ApiError::new(-2013, "Order does not exist."))
            }
            Endpoint::QueryOrder => account_data::query_order(&*self.engine.read().await, account, params),
            Endpoint::OpenOrders => account_data::open_orders(&*self.engine.read().await, account, params),
            Endpoint::AllOrders => account_data::all_orders(&*self.engine.read().await, account, params),
            Endpoint::MyTrades => account_data::my_trades(&*self.engine.read().await, account, params),
            Endpoint::Commission => account_data::commission(&*self.engine.read().await, params),
            Endpoint::MyFilters => account_data::my_filters(&*self.engine.read().await, params),
            Endpoint::Account => {
                let now_ms = self.exchange_now_ms();
                account_data::account(&*self.engine.read().await, account, params, now_ms)
            }
            Endpoint::OrderRateLimit => Ok(self
                .limits
                .orders_json(self.limits.orders(account, self.exchange_now_ms()))),
            Endpoint::Ping
            | Endpoint::Time
            | Endpoint::ExchangeInfo
            | Endpoint::Depth
            | Endpoint::Trades
            | Endpoint::HistoricalTrades
            | Endpoint::AggTrades
            | Endpoint::Klines
            | Endpoint::AvgPrice
            | Endpoint::Ticker24h
            | Endpoint::TickerPrice
            | Endpoint::BookTicker => self.public(endpoint, params).await,
        }
    }
}

fn endpoint_of(call: &Call<'_>) -> Option<Endpoint> {
    Endpoint::of_rest(call.method, call.path).ok()
}

fn refused(refusal: ApiError) -> Outcome {
    Outcome::Answer(Err(refusal))
}

/// The one answer for "before" and "after", so that no client can tell which it was.
fn unknown_503() -> ApiError {
    let msg = "Timeout waiting for response from backend server. Send status unknown; execution status unknown.";
    ApiError::new(-1007, msg).with_status(503)
}

/// The other way to say that nobody knows.
fn unknown_500() -> ApiError {
    unknown_outcome(crate::engine::EngineGone)
}

fn overloaded() -> ApiError {
    let msg = "Server is currently overloaded with other requests. Please try again in a few minutes.";
    ApiError::new(-1008, msg).with_status(503)
}

async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
