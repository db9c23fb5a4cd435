//! Signed endpoints that act: they check on arrival, wait for their turn, and check the receive window once more there.

use serde_json::{Value, json};

use super::account_data::commission_rates;
use super::auth::{Caller, Signed};
use super::params::Params;
use super::{Api, render};
use crate::domain::{
    ApiError, CancelTarget, NewOrder, OrderKind, OrderStatus, Placed, RespType, Side, StpMode, TimeInForce,
};
use crate::engine::EngineGone;

/// What nobody can know when the exchange dies on the way: the execution status is unknown.
pub fn unknown_outcome(_: EngineGone) -> ApiError {
    let msg = "An unexpected response was received from the message bus. Execution status unknown.";
    ApiError::new(-1006, msg).with_status(500)
}

/// Reads an order from its parameters.
///
/// # Errors
/// The exchange's own refusal; the order type decides what must and must not be sent.
pub fn read_order(params: &Params, caller: &Caller) -> Result<(NewOrder, RespType), ApiError> {
    let symbol = params.required_symbol()?.to_owned();
    let side = Side::parse(params.required("side")?).ok_or_else(|| ApiError::new(-1117, "Invalid side."))?;
    let kind = OrderKind::parse(params.required("type")?).ok_or_else(|| ApiError::new(-1116, "Invalid orderType."))?;
    for unsupported in ["trailingDelta", "pegPriceType", "pegOffsetType", "pegOffsetValue"] {
        if params.get(unsupported).is_some() {
            return Err(ApiError::new(-2010, "Unsupported order combination"));
        }
    }
    let stp_mode = match params.text("selfTradePreventionMode")? {
        None => StpMode::Maker,
        Some(text) => StpMode::parse(text).ok_or_else(|| {
            ApiError::new(
                -1013,
                "This symbol does not allow the specified self-trade prevention mode.",
            )
        })?,
    };
    let order = NewOrder {
        account: caller.account.clone(),
        symbol,
        side,
        kind,
        time_in_force: read_time_in_force(params, kind)?,
        quantity: params.positive("quantity")?,
        quote_order_qty: params.positive("quoteOrderQty")?,
        price: params.positive("price")?,
        stop_price: params.positive("stopPrice")?,
        iceberg_qty: params.decimal("icebergQty")?,
        client_order_id: params.client_id("newClientOrderId")?.map(str::to_owned),
        strategy_id: params.integer("strategyId")?.and_then(|v| i64::try_from(v).ok()),
        strategy_type: read_strategy_type(params)?,
        stp_mode,
        signed_timestamp_ms: caller.signed.timestamp_ms(),
        recv_window_ms: caller.signed.recv_window_ms(),
        external: false,
    };
    check_combination(&order)?;
    Ok((order, read_resp_type(params, kind)?))
}

fn read_time_in_force(params: &Params, kind: OrderKind) -> Result<TimeInForce, ApiError> {
    match (params.text("timeInForce")?, kind.needs_time_in_force()) {
        (None, false) => Ok(TimeInForce::Gtc),
        (None, true) => Err(ApiError::mandatory("timeInForce")),
        (Some(_), false) => Err(ApiError::not_required("timeInForce")),
        (Some(text), true) => TimeInForce::parse(text).ok_or_else(|| ApiError::new(-1115, "Invalid timeInForce.")),
    }
}

fn read_strategy_type(params: &Params) -> Result<Option<i64>, ApiError> {
    match params.integer("strategyType")? {
        Some(value) if value < 1_000_000 => Err(ApiError::new(-1134, "strategyType was less than 1000000.")),
        other => Ok(other.and_then(|v| i64::try_from(v).ok())),
    }
}

fn read_resp_type(params: &Params, kind: OrderKind) -> Result<RespType, ApiError> {
    match params.text("newOrderRespType")? {
        Some(text) => RespType::parse(text)
            .ok_or_else(|| ApiError::new(-1130, "Data sent for parameter 'newOrderRespType' is not valid.")),
        None if matches!(kind, OrderKind::Market | OrderKind::Limit) => Ok(RespType::Full),
        None => Ok(RespType::Ack),
    }
}

