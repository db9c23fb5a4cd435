//! Between the shapes of the exchange, the journal and the API.

use thunes_binance as binance;
use thunes_binance::{ExecutionReport, NewOrderAnswer, OrderStatus, Trade};
use thunes_proto::gateway::v1 as pb;
use thunes_proto::types::v1 as types;
use thunes_proto::types::v1::{Fill, FillSource};
use thunes_types::{
    ClientOrderId, Decimal, FieldError, MoneyError, StrategyId, Symbol, checked_mul_exact, parse_positive,
};

use crate::domain::order::{ExchangeWord, OrderState, Side};
use crate::domain::plan::{Amount, Kind, TimeInForce, Wish};
use crate::store::{FillRow, OrderRow};

/// The exchange's status in our words.
pub(crate) fn state_of(status: OrderStatus) -> OrderState {
    match status {
        OrderStatus::New | OrderStatus::PendingNew => OrderState::New,
        OrderStatus::PartiallyFilled => OrderState::PartiallyFilled,
        OrderStatus::Filled => OrderState::Filled,
        OrderStatus::Canceled => OrderState::Canceled,
        // It may still fill until the cancel is done.
        OrderStatus::PendingCancel => OrderState::New,
        OrderStatus::Rejected => OrderState::Rejected,
        OrderStatus::Expired | OrderStatus::ExpiredInMatch => OrderState::Expired,
        // A status that we do not know is no knowledge.
        OrderStatus::Unrecognized => OrderState::InDoubt,
    }
}

pub(crate) fn word_of_answer(answer: &NewOrderAnswer) -> ExchangeWord {
    ExchangeWord {
        state: state_of(answer.status),
        venue_order_id: answer.venue_order_id.to_string(),
        executed_quantity: answer.executed_quantity.normalize(),
        executed_quote: answer.executed_quote.normalize(),
    }
}

pub(crate) fn word_of_order(order: &binance::Order) -> ExchangeWord {
    ExchangeWord {
        state: state_of(order.status),
        venue_order_id: order.venue_order_id.to_string(),
        executed_quantity: order.executed_quantity.normalize(),
        executed_quote: order.executed_quote.normalize(),
    }
}

pub(crate) fn word_of_report(report: &ExecutionReport) -> ExchangeWord {
    ExchangeWord {
        state: state_of(report.status),
        venue_order_id: report.venue_order_id.to_string(),
        executed_quantity: report.cumulative_quantity.normalize(),
        executed_quote: report.cumulative_quote.normalize(),
    }
}

fn wire_side(side: binance::Side) -> types::Side {
    match side {
        binance::Side::Buy => types::Side::Buy,
        binance::Side::Sell => types::Side::Sell,
    }
}

fn plain(value: Decimal) -> String {
    value.normalize().to_string()
}

/// The fills in the answer to an order. Assets and our ids are filled in from the journal.
///
/// # Errors
/// When a product does not fit.
pub(crate) fn answer_fills(answer: &NewOrderAnswer) -> Result<Vec<Fill>, MoneyError> {
    let fill = |f: &binance::OrderFill| {
        Ok(Fill {
            symbol: answer.symbol.clone(),
            trade_id: f.trade_id,
            side: wire_side(answer.side) as i32,
            price: plain(f.price),
            quantity: plain(f.quantity),
            quote_quantity: plain(checked_mul_exact(f.price, f.quantity)?),
            commission: plain(f.commission),
            commission_asset: f.commission_asset.clone(),
            executed_at_ms: answer.transact_time_ms,
            venue_order_id: answer.venue_order_id.to_string(),
            // What fills at once takes liquidity.
            is_maker: false,
            source: FillSource::OrderAnswer as i32,
            ..Fill::default()
        })
    };
    answer.fills.iter().map(fill).collect()
}

/// The fill that a stream event tells of, if it does.
pub(crate) fn report_fill(report: &ExecutionReport) -> Option<Fill> {
    let trade_id = report.trade_id()?;
    Some(Fill {
        symbol: report.symbol.clone(),
        trade_id,
        side: wire_side(report.side) as i32,
        price: plain(report.last_price),
        quantity: plain(report.last_quantity),
        quote_quantity: plain(report.last_quote),
        commission: plain(report.commission),
        commission_asset: report.commission_asset.clone().unwrap_or_default(),
        executed_at_ms: report.transaction_time_ms,
        venue_order_id: report.venue_order_id.to_string(),
        is_maker: report.is_maker,
        source: FillSource::Stream as i32,
        ..Fill::default()
    })
}

