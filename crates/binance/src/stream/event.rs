use std::fmt;

use rust_decimal::Decimal;
use serde::Deserialize;

use crate::decimal_text::decimal;
use crate::order::wire_enum;
use crate::{Balance, ErrorKind, OrderStatus, OrderType, Side, TimeInForce};

/// What the user data stream tells. There is no replay: after each `Subscribed` the caller reads the state by REST and
/// merges what came by the stream since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEvent {
    /// The socket is open; nothing is subscribed yet.
    Connected,
    /// From here on events come.
    Subscribed {
        subscription_id: i64,
    },
    ExecutionReport(Box<ExecutionReport>),
    AccountPosition(AccountPosition),
    BalanceUpdate(BalanceUpdate),
    /// An event that needs no action here, by its name.
    Other(String),
    /// Events may be missing from here until the next `Subscribed`. A new connection follows by itself.
    Disconnected {
        why: DisconnectWhy,
    },
}

/// Why the stream broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DisconnectWhy {
    CouldNotConnect {
        message: String,
    },
    /// The exchange refused the subscription.
    SubscribeRefused {
        kind: ErrorKind,
        code: i32,
        message: String,
    },
    /// The subscription was not answered in time.
    SubscribeTimedOut,
    /// No frame came for longer than the bound, not even a ping.
    Silent,
    ClosedByServer {
        message: String,
    },
    ConnectionLost {
        message: String,
    },
    /// The exchange ended the subscription.
    Terminated,
    /// The exchange said that it is about to end the connection.
    ServerShutdown,
    /// The connection is as old as we let one become, well before the exchange would end it.
    Renewal,
    /// The exchange wants silence from this address; there was no attempt.
    HeldBack {
        message: String,
    },
    /// A frame that cannot be read: a fill might be in it, so the state must be read anew.
    Unreadable {
        message: String,
    },
}

impl fmt::Display for DisconnectWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CouldNotConnect { message } => write!(f, "no connection: {message}"),
            Self::SubscribeRefused { code, message, .. } => write!(f, "subscription refused: {code} {message}"),
            Self::SubscribeTimedOut => f.write_str("the subscription was not answered in time"),
            Self::Silent => f.write_str("silent for too long"),
            Self::ClosedByServer { message } => write!(f, "closed by the exchange: {message}"),
            Self::ConnectionLost { message } => write!(f, "connection lost: {message}"),
            Self::Terminated => f.write_str("the exchange ended the subscription"),
            Self::ServerShutdown => f.write_str("the exchange is about to shut down"),
            Self::Renewal => f.write_str("old enough to be renewed"),
            Self::HeldBack { message } => write!(f, "not connected: {message}"),
            Self::Unreadable { message } => write!(f, "unreadable: {message}"),
        }
    }
}

wire_enum!(
    /// What happened to an order.
    ExecutionType {
        New = "NEW",
        Canceled = "CANCELED",
        Replaced = "REPLACED",
        Rejected = "REJECTED",
        /// A fill.
        Trade = "TRADE",
        Expired = "EXPIRED",
        TradePrevention = "TRADE_PREVENTION",
    }
);

/// A change of one order. Times are exchange time in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ExecutionReport {
    #[serde(rename = "E")]
    pub event_time_ms: i64,
    #[serde(rename = "T")]
    pub transaction_time_ms: i64,
    /// When the order was created.
    #[serde(rename = "O")]
    pub order_time_ms: i64,
    #[serde(rename = "s")]
    pub symbol: String,
    /// The client order id of this event; for a cancel it names the cancel, and the order stands in the next field.
    #[serde(rename = "c")]
    pub client_order_id: String,
    /// The order that a cancel was for; empty otherwise.
    #[serde(rename = "C")]
    pub original_client_order_id: String,
    #[serde(rename = "i")]
    pub venue_order_id: i64,
    #[serde(rename = "S")]
    pub side: Side,
    #[serde(rename = "o")]
    pub order_type: OrderType,
    #[serde(rename = "f")]
    pub time_in_force: TimeInForce,
    #[serde(rename = "q", deserialize_with = "decimal")]
    pub quantity: Decimal,
    #[serde(rename = "p", deserialize_with = "decimal")]
    pub price: Decimal,
    #[serde(rename = "Q", deserialize_with = "decimal")]
    pub quote_quantity: Decimal,
    #[serde(rename = "x")]
    pub execution_type: ExecutionType,
    #[serde(rename = "X")]
    pub status: OrderStatus,
    /// `NONE`, or why it was rejected.
    #[serde(rename = "r")]
    pub reject_reason: String,
    /// -1 when this is no fill; see [`ExecutionReport::trade_id`].
    #[serde(rename = "t")]
    raw_trade_id: i64,
    #[serde(rename = "l", deserialize_with = "decimal")]
    pub last_quantity: Decimal,
    #[serde(rename = "L", deserialize_with = "decimal")]
    pub last_price: Decimal,
    #[serde(rename = "Y", deserialize_with = "decimal")]
    pub last_quote: Decimal,
    #[serde(rename = "n", deserialize_with = "decimal")]
    pub commission: Decimal,
    #[serde(rename = "N")]
    pub commission_asset: Option<String>,
    /// Filled so far, this event included.
    #[serde(rename = "z", deserialize_with = "decimal")]
    pub cumulative_quantity: Decimal,
    #[serde(rename = "Z", deserialize_with = "decimal")]
    pub cumulative_quote: Decimal,
    #[serde(rename = "m")]
    pub is_maker: bool,
    #[serde(rename = "w")]
    pub is_on_book: bool,
}

impl ExecutionReport {
    /// The trade, unique within its symbol, if this is a fill.
    pub fn trade_id(&self) -> Option<i64> {
        (self.execution_type == ExecutionType::Trade && self.raw_trade_id >= 0).then_some(self.raw_trade_id)
    }

    /// The client order id of the order itself, whether this event is a cancel or not.
    pub fn order_client_id(&self) -> &str {
        if self.original_client_order_id.is_empty() {
            &self.client_order_id
        } else {
            &self.original_client_order_id
        }
    }
}

/// The balances that an event may have changed, as they are after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountPosition {
    pub event_time_ms: i64,
    /// When the account last changed.
    pub update_time_ms: i64,
    pub balances: Vec<Balance>,
}

/// A deposit, withdrawal or transfer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BalanceUpdate {
    #[serde(rename = "E")]
    pub event_time_ms: i64,
    #[serde(rename = "T")]
    pub clear_time_ms: i64,
    #[serde(rename = "a")]
    pub asset: String,
    /// Negative for what left.
    #[serde(rename = "d", deserialize_with = "decimal")]
    pub delta: Decimal,
}
