//! JSON as documented: keys, types, and every amount with eight decimals.

use serde_json::{Map, Value, json};

use crate::domain::{AccountEvent, ExecutionType, Fill, Order, Placed, RespType, ZERO, fixed8};

/// An order as `GET /api/v3/order` shows it.
pub fn order(order: &Order) -> Value {
    let mut body = json!({
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_order_id,
        "price": fixed8(order.price),
        "origQty": fixed8(order.orig_qty),
        "executedQty": fixed8(order.executed_qty),
        "cummulativeQuoteQty": fixed8(order.cum_quote),
        "status": order.status.as_str(),
        "timeInForce": order.time_in_force.as_str(),
        "type": order.kind.as_str(),
        "side": order.side.as_str(),
        "stopPrice": fixed8(order.stop_price),
        "icebergQty": fixed8(order.iceberg_qty),
        "time": order.time_ms,
        "updateTime": order.update_time_ms,
        "isWorking": order.is_working,
        "workingTime": order.working_time_ms,
        "origQuoteOrderQty": fixed8(order.quote_order_qty),
        "selfTradePreventionMode": order.stp_mode.as_str(),
    });
    labels(&mut body, order);
    body
}

fn labels(body: &mut Value, order: &Order) {
    if let Some(id) = order.strategy_id {
        body["strategyId"] = json!(id);
    }
    if let Some(kind) = order.strategy_type {
        body["strategyType"] = json!(kind);
    }
    if order.prevented_qty > ZERO {
        body["preventedMatchId"] = json!(order.order_id);
        body["preventedQuantity"] = json!(fixed8(order.prevented_qty));
    }
}

/// The answer to a new order.
pub fn placed(placed: &Placed, resp: RespType) -> Value {
    let order = &placed.order;
    let mut body = json!({
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_order_id,
        "transactTime": order.update_time_ms,
    });
    if resp == RespType::Ack {
        return body;
    }
    body["price"] = json!(fixed8(order.price));
    report(&mut body, order);
    if order.is_working {
        body["workingTime"] = json!(order.working_time_ms);
    }
    if resp == RespType::Full {
        body["fills"] = placed.fills.iter().map(fill_of_answer).collect();
    }
    body["selfTradePreventionMode"] = json!(order.stp_mode.as_str());
    body
}

fn report(body: &mut Value, order: &Order) {
    body["origQty"] = json!(fixed8(order.orig_qty));
    body["executedQty"] = json!(fixed8(order.executed_qty));
    body["origQuoteOrderQty"] = json!(fixed8(order.quote_order_qty));
    body["cummulativeQuoteQty"] = json!(fixed8(order.cum_quote));
    body["status"] = json!(order.status.as_str());
    body["timeInForce"] = json!(order.time_in_force.as_str());
    body["type"] = json!(order.kind.as_str());
    body["side"] = json!(order.side.as_str());
    if order.kind.has_stop() {
        body["stopPrice"] = json!(fixed8(order.stop_price));
    }
    if order.iceberg_qty > ZERO {
        body["icebergQty"] = json!(fixed8(order.iceberg_qty));
    }
    labels(body, order);
}

fn fill_of_answer(fill: &Fill) -> Value {
    json!({
        "price": fixed8(fill.price),
        "qty": fixed8(fill.qty),
        "commission": fixed8(fill.commission),
        "commissionAsset": fill.commission_asset,
        "tradeId": fill.trade_id,
    })
}

/// The answer to a cancel.
pub fn canceled(order: &Order) -> Value {
    let mut body = json!({
        "symbol": order.symbol,
        "origClientOrderId": order.client_order_id,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.cancel_id,
        "transactTime": order.update_time_ms,
        "price": fixed8(order.price),
    });
    report(&mut body, order);
    body["selfTradePreventionMode"] = json!(order.stp_mode.as_str());
    body
}

/// A fill as `GET /api/v3/myTrades` shows it.
pub fn my_trade(fill: &Fill) -> Value {
    json!({
        "symbol": fill.symbol,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "orderListId": -1,
        "price": fixed8(fill.price),
        "qty": fixed8(fill.qty),
        "quoteQty": fixed8(fill.quote_qty),
        "commission": fixed8(fill.commission),
        "commissionAsset": fill.commission_asset,
        "time": fill.time_ms,
        "isBuyer": fill.side == crate::domain::Side::Buy,
        "isMaker": fill.is_maker,
        "isBestMatch": true,
    })
}

