use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::Value;
use thunes_proto::gateway::v1::OrderState;

/// Signed base quantity of each symbol, flat ones left out.
pub type Net = BTreeMap<String, Decimal>;

/// Everything that the oracle looks at.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// Every answer that a client got about an order.
    pub told: Vec<Told>,
    /// The gateway's orders.
    pub journal: Vec<JournalOrder>,
    /// The exchange's own orders, without those that somebody else placed on the account.
    pub exchange: Vec<ExchangeOrder>,
    pub exchange_fills: Vec<Execution>,
    pub book_fills: Vec<Execution>,
    /// The positions, as the book says them.
    pub book_net: Net,
    pub fenced: Vec<FencedSpan>,
    pub activations: Vec<Activation>,
    pub audit: AuditEvidence,
}

/// What one answer said of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub client_order_id: String,
    pub state: OrderState,
    pub executed: Decimal,
}

/// An order as the gateway knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalOrder {
    pub client_order_id: String,
    pub state: OrderState,
    pub executed: Decimal,
    /// It was in doubt, and is no more.
    pub resolved: bool,
}

/// An order that the exchange accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeOrder {
    pub client_order_id: String,
    pub order_id: i64,
    pub opens: bool,
    pub status: String,
    pub executed: Decimal,
    /// UTC, by a clock that no fault skews.
    pub accepted_at_ms: i64,
}

/// One trade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    pub symbol: String,
    pub trade_id: i64,
    pub client_order_id: String,
    pub buys: bool,
    pub price: Decimal,
    pub quantity: Decimal,
    pub commission: Decimal,
    pub commission_asset: String,
}

/// The time between an activation's answer and the first request to deactivate: nothing may open in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FencedSpan {
    pub answered_at_ms: i64,
    /// None while it is still active.
    pub deactivation_asked_at_ms: Option<i64>,
}

/// An activation that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activation {
    pub epoch: i64,
    /// Written somewhere, so that the trail has to tell of it.
    pub durable: bool,
}

/// The trail as it stands on disk.
#[derive(Debug, Clone, Default)]
pub struct AuditEvidence {
    /// What the offline verifier finds wrong.
    pub broken: Option<String>,
    pub events: Vec<AuditEvent>,
}

/// One line of the trail.
#[derive(Debug, Clone)]
pub struct AuditEvent {
    pub event_id: String,
    pub event_type: String,
    pub service: String,
    pub payload: Value,
}
