//! How halts look to people.

use thunes_proto::risk::v1::{Halt, KillSwitchLevel, Stop, StopState};
use thunes_proto::scope_from_wire;
use thunes_types::Scope;

use crate::show::{short, side, time};

/// Every halt with its level, its reason and how far it is.
pub fn halts_lines(halts: &[Halt]) -> String {
    halts.iter().map(halt_lines).collect()
}

fn halt_lines(halt: &Halt) -> String {
    let scope = scope_from_wire(halt.scope.as_ref()).unwrap_or(Scope::All);
    let level = match halt.level() {
        KillSwitchLevel::Unspecified | KillSwitchLevel::HaltNew => "halt",
        KillSwitchLevel::CancelOrders => "cancel",
        KillSwitchLevel::Flatten => "flatten",
    };
    let durable = if halt.durable { "" } else { ", not on disk" };
    let mut text = format!(
        "Halted: {scope}, level {level}, since {} ({}, epoch {}{durable}): {}\n",
        time(halt.since_ms),
        halt.actor,
        halt.epoch,
        halt.reason
    );
    if let Some(stop) = &halt.stop {
        text += &stop_lines(stop);
    }
    text
}

/// How far a stop is, line by line.
pub fn stop_lines(stop: &Stop) -> String {
    let state = match stop.state() {
        StopState::Unspecified | StopState::Running => "RUNNING",
        StopState::Done => "DONE, confirmed by the exchange",
        StopState::Incomplete => "INCOMPLETE, nothing more can be done now",
    };
    let mut text = format!("Stop: {state}\n");
    if !stop.canceled_client_order_ids.is_empty() {
        text += &format!("  canceled: {}\n", stop.canceled_client_order_ids.join(", "));
    }
    for order in &stop.open_orders {
        let (id, side) = (&order.client_order_id, side(order.side()));
        let state = short(&order.state, "ORDER_STATE_");
        text += &format!(
            "  perhaps open: {id}, {side} {} ({state}): {}\n",
            order.symbol, order.reason
        );
    }
    for sale in &stop.sold {
        text += &format!(
            "  sold: {} {} for {} ({})\n",
            sale.quantity, sale.symbol, sale.quote, sale.client_order_id
        );
    }
    for rest in &stop.rest {
        let what = if rest.dust { "dust" } else { "not sold" };
        text += &format!(
            "  {what}: {} {} ({}): {}\n",
            rest.quantity, rest.asset, rest.symbol, rest.reason
        );
    }
    for gateway in &stop.waiting_for_gateways {
        text += &format!("  gateway {gateway} does not say how far it is\n");
    }
    text
}