/// An event of the user data stream, without its envelope.
pub fn account_event(event: &AccountEvent, now_ms: i64) -> Value {
    match event {
        AccountEvent::Execution {
            order,
            what,
            fill,
            execution_id,
        } => execution_report(order, *what, fill.as_ref(), *execution_id, now_ms),
        AccountEvent::Position { balances, time_ms, .. } => json!({
            "e": "outboundAccountPosition",
            "E": now_ms,
            "u": time_ms,
            "B": balances.iter().map(|(asset, free, locked)| json!({ "a": asset, "f": fixed8(*free), "l": fixed8(*locked) }))
                .collect::<Vec<_>>(),
        }),
        AccountEvent::Transfer {
            asset, delta, time_ms, ..
        } => json!({
            "e": "balanceUpdate", "E": now_ms, "a": asset, "d": fixed8(*delta), "T": time_ms,
        }),
        AccountEvent::ExternalLock {
            asset, delta, time_ms, ..
        } => json!({
            "e": "externalLockUpdate", "E": now_ms, "a": asset, "d": fixed8(*delta), "T": time_ms,
        }),
    }
}

fn execution_report(order: &Order, what: ExecutionType, fill: Option<&Fill>, execution_id: u64, now_ms: i64) -> Value {
    // A cancel report carries the cancel's id as `c` and the order's own as `C`.
    let canceled = what == ExecutionType::Canceled;
    let (client_id, original) = match (&order.cancel_id, canceled) {
        (Some(cancel_id), true) => (cancel_id.as_str(), order.client_order_id.as_str()),
        (Some(_), false) | (None, true | false) => (order.client_order_id.as_str(), ""),
    };
    let on_book = order.status.is_open() && order.is_working && order.kind.has_price();
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
    put("e", json!("executionReport"));
    put("E", json!(now_ms));
    put("s", json!(order.symbol));
    put("c", json!(client_id));
    put("S", json!(order.side.as_str()));
    put("o", json!(order.kind.as_str()));
    put("f", json!(order.time_in_force.as_str()));
    put("q", json!(fixed8(order.orig_qty)));
    put("p", json!(fixed8(order.price)));
    put("P", json!(fixed8(order.stop_price)));
    put("F", json!(fixed8(order.iceberg_qty)));
    put("g", json!(-1));
    put("C", json!(original));
    put("x", json!(what.as_str()));
    put("X", json!(order.status.as_str()));
    put("r", json!("NONE"));
    put("i", json!(order.order_id));
    put("l", json!(fixed8(fill.map_or(ZERO, |f| f.qty))));
    put("z", json!(fixed8(order.executed_qty)));
    put("L", json!(fixed8(fill.map_or(ZERO, |f| f.price))));
    put(
        "n",
        json!(fill.map_or_else(|| "0".to_owned(), |f| fixed8(f.commission))),
    );
    put("N", json!(fill.map(|f| f.commission_asset.as_str())));
    put("T", json!(order.update_time_ms));
    put("t", json!(fill.map_or(-1, |f| i64::try_from(f.trade_id).unwrap_or(-1))));
    if what == ExecutionType::TradePrevention {
        put("v", json!(order.order_id));
        put("A", json!(fixed8(order.prevented_qty)));
        put("B", json!(fixed8(order.prevented_qty)));
    }
    put("I", json!(execution_id));
    put("w", json!(on_book));
    put("m", json!(fill.is_some_and(|f| f.is_maker)));
    put("M", json!(fill.is_some()));
    put("O", json!(order.time_ms));
    put("Z", json!(fixed8(order.cum_quote)));
    put("Y", json!(fixed8(fill.map_or(ZERO, |f| f.quote_qty))));
    put("Q", json!(fixed8(order.quote_order_qty)));
    if order.is_working {
        put("W", json!(order.working_time_ms));
    }
    if let Some(id) = order.strategy_id {
        put("j", json!(id));
    }
    if let Some(kind) = order.strategy_type {
        put("J", json!(kind));
    }
    put("V", json!(order.stp_mode.as_str()));
    Value::Object(body)
}
