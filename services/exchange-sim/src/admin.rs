//! The admin API: the ledger as the truth, faults, prices, transfers. It has no keys: keep its listener on loopback.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::Response;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Value, json};
use thunes_runtime::{METRICS_CONTENT_TYPE, metrics_text};

use crate::api::{self, Params, unknown_outcome};
use crate::domain::{ApiError, Exchange, Order, Placed, Side, SymbolStatus, parse_decimal};
use crate::faults::{FaultKind, FaultSpec, HaltStatus};
use crate::http::answer;
use crate::ws_api::Streams;

type Shared = State<Arc<Streams>>;
type JsonBody<T> = Result<Json<T>, JsonRejection>;

/// Bytes a request body may have.
const MAX_BODY: usize = 64 * 1024;

/// The admin routes.
pub fn router(streams: Arc<Streams>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/admin/health", get(health))
        .route("/admin/ledger", get(ledger))
        .route("/admin/exchange-info", get(exchange_info))
        .route("/admin/external-trade", post(external_trade))
        .route("/admin/deposit", post(deposit))
        .route("/admin/withdraw", post(withdraw))
        .route("/admin/lock", post(lock))
        .route("/admin/unlock", post(unlock))
        .route("/admin/price", post(price))
        .route("/admin/wipe", post(wipe))
        .route("/admin/faults", get(faults).post(add_fault).delete(clear_faults))
        .fallback(|| async { answer(Err(bad("no such admin path").with_status(404))) })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(streams)
}

async fn metrics() -> impl IntoResponse {
    ([(CONTENT_TYPE, METRICS_CONTENT_TYPE)], metrics_text())
}

fn bad(msg: impl Into<String>) -> ApiError {
    ApiError::new(-1102, msg)
}

fn body<T>(body: JsonBody<T>) -> Result<T, ApiError> {
    body.map(|Json(value)| value)
        .map_err(|rejection| bad(rejection.body_text()))
}

fn amount(field: &str, text: &str) -> Result<Decimal, ApiError> {
    let parsed = parse_decimal(text).ok().filter(|value| !value.is_zero());
    parsed.ok_or_else(|| {
        bad(format!(
            "{field} = {text:?}: must be a decimal above zero with at most 8 decimals, as a text"
        ))
    })
}

async fn health(State(streams): Shared) -> Response<Body> {
    let exchange = streams.api.engine.read().await;
    answer(Ok(json!({
        "status": "SERVING",
        "now_ms": thunes_runtime::clock::now_ms(),
        "clock_skew_ms": streams.api.faults.clock_skew_ms(),
        "orders": exchange.orders.len(),
        "open_orders": exchange.open.len(),
        "streams": streams.open.load(Ordering::Acquire),
        "prices": exchange.markets.iter().map(|(s, m)| (s.clone(), json!(m.last_price))).collect::<serde_json::Map<_, _>>(),
    })))
}