pub(crate) fn trade_fill(trade: &Trade, base_asset: &str, quote_asset: &str, source: FillSource) -> Fill {
    Fill {
        symbol: trade.symbol.clone(),
        trade_id: trade.trade_id,
        base_asset: base_asset.to_owned(),
        quote_asset: quote_asset.to_owned(),
        side: if trade.is_buyer {
            types::Side::Buy
        } else {
            types::Side::Sell
        } as i32,
        price: plain(trade.price),
        quantity: plain(trade.quantity),
        quote_quantity: plain(trade.quote_quantity),
        commission: plain(trade.commission),
        commission_asset: trade.commission_asset.clone(),
        executed_at_ms: trade.time_ms,
        venue_order_id: trade.venue_order_id.to_string(),
        is_maker: trade.is_maker,
        source: source as i32,
        ..Fill::default()
    }
}

/// Reads a request, every fault at once.
///
/// # Errors
/// The fields that are wrong.
pub(crate) fn wish_of(request: &pb::SubmitOrderRequest, made_id: &str) -> Result<Wish, Vec<FieldError>> {
    let mut faults = Vec::new();
    let id_text = if request.client_order_id.is_empty() {
        made_id
    } else {
        &request.client_order_id
    };
    let id = keep(ClientOrderId::parse(id_text), &mut faults);
    let symbol = keep(Symbol::parse(&request.symbol), &mut faults);
    let strategy_id = keep(StrategyId::parse(&request.strategy_id), &mut faults);
    let side = keep(side_of(request.side), &mut faults);
    let amount = keep(amount_of(request), &mut faults);
    let kind = kind_of(request, &mut faults);
    match (id, symbol, strategy_id, side, amount, kind) {
        (Some(client_order_id), Some(symbol), Some(strategy_id), Some(side), Some(amount), Some(kind))
            if faults.is_empty() =>
        {
            Ok(Wish {
                client_order_id,
                symbol,
                side,
                amount,
                kind,
                strategy_id,
            })
        }
        _ => Err(faults),
    }
}

fn keep<T>(result: Result<T, FieldError>, faults: &mut Vec<FieldError>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(fault) => {
            faults.push(fault);
            None
        }
    }
}

fn side_of(side: i32) -> Result<Side, FieldError> {
    match types::Side::try_from(side) {
        Ok(types::Side::Buy) => Ok(Side::Buy),
        Ok(types::Side::Sell) => Ok(Side::Sell),
        Ok(types::Side::Unspecified) | Err(_) => {
            Err(FieldError::new("side", &side.to_string(), "SIDE_BUY or SIDE_SELL"))
        }
    }
}

fn amount_of(request: &pb::SubmitOrderRequest) -> Result<Amount, FieldError> {
    match (request.quantity.is_empty(), request.quote_amount.is_empty()) {
        (false, true) => parse_positive("quantity", &request.quantity).map(Amount::Base),
        (true, false) => parse_positive("quote_amount", &request.quote_amount).map(Amount::Quote),
        (true, true) => Err(FieldError::new(
            "quantity",
            "",
            "exactly one of quantity and quote_amount is required",
        )),
        (false, false) => {
            let rule = "exactly one of quantity and quote_amount; both are set";
            Err(FieldError::new("quote_amount", &request.quote_amount, rule))
        }
    }
}

fn kind_of(request: &pb::SubmitOrderRequest, faults: &mut Vec<FieldError>) -> Option<Kind> {
    let tif = pb::TimeInForce::try_from(request.time_in_force);
    match pb::OrderType::try_from(request.r#type) {
        Ok(pb::OrderType::Market | pb::OrderType::Unspecified) => {
            if !request.limit_price.is_empty() {
                let rule = "only with type ORDER_TYPE_LIMIT";
                faults.push(FieldError::new("limit_price", &request.limit_price, rule));
            }
            if tif != Ok(pb::TimeInForce::Unspecified) {
                let rule = "only with type ORDER_TYPE_LIMIT";
                faults.push(FieldError::new(
                    "time_in_force",
                    &request.time_in_force.to_string(),
                    rule,
                ));
            }
            Some(Kind::Market)
        }
        Ok(pb::OrderType::Limit) => {
            let price = keep(parse_positive("limit_price", &request.limit_price), faults);
            let time_in_force = match tif {
                Ok(pb::TimeInForce::Gtc | pb::TimeInForce::Unspecified) => Some(TimeInForce::Gtc),
                Ok(pb::TimeInForce::Ioc) => Some(TimeInForce::Ioc),
                Ok(pb::TimeInForce::Fok) => Some(TimeInForce::Fok),
                Err(_) => {
                    let rule = "TIME_IN_FORCE_GTC, TIME_IN_FORCE_IOC or TIME_IN_FORCE_FOK";
                    faults.push(FieldError::new(
                        "time_in_force",
                        &request.time_in_force.to_string(),
                        rule,
                    ));
                    None
                }
            };
            price
                .zip(time_in_force)
                .map(|(price, time_in_force)| Kind::Limit { price, time_in_force })
        }
        Err(_) => {
            faults.push(FieldError::new(
                "type",
                &request.r#type.to_string(),
                "ORDER_TYPE_MARKET or ORDER_TYPE_LIMIT",
            ));
            None
        }
    }
}

