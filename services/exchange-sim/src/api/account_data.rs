//! Signed endpoints that only read.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::market_data::market_of;
use super::params::Params;
use super::render;
use crate::domain::{ApiError, Exchange, Order, fixed8};

const DAY_MS: i64 = 86_400_000;

/// `GET order`.
pub fn query_order(exchange: &Exchange, account: &str, params: &Params) -> Result<Value, ApiError> {
    let market = market_of(exchange, params)?;
    let (id, client_id) = (params.integer("orderId")?, params.client_id("origClientOrderId")?);
    if id.is_none() && client_id.is_none() {
        let msg = "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!";
        return Err(ApiError::new(-1102, msg));
    }
    let found = exchange.find_order(account, &market.rules.symbol, id, client_id);
    found
        .map(render::order)
        .ok_or_else(|| ApiError::new(-2013, "Order does not exist."))
}

/// `GET openOrders`.
pub fn open_orders(exchange: &Exchange, account: &str, params: &Params) -> Result<Value, ApiError> {
    let symbol = params.symbol()?;
    if symbol.is_some() {
        market_of(exchange, params)?;
    }
    Ok(Value::Array(
        exchange.open_orders(account, symbol).map(render::order).collect(),
    ))
}

/// Reads `startTime` and `endTime`, at most a day apart.
fn time_window(params: &Params) -> Result<(Option<i64>, Option<i64>), ApiError> {
    let (start, end) = (params.time_ms("startTime")?, params.time_ms("endTime")?);
    if let (Some(start), Some(end)) = (start, end) {
        if end < start {
            return Err(ApiError::new(
                -1102,
                "Mandatory parameter 'endTime' was not sent, was empty/null, or malformed.",
            ));
        }
        if end - start > DAY_MS {
            return Err(ApiError::new(
                -1127,
                "More than 24 hours between startTime and endTime.",
            ));
        }
    }
    // One bound alone means the day that begins or ends there.
    Ok(match (start, end) {
        (Some(start), None) => (Some(start), Some(start.saturating_add(DAY_MS))),
        (None, Some(end)) => (Some(end.saturating_sub(DAY_MS)), Some(end)),
        both => both,
    })
}

/// `GET allOrders`: from an id upward, or within a day, or the latest.
pub fn all_orders(exchange: &Exchange, account: &str, params: &Params) -> Result<Value, ApiError> {
    let market = market_of(exchange, params)?;
    let limit = params.limit(500, 1_000)?;
    let from = params.integer("orderId")?;
    let (start, end) = time_window(params)?;
    let mine = |order: &&Order| {
        order.account == account
            && order.symbol == market.rules.symbol
            && start.is_none_or(|start| order.time_ms >= start)
            && end.is_none_or(|end| order.time_ms <= end)
    };
    let all = exchange.orders.range(from.unwrap_or(0)..).map(|(_, order)| order);
    let shown: Vec<Value> = if from.is_some() || start.is_some() {
        all.filter(mine).take(limit).map(render::order).collect()
    } else {
        let mut latest: Vec<Value> = all.rev().filter(mine).take(limit).map(render::order).collect();
        latest.reverse();
        latest
    };
    Ok(Value::Array(shown))
}

/// `GET myTrades`, in the documented combinations of parameters.
pub fn my_trades(exchange: &Exchange, account: &str, params: &Params) -> Result<Value, ApiError> {
    let market = market_of(exchange, params)?;
    let limit = params.limit(500, 1_000)?;
    let (order_id, from) = (params.integer("orderId")?, params.integer("fromId")?);
    let (start, end) = time_window(params)?;
    if start.is_some() && (order_id.is_some() || from.is_some()) {
        return Err(ApiError::new(-1128, "Combination of optional parameters invalid."));
    }
    let key = (account.to_owned(), market.rules.symbol.clone());
    let mine = exchange.fills.get(&key).map_or(&[][..], Vec::as_slice);
    let wanted: Vec<_> = mine
        .iter()
        .filter(|fill| {
            order_id.is_none_or(|id| fill.order_id == id)
                && from.is_none_or(|from| fill.trade_id >= from)
                && start.is_none_or(|start| fill.time_ms >= start)
                && end.is_none_or(|end| fill.time_ms <= end)
        })
        .collect();
    let forward = from.is_some() || start.is_some() || order_id.is_some();
    let skip = if forward { 0 } else { wanted.len().saturating_sub(limit) };
    Ok(Value::Array(
        wanted
            .into_iter()
            .skip(skip)
            .take(limit)
            .map(render::my_trade)
            .collect(),
    ))
}