/// The rules of every symbol, for who judges by the ledger and is not let near the exchange itself.
async fn exchange_info(State(streams): Shared) -> Response<Body> {
    let exchange = streams.api.engine.read().await;
    let (now_ms, limits) = (thunes_runtime::clock::now_ms(), streams.api.limits.rules_json());
    answer(api::exchange_info(&exchange, &Params::default(), now_ms, limits))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LedgerQuery {
    account: Option<String>,
    symbol: Option<String>,
    since_order_id: Option<u64>,
}

async fn ledger(State(streams): Shared, query: Result<Query<LedgerQuery>, QueryRejection>) -> Response<Body> {
    let Ok(Query(query)) = query else {
        return answer(Err(bad("the ledger takes account, symbol and since_order_id")));
    };
    let exchange = streams.api.engine.read().await;
    let mut body = ledger_json(&exchange, &query);
    drop(exchange);
    body["refused"] = json!(streams.api.refusals.all());
    body["now_ms"] = json!(thunes_runtime::clock::now_ms());
    answer(Ok(body))
}

fn ledger_json(exchange: &Exchange, query: &LedgerQuery) -> Value {
    let since = query.since_order_id.unwrap_or(0);
    let wanted = |account: &str, symbol: &str| {
        query.account.as_deref().is_none_or(|a| a == account) && query.symbol.as_deref().is_none_or(|s| s == symbol)
    };
    let orders: Vec<&Order> = exchange
        .orders
        .range(since..)
        .map(|(_, order)| order)
        .filter(|o| wanted(&o.account, &o.symbol))
        .collect();
    let mut fills: Vec<_> = exchange
        .fills
        .iter()
        .filter(|((account, symbol), _)| wanted(account, symbol))
        .flat_map(|(_, fills)| fills)
        .filter(|fill| fill.order_id >= since)
        .collect();
    fills.sort_by_key(|fill| (fill.time_ms, fill.order_id, fill.trade_id));
    json!({
        "orders": orders,
        "fills": fills,
        "balances": exchange.balances,
        "transfers": exchange.transfers,
        "external_locks": exchange.external_locks,
        "grants": exchange.grants,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExternalTrade {
    account: Option<String>,
    symbol: String,
    side: Side,
    quantity: String,
}

/// The account named, or the only one, or the first by name.
async fn account_or_first(streams: &Streams, account: Option<String>) -> Result<String, ApiError> {
    let exchange = streams.api.engine.read().await;
    match account {
        Some(name) if exchange.balances.contains_key(&name) => Ok(name),
        Some(name) => Err(bad(format!("account = {name:?}: no such account"))),
        None => exchange
            .balances
            .keys()
            .next()
            .cloned()
            .ok_or_else(|| bad("account: there is none")),
    }
}

async fn external_trade(State(streams): Shared, request: JsonBody<ExternalTrade>) -> Response<Body> {
    answer(trade(&streams, request).await)
}

async fn trade(streams: &Streams, request: JsonBody<ExternalTrade>) -> Result<Value, ApiError> {
    let request = body(request)?;
    let quantity = amount("quantity", &request.quantity)?;
    let account = account_or_first(streams, request.account).await?;
    let run = streams
        .api
        .engine
        .run(move |exchange, at| exchange.external_trade(&account, &request.symbol, request.side, quantity, at));
    let Placed { order, fills } = run.await.map_err(unknown_outcome)??;
    Ok(json!({ "order": order, "fills": fills }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Transfer {
    account: Option<String>,
    asset: String,
    amount: String,
}

async fn deposit(State(streams): Shared, request: JsonBody<Transfer>) -> Response<Body> {
    answer(transfer(&streams, request, Decimal::ONE).await)
}

async fn withdraw(State(streams): Shared, request: JsonBody<Transfer>) -> Response<Body> {
    answer(transfer(&streams, request, Decimal::NEGATIVE_ONE).await)
}

async fn transfer(streams: &Streams, request: JsonBody<Transfer>, sign: Decimal) -> Result<Value, ApiError> {
    let request = body(request)?;
    let delta = amount("amount", &request.amount)? * sign;
    let account = account_or_first(streams, request.account).await?;
    let run = streams
        .api
        .engine
        .run(move |exchange, at| exchange.transfer(&account, &request.asset, delta, at));
    let transfer = run.await.map_err(unknown_outcome)??;
    Ok(json!(transfer))
}

async fn lock(State(streams): Shared, request: JsonBody<Transfer>) -> Response<Body> {
    answer(lock_externally(&streams, request, Decimal::ONE).await)
}

async fn unlock(State(streams): Shared, request: JsonBody<Transfer>) -> Response<Body> {
    answer(lock_externally(&streams, request, Decimal::NEGATIVE_ONE).await)
}

async fn lock_externally(streams: &Streams, request: JsonBody<Transfer>, sign: Decimal) -> Result<Value, ApiError> {
    let request = body(request)?;
    let delta = amount("amount", &request.amount)? * sign;
    let account = account_or_first(streams, request.account).await?;
    let asset = request.asset.clone();
    let run = streams
        .api
        .engine
        .run(move |exchange, at| exchange.lock_externally(&account, &asset, delta, at));
    let locked = run.await.map_err(unknown_outcome)??;
    Ok(json!({ "asset": request.asset, "delta": delta, "locked_externally": locked }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Price {
    symbol: String,
    price: String,
}

async fn price(State(streams): Shared, request: JsonBody<Price>) -> Response<Body> {
    answer(set_price(&streams, request).await)
}

async fn set_price(streams: &Streams, request: JsonBody<Price>) -> Result<Value, ApiError> {
    let request = body(request)?;
    let price = amount("price", &request.price)?;
    let symbol = request.symbol.clone();
    let run = streams
        .api
        .engine
        .run(move |exchange, at| exchange.set_price(&symbol, price, at));
    run.await.map_err(unknown_outcome)??;
    Ok(json!({ "symbol": request.symbol, "price": price }))
}

async fn wipe(State(streams): Shared) -> Response<Body> {
    let run = streams.api.engine.run(|exchange, _| exchange.wipe());
    let result = run.await.map_err(unknown_outcome);
    streams.cut.send_modify(|generation| *generation += 1);
    answer(result.map(|()| json!({ "wiped": true })))
}

async fn faults(State(streams): Shared) -> Response<Body> {
    answer(Ok(json!(streams.api.faults.report())))
}

async fn add_fault(State(streams): Shared, request: JsonBody<FaultSpec>) -> Response<Body> {
    answer(inject(&streams, request).await)
}

async fn inject(streams: &Streams, request: JsonBody<FaultSpec>) -> Result<Value, ApiError> {
    let spec = body(request)?;
    let (kind, symbol) = (spec.kind, spec.symbol.clone());
    let status = spec.status.map_or(SymbolStatus::Halt, HaltStatus::symbol_status);
    if let Some(symbol) = &symbol
        && !streams.api.engine.read().await.markets.contains_key(symbol)
    {
        return Err(bad(format!("symbol = {symbol:?}: is not traded here")));
    }
    let fault = streams.api.faults.add(spec).map_err(bad)?;
    match (kind, symbol) {
        (FaultKind::HaltSymbol, Some(symbol)) => {
            let run = streams
                .api
                .engine
                .run(move |exchange, _| exchange.set_status(&symbol, status));
            run.await.map_err(unknown_outcome)?;
        }
        (FaultKind::DisconnectStreams, _) => {
            let open = u64::try_from(streams.open.load(Ordering::Acquire)).unwrap_or(0);
            streams.cut.send_modify(|generation| *generation += 1);
            return Ok(json!(streams.api.faults.record_hits(fault.id, open)));
        }
        (FaultKind::ServerShutdown | FaultKind::TerminateUserStreams, _) => {
            // No connection, no hit: that is what the count will say.
            let _ = streams.notices.send((fault.id, kind));
        }
        _ => {}
    }
    Ok(json!(fault))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClearQuery {
    kind: Option<FaultKind>,
}

async fn clear_faults(State(streams): Shared, query: Result<Query<ClearQuery>, QueryRejection>) -> Response<Body> {
    answer(clear(&streams, query).await)
}

async fn clear(streams: &Streams, query: Result<Query<ClearQuery>, QueryRejection>) -> Result<Value, ApiError> {
    let Query(query) = query.map_err(|_| bad("kind: is no kind of fault"))?;
    let removed = streams.api.faults.clear(query.kind);
    let halted: Vec<String> = removed
        .iter()
        .filter(|fault| fault.spec.kind == FaultKind::HaltSymbol)
        .filter_map(|fault| fault.spec.symbol.clone())
        .collect();
    if !halted.is_empty() {
        let run = streams.api.engine.run(move |exchange, _| {
            for symbol in &halted {
                exchange.set_status(symbol, SymbolStatus::Trading);
            }
        });
        run.await.map_err(unknown_outcome)?;
    }
    Ok(json!({ "removed": removed }))
}