pub(crate) fn state_to_wire(state: OrderState) -> pb::OrderState {
    match state {
        OrderState::Denied => pb::OrderState::Denied,
        OrderState::Intent => pb::OrderState::Intent,
        OrderState::InDoubt => pb::OrderState::InDoubt,
        OrderState::New => pb::OrderState::New,
        OrderState::PartiallyFilled => pb::OrderState::PartiallyFilled,
        OrderState::Filled => pb::OrderState::Filled,
        OrderState::Canceled => pb::OrderState::Canceled,
        OrderState::Rejected => pb::OrderState::Rejected,
        OrderState::Expired => pb::OrderState::Expired,
        OrderState::NeverArrived => pb::OrderState::NeverArrived,
    }
}

/// The domain's state for a filter; None for UNSPECIFIED and unknown numbers.
pub(crate) fn state_from_wire(state: i32) -> Option<OrderState> {
    match pb::OrderState::try_from(state).ok()? {
        pb::OrderState::Unspecified => None,
        pb::OrderState::Denied => Some(OrderState::Denied),
        pb::OrderState::Intent => Some(OrderState::Intent),
        pb::OrderState::InDoubt => Some(OrderState::InDoubt),
        pb::OrderState::New => Some(OrderState::New),
        pb::OrderState::PartiallyFilled => Some(OrderState::PartiallyFilled),
        pb::OrderState::Filled => Some(OrderState::Filled),
        pb::OrderState::Canceled => Some(OrderState::Canceled),
        pb::OrderState::Rejected => Some(OrderState::Rejected),
        pb::OrderState::Expired => Some(OrderState::Expired),
        pb::OrderState::NeverArrived => Some(OrderState::NeverArrived),
    }
}

/// An order as the API shows it.
pub(crate) fn order_to_wire(order: &OrderRow, fills: &[FillRow]) -> pb::Order {
    let state = OrderState::parse(&order.state).map_or(pb::OrderState::Unspecified, state_to_wire);
    let time_in_force = match order.time_in_force.as_str() {
        "GTC" => pb::TimeInForce::Gtc,
        "IOC" => pb::TimeInForce::Ioc,
        "FOK" => pb::TimeInForce::Fok,
        _ => pb::TimeInForce::Unspecified,
    };
    pb::Order {
        client_order_id: order.client_order_id.clone(),
        venue_order_id: order.venue_order_id.clone(),
        symbol: order.symbol.clone(),
        side: match order.side() {
            Side::Buy => types::Side::Buy,
            Side::Sell => types::Side::Sell,
        } as i32,
        r#type: if order.order_type == "LIMIT" {
            pb::OrderType::Limit
        } else {
            pb::OrderType::Market
        } as i32,
        time_in_force: time_in_force as i32,
        quantity: order.quantity.clone(),
        quote_amount: order.quote_amount.clone(),
        limit_price: order.limit_price.clone(),
        strategy_id: order.strategy_id.clone(),
        state: state as i32,
        reason: order.reason.clone(),
        reason_code: order.reason_code.clone(),
        executed_quantity: order.executed_quantity.clone(),
        executed_quote: order.executed_quote.clone(),
        fills: fills.iter().map(|row| row.fill.clone()).collect(),
        checks: serde_json::from_str(&order.checks).unwrap_or_default(),
        epoch: order.epoch,
        created_at_ms: order.created_at_ms,
        updated_at_ms: order.updated_at_ms,
        signed_timestamp_ms: order.signed_timestamp_ms,
        recv_window_ms: order.recv_window_ms,
        trace_id: order.trace_id.clone(),
        resolved_at_ms: order.resolved_at_ms,
        resolved_by: order.resolved_by.clone(),
        turned_up_at_ms: order.turned_up_at_ms,
    }
}
