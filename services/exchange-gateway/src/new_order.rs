//! From a wish to the journal's row and to the exchange's shape.

use thunes_binance::OrderShape;
use thunes_proto::types::v1 as types;
use thunes_runtime::{clock, current_trace_id, current_traceparent};

use crate::domain::filters::SymbolRules;
use crate::domain::order::{OrderState, Side};
use crate::domain::plan::{Kind, Plan, TimeInForce, Wish};
use crate::store::OrderRow;

pub(crate) fn wire_side(side: Side) -> types::Side {
    match side {
        Side::Buy => types::Side::Buy,
        Side::Sell => types::Side::Sell,
    }
}

/// The order's numbers in the exchange's shape.
pub(crate) fn shape(wish: &Wish, planned: &Plan) -> OrderShape {
    let quantity = planned.quantity.unwrap_or_default();
    match (wish.kind, planned.quote_amount) {
        (Kind::Market, Some(quote_quantity)) => OrderShape::MarketQuote { quote_quantity },
        (Kind::Market, None) => OrderShape::MarketQuantity { quantity },
        (Kind::Limit { price, time_in_force }, _) => OrderShape::Limit {
            quantity,
            price,
            time_in_force: match time_in_force {
                TimeInForce::Gtc => thunes_binance::TimeInForce::Gtc,
                TimeInForce::Ioc => thunes_binance::TimeInForce::Ioc,
                TimeInForce::Fok => thunes_binance::TimeInForce::Fok,
            },
        },
    }
}

/// The order as it stands before anything is decided.
pub(crate) fn blank_order(wish: &Wish, rules: &SymbolRules, payload_hash: String) -> OrderRow {
    let now_ms = clock::now_ms();
    let (order_type, limit_price, time_in_force) = match wish.kind {
        Kind::Market => ("MARKET", String::new(), ""),
        Kind::Limit { price, time_in_force } => ("LIMIT", price.to_string(), time_in_force.as_str()),
    };
    OrderRow {
        client_order_id: wish.client_order_id.to_string(),
        payload_hash,
        symbol: wish.symbol.to_string(),
        base_asset: rules.base_asset.clone(),
        quote_asset: rules.quote_asset.clone(),
        side: wish.side.as_str().to_owned(),
        order_type: order_type.to_owned(),
        time_in_force: time_in_force.to_owned(),
        quantity: String::new(),
        quote_amount: String::new(),
        limit_price,
        strategy_id: wish.strategy_id.to_string(),
        notional: String::new(),
        state: OrderState::Denied.as_str().to_owned(),
        reason: String::new(),
        reason_code: String::new(),
        checks: String::new(),
        venue_order_id: String::new(),
        executed_quantity: "0".to_owned(),
        executed_quote: "0".to_owned(),
        epoch: 0,
        signed_timestamp_ms: 0,
        recv_window_ms: 0,
        created_at_ms: now_ms,
        updated_at_ms: now_ms,
        resolved_at_ms: 0,
        fills_missing: false,
        trace_id: current_trace_id(),
        traceparent: current_traceparent(),
        resolved_by: String::new(),
        turned_up_at_ms: 0,
    }
}

/// Takes over the planned numbers.
pub(crate) fn fill_in(order: &mut OrderRow, planned: &Plan) {
    let text = |value: Option<thunes_types::Decimal>| value.map_or_else(String::new, |v| v.to_string());
    order.quantity = text(planned.quantity);
    order.quote_amount = text(planned.quote_amount);
    order.notional = planned.notional.to_string();
}
