//! From the wire's shapes to those that are compared, and back.

use std::collections::BTreeMap;

use thunes_binance as binance;
use thunes_proto::types::v1::{Fill, FillSource, Side as WireSide};
use thunes_types::{Decimal, FieldError, MoneyError, checked_add, checked_mul_exact, checked_sub, parse_decimal};

use crate::domain::filters::SymbolRules;
use crate::domain::order::{OrderState, Side};
use crate::domain::reconcile::{DustRule, OpenOrderFact, TradeFact};
use crate::store::OrderRow;
use crate::wire::state_of;

pub(super) fn trade_fact(fill: &Fill) -> Result<TradeFact, FieldError> {
    Ok(TradeFact {
        symbol: fill.symbol.clone(),
        trade_id: fill.trade_id,
        base_asset: fill.base_asset.clone(),
        quote_asset: fill.quote_asset.clone(),
        side: if fill.side() == WireSide::Sell {
            Side::Sell
        } else {
            Side::Buy
        },
        price: parse_decimal("price", &fill.price)?.normalize(),
        quantity: parse_decimal("quantity", &fill.quantity)?.normalize(),
        quote_quantity: parse_decimal("quote_quantity", &fill.quote_quantity)?.normalize(),
        commission: parse_decimal("commission", &fill.commission)?.normalize(),
        commission_asset: fill.commission_asset.clone(),
        venue_order_id: fill.venue_order_id.clone(),
        executed_at_ms: fill.executed_at_ms,
    })
}

/// A trade of the exchange's, ready for the book.
pub(super) fn adopted_fill(trade: &TradeFact) -> Fill {
    Fill {
        symbol: trade.symbol.clone(),
        trade_id: trade.trade_id,
        base_asset: trade.base_asset.clone(),
        quote_asset: trade.quote_asset.clone(),
        side: match trade.side {
            Side::Buy => WireSide::Buy,
            Side::Sell => WireSide::Sell,
        } as i32,
        price: trade.price.to_string(),
        quantity: trade.quantity.to_string(),
        quote_quantity: trade.quote_quantity.to_string(),
        commission: trade.commission.to_string(),
        commission_asset: trade.commission_asset.clone(),
        executed_at_ms: trade.executed_at_ms,
        venue_order_id: trade.venue_order_id.clone(),
        source: FillSource::Adopted as i32,
        ..Fill::default()
    }
}

/// What the account holds, and what of it is locked; assets without anything are left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub total: BTreeMap<String, Decimal>,
    pub locked: BTreeMap<String, Decimal>,
}

pub(super) fn held(account: &binance::Account) -> Result<Held, MoneyError> {
    let mut held = Held::default();
    for balance in &account.balances {
        let total = checked_add(balance.free, balance.locked)?.normalize();
        if !total.is_zero() {
            held.total.insert(balance.asset.clone(), total);
        }
        if !balance.locked.is_zero() {
            held.locked.insert(balance.asset.clone(), balance.locked.normalize());
        }
    }
    Ok(held)
}

/// An open order of the exchange's, with what it binds.
pub(super) fn exchange_order(order: &binance::Order, rules: Option<&SymbolRules>) -> Result<OpenOrderFact, MoneyError> {
    let remaining = checked_sub(order.quantity, order.executed_quantity)?.normalize();
    let plain = matches!(
        order.order_type,
        binance::OrderType::Limit | binance::OrderType::LimitMaker
    );
    let locks = match (rules, order.side) {
        (Some(rules), binance::Side::Sell) => Some((rules.base_asset.clone(), remaining)),
        (Some(rules), binance::Side::Buy) if plain => Some((
            rules.quote_asset.clone(),
            checked_mul_exact(remaining, order.price.normalize())?.normalize(),
        )),
        // What another kind of order binds cannot be told from it.
        (Some(_) | None, _) => None,
    };
    Ok(OpenOrderFact {
        client_order_id: order.client_order_id.clone(),
        venue_order_id: order.venue_order_id.to_string(),
        symbol: order.symbol.clone(),
        state: state_of(order.status).as_str().to_owned(),
        created_at_ms: order.time_ms,
        locks,
        assets: rules.map_or_else(Vec::new, |r| vec![r.base_asset.clone(), r.quote_asset.clone()]),
        ..OpenOrderFact::default()
    })
}

/// An order of the journal's.
pub(super) fn own_order(order: OrderRow, state: OrderState, denied: bool) -> OpenOrderFact {
    OpenOrderFact {
        in_doubt: state.is_unknown(),
        state: order.state,
        client_order_id: order.client_order_id,
        venue_order_id: order.venue_order_id,
        symbol: order.symbol,
        reason: order.reason,
        created_at_ms: order.created_at_ms,
        denied,
        ..OpenOrderFact::default()
    }
}

pub(super) fn dust_rule(rules: &SymbolRules, last_price: Option<Decimal>) -> DustRule {
    DustRule {
        quantity_min: rules.lot.min,
        quantity_step: rules.lot.step,
        notional_min: rules.notional_min,
        last_price,
    }
}
