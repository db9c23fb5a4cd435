//! What the exchange tells its streams. Events are made while matching and sent only after the ledger has them.

use rust_decimal::Decimal;

use super::market::PublicTrade;
use super::order::{Fill, Order};

/// What happened to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutionType {
    /// Accepted.
    New,
    /// Filled, partly or wholly.
    Trade,
    /// Canceled by the user.
    Canceled,
    /// Ended by its own rules.
    Expired,
    /// Ended because it would have traded with its own account.
    TradePrevention,
}

impl ExecutionType {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::Trade => "TRADE",
            Self::Canceled => "CANCELED",
            Self::Expired => "EXPIRED",
            Self::TradePrevention => "TRADE_PREVENTION",
        }
    }
}

/// An event of one account's user data stream.
#[derive(Debug, Clone, PartialEq)]
pub enum AccountEvent {
    /// An order changed.
    Execution {
        /// The order as it was right after the change.
        order: Box<Order>,
        /// What happened.
        what: ExecutionType,
        /// The fill, for a trade.
        fill: Option<Fill>,
        /// Rising over the whole exchange.
        execution_id: u64,
    },
    /// Balances changed: asset, free, locked.
    Position {
        /// Account name.
        account: String,
        /// Asset, free, locked.
        balances: Vec<(String, Decimal, Decimal)>,
        /// UTC ms.
        time_ms: i64,
    },
    /// A deposit or withdrawal.
    Transfer {
        /// Account name.
        account: String,
        /// Asset.
        asset: String,
        /// Signed amount.
        delta: Decimal,
        /// UTC ms.
        time_ms: i64,
    },
    /// Another system of the exchange locked (positive) or freed (negative) a part of a balance.
    ExternalLock {
        /// Account name.
        account: String,
        /// Asset.
        asset: String,
        /// Signed amount.
        delta: Decimal,
        /// UTC ms.
        time_ms: i64,
    },
}

impl AccountEvent {
    /// Whose stream it goes to.
    pub fn account(&self) -> &str {
        match self {
            Self::Execution { order, .. } => &order.account,
            Self::Position { account, .. } | Self::Transfer { account, .. } | Self::ExternalLock { account, .. } => {
                account
            }
        }
    }
}

/// An event of the public market streams.
#[derive(Debug, Clone, PartialEq)]
pub enum MarketEvent {
    /// A trade.
    Trade(String, PublicTrade),
    /// The book or the price of a symbol moved.
    Book(String),
}