fn check_combination(order: &NewOrder) -> Result<(), ApiError> {
    let require = |sent: bool, name: &str| if sent { Ok(()) } else { Err(ApiError::mandatory(name)) };
    let forbid = |sent: bool, name: &str| {
        if sent {
            Err(ApiError::not_required(name))
        } else {
            Ok(())
        }
    };
    match (order.quantity.is_some(), order.quote_order_qty.is_some(), order.kind) {
        (true, true, OrderKind::Market) => {
            return Err(ApiError::new(-1128, "Combination of optional parameters invalid."));
        }
        (false, true, OrderKind::Market) => {}
        (_, true, _) => return Err(ApiError::not_required("quoteOrderQty")),
        (sent, false, OrderKind::Market) if !sent => {
            let msg = "Param 'quantity' or 'quoteOrderQty' must be sent, but both were empty/null!";
            return Err(ApiError::new(-1102, msg));
        }
        (sent, false, _) => require(sent, "quantity")?,
    }
    if order.kind.has_price() {
        require(order.price.is_some(), "price")?;
    } else {
        forbid(order.price.is_some(), "price")?;
    }
    if order.kind.has_stop() {
        require(order.stop_price.is_some(), "stopPrice")?;
    } else {
        forbid(order.stop_price.is_some(), "stopPrice")?;
    }
    let iceberg = order.iceberg_qty.is_some_and(|qty| !qty.is_zero());
    if iceberg && order.time_in_force != TimeInForce::Gtc {
        return Err(ApiError::new(-1013, "Iceberg orders must be GTC."));
    }
    forbid(iceberg && !order.kind.has_price(), "icebergQty")
}

/// `POST order`.
pub async fn place(api: &Api, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
    let (order, resp) = read_order(params, caller)?;
    let account = caller.account.clone();
    api.limits.use_order(&account, api.exchange_now_ms())?;
    let signed = caller.signed;
    let result = api.engine.run(move |exchange, at| {
        signed.check(at.exchange_ms)?;
        exchange.place(order, at)
    });
    let result = result.await.map_err(unknown_outcome)?;
    let uncounts = result.as_ref().map_or(true, |placed: &Placed| {
        placed.order.executed_qty > rust_decimal::Decimal::ZERO
    });
    if uncounts {
        // Only unfilled orders count against the limit.
        api.limits.release_order(&account, api.exchange_now_ms());
    }
    result.map(|placed| render::placed(&placed, resp))
}

/// `POST order/test`.
pub async fn test(api: &Api, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
    let (order, _) = read_order(params, caller)?;
    let with_rates = params.boolean("computeCommissionRates")?;
    let exchange = api.engine.read().await;
    exchange.check_order(&order)?;
    Ok(if with_rates {
        commission_rates(&exchange)
    } else {
        json!({})
    })
}

fn read_restriction(params: &Params) -> Result<Option<OrderStatus>, ApiError> {
    match params.text("cancelRestrictions")? {
        None => Ok(None),
        Some("ONLY_NEW") => Ok(Some(OrderStatus::New)),
        Some("ONLY_PARTIALLY_FILLED") => Ok(Some(OrderStatus::PartiallyFilled)),
        Some(_) => Err(ApiError::new(-1145, "Invalid cancelRestrictions")),
    }
}

async fn known_symbol(api: &Api, params: &Params) -> Result<String, ApiError> {
    let symbol = params.required_symbol()?;
    let known = api.engine.read().await.markets.contains_key(symbol);
    if known {
        Ok(symbol.to_owned())
    } else {
        Err(ApiError::new(-1121, "Invalid symbol."))
    }
}

/// `DELETE order`.
pub async fn cancel(api: &Api, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
    let symbol = known_symbol(api, params).await?;
    let target = CancelTarget {
        order_id: params.integer("orderId")?,
        client_order_id: params.client_id("origClientOrderId")?.map(str::to_owned),
        cancel_id: params.client_id("newClientOrderId")?.map(str::to_owned),
        only_status: read_restriction(params)?,
    };
    if target.order_id.is_none() && target.client_order_id.is_none() {
        let msg = "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!";
        return Err(ApiError::new(-1102, msg));
    }
    let (signed, account) = (caller.signed, caller.account.clone());
    let result = api.engine.run(move |exchange, at| {
        signed.check(at.exchange_ms)?;
        exchange.cancel(&account, &symbol, target, at)
    });
    result
        .await
        .map_err(unknown_outcome)?
        .map(|order| render::canceled(&order))
}