/// `GET account`.
pub fn account(exchange: &Exchange, account: &str, params: &Params, now_ms: i64) -> Result<Value, ApiError> {
    let omit_zero = params.boolean("omitZeroBalances")?;
    let held = exchange.balances.get(account);
    let balances: Vec<Value> = held
        .into_iter()
        .flatten()
        .filter(|(_, balance)| !(omit_zero && balance.free.is_zero() && balance.locked.is_zero()))
        .map(|(asset, balance)| json!({ "asset": asset, "free": fixed8(balance.free), "locked": fixed8(balance.locked) }))
        .collect();
    let bps = exchange.commission.bps.trunc();
    let rate = rate(exchange);
    Ok(json!({
        "makerCommission": decimal_number(bps),
        "takerCommission": decimal_number(bps),
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": { "maker": rate, "taker": rate, "buyer": "0.00000000", "seller": "0.00000000" },
        "canTrade": true,
        "canWithdraw": true,
        "canDeposit": true,
        "brokered": false,
        "requireSelfTradePrevention": false,
        "preventSor": false,
        "updateTime": now_ms,
        "accountType": "SPOT",
        "balances": balances,
        "permissions": ["SPOT"],
        "uid": uid(exchange, account),
    }))
}

fn rate(exchange: &Exchange) -> String {
    fixed8(exchange.commission.bps / Decimal::from(10_000))
}

fn decimal_number(value: Decimal) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// A number for the account: its place among the accounts.
fn uid(exchange: &Exchange, account: &str) -> usize {
    exchange
        .balances
        .keys()
        .position(|name| name == account)
        .map_or(0, |at| 1_000 + at)
}

/// `GET account/commission`.
pub fn commission(exchange: &Exchange, params: &Params) -> Result<Value, ApiError> {
    let market = market_of(exchange, params)?;
    let zero = json!({ "maker": "0.00000000", "taker": "0.00000000", "buyer": "0.00000000", "seller": "0.00000000" });
    let mut body = commission_rates(exchange);
    body["symbol"] = json!(market.rules.symbol);
    body["standardCommission"] = body["standardCommissionForOrder"].take();
    body["standardCommission"]["buyer"] = json!("0.00000000");
    body["standardCommission"]["seller"] = json!("0.00000000");
    body["specialCommission"] = zero.clone();
    body["taxCommission"] = zero;
    if let Some(map) = body.as_object_mut() {
        map.retain(|key, _| !key.ends_with("ForOrder"));
    }
    Ok(body)
}

/// `GET myFilters`: the filters of a symbol, in the three groups of the documentation.
pub fn my_filters(exchange: &Exchange, params: &Params) -> Result<Value, ApiError> {
    let market = market_of(exchange, params)?;
    Ok(json!({ "exchangeFilters": [], "symbolFilters": market.rules.to_json(), "assetFilters": [] }))
}

/// What `order/test` answers with `computeCommissionRates`.
pub fn commission_rates(exchange: &Exchange) -> Value {
    let rate = rate(exchange);
    let in_bnb = exchange.commission.paid_in == crate::config::CommissionIn::Bnb;
    let zero = json!({ "maker": "0.00000000", "taker": "0.00000000" });
    json!({
        "standardCommissionForOrder": { "maker": rate, "taker": rate },
        "specialCommissionForOrder": zero,
        "taxCommissionForOrder": zero,
        "discount": { "enabledForAccount": in_bnb, "enabledForSymbol": in_bnb, "discountAsset": "BNB", "discount": "0.75000000" },
    })
}