/// `DELETE openOrders`.
pub async fn cancel_open(api: &Api, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
    let symbol = known_symbol(api, params).await?;
    let (signed, account) = (caller.signed, caller.account.clone());
    let result = api.engine.run(move |exchange, at| {
        signed.check(at.exchange_ms)?;
        exchange.cancel_all(&account, &symbol, at)
    });
    let orders = result.await.map_err(unknown_outcome)??;
    Ok(Value::Array(orders.iter().map(render::canceled).collect()))
}

struct Replace {
    order: NewOrder,
    target: CancelTarget,
    stop_on_failure: bool,
    signed: Signed,
}

fn read_replace(params: &Params, caller: &Caller) -> Result<(Replace, RespType), ApiError> {
    let (order, resp) = read_order(params, caller)?;
    let stop_on_failure = match params.required("cancelReplaceMode")? {
        "STOP_ON_FAILURE" => true,
        "ALLOW_FAILURE" => false,
        _ => {
            return Err(ApiError::new(
                -1130,
                "Data sent for parameter 'cancelReplaceMode' is not valid.",
            ));
        }
    };
    let target = CancelTarget {
        order_id: params.integer("cancelOrderId")?,
        client_order_id: params.client_id("cancelOrigClientOrderId")?.map(str::to_owned),
        cancel_id: params.client_id("cancelNewClientOrderId")?.map(str::to_owned),
        only_status: read_restriction(params)?,
    };
    if target.order_id.is_none() && target.client_order_id.is_none() {
        let msg = "Param 'cancelOrigClientOrderId' or 'cancelOrderId' must be sent, but both were empty/null!";
        return Err(ApiError::new(-1102, msg));
    }
    Ok((
        Replace {
            order,
            target,
            stop_on_failure,
            signed: caller.signed,
        },
        resp,
    ))
}

/// `POST order/cancelReplace`.
pub async fn cancel_replace(api: &Api, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
    let (replace, resp) = read_replace(params, caller)?;
    api.limits.use_order(&caller.account, api.exchange_now_ms())?;
    let result = api.engine.run(move |exchange, at| {
        replace.signed.check(at.exchange_ms)?;
        // Filters are asked before the cancel, so that a hopeless replacement does not cost the old order.
        exchange.check_order_for_replacement(&replace.order)?;
        let (account, symbol) = (replace.order.account.clone(), replace.order.symbol.clone());
        let canceled = exchange.cancel(&account, &symbol, replace.target, at);
        let attempted = canceled.is_ok() || !replace.stop_on_failure;
        let placed = attempted.then(|| exchange.place(replace.order, at));
        Ok((canceled, placed))
    });
    let (canceled, placed) = result.await.map_err(unknown_outcome)??;
    let word = |ok: bool| if ok { "SUCCESS" } else { "FAILURE" };
    let new_result = placed.as_ref().map_or("NOT_ATTEMPTED", |placed| word(placed.is_ok()));
    let body = json!({
        "cancelResult": word(canceled.is_ok()),
        "newOrderResult": new_result,
        "cancelResponse": canceled.as_ref().map_or_else(ApiError::body, render::canceled),
        "newOrderResponse": placed.as_ref().map(|p| p.as_ref().map_or_else(ApiError::body, |p| render::placed(p, resp))),
    });
    let refuse = |code, msg: &str, status| {
        Err(ApiError {
            data: Some(body.clone()),
            ..ApiError::new(code, msg).with_status(status)
        })
    };
    match (canceled.is_ok(), new_result) {
        (true, "SUCCESS") => Ok(body),
        (true, _) | (false, "SUCCESS") => refuse(-2021, "Order cancel-replace partially failed.", 409),
        (false, _) => refuse(-2022, "Order cancel-replace failed.", 400),
    }
}
