//! The exchange's nouns.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident { $($variant:ident => $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $(#[doc = $text] #[serde(rename = $text)] $variant),+
        }

        // Not every word is both read and written.
        #[allow(dead_code)]
        impl $name {
            /// The word on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// Reads the word on the wire (case-sensitive).
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

wire_enum! {
    /// Direction.
    Side { Buy => "BUY", Sell => "SELL" }
}

wire_enum! {
    /// Order type.
    OrderKind {
        Limit => "LIMIT", Market => "MARKET", LimitMaker => "LIMIT_MAKER", StopLoss => "STOP_LOSS",
        StopLossLimit => "STOP_LOSS_LIMIT", TakeProfit => "TAKE_PROFIT", TakeProfitLimit => "TAKE_PROFIT_LIMIT",
    }
}

wire_enum! {
    /// How long an order lives.
    TimeInForce { Gtc => "GTC", Ioc => "IOC", Fok => "FOK" }
}

wire_enum! {
    /// Where an order is in its life.
    OrderStatus {
        New => "NEW", PartiallyFilled => "PARTIALLY_FILLED", Filled => "FILLED", Canceled => "CANCELED",
        Expired => "EXPIRED", ExpiredInMatch => "EXPIRED_IN_MATCH",
    }
}

wire_enum! {
    /// Which side of a trade of an account with itself expires.
    StpMode { Taker => "EXPIRE_TAKER", Maker => "EXPIRE_MAKER", Both => "EXPIRE_BOTH" }
}

wire_enum! {
    /// How much of the order the answer shows.
    RespType { Ack => "ACK", Result => "RESULT", Full => "FULL" }
}

impl OrderKind {
    /// Whether the type carries a limit price.
    pub fn has_price(self) -> bool {
        match self {
            Self::Limit | Self::LimitMaker | Self::StopLossLimit | Self::TakeProfitLimit => true,
            Self::Market | Self::StopLoss | Self::TakeProfit => false,
        }
    }

    /// Whether the type waits for a stop price.
    pub fn has_stop(self) -> bool {
        match self {
            Self::StopLoss | Self::StopLossLimit | Self::TakeProfit | Self::TakeProfitLimit => true,
            Self::Limit | Self::Market | Self::LimitMaker => false,
        }
    }

    /// Whether the type needs `timeInForce`.
    pub fn needs_time_in_force(self) -> bool {
        match self {
            Self::Limit | Self::StopLossLimit | Self::TakeProfitLimit => true,
            Self::Market | Self::LimitMaker | Self::StopLoss | Self::TakeProfit => false,
        }
    }

    /// Whether the stop triggers when the price rises to it, for this side.
    pub fn triggers_above(self, side: Side) -> bool {
        let stop_loss = matches!(self, Self::StopLoss | Self::StopLossLimit);
        stop_loss == (side == Side::Buy)
    }
}

impl OrderStatus {
    /// Whether the order can still fill.
    pub fn is_open(self) -> bool {
        match self {
            Self::New | Self::PartiallyFilled => true,
            Self::Filled | Self::Canceled | Self::Expired | Self::ExpiredInMatch => false,
        }
    }
}

/// A request for a new order, parsed but not yet checked against filters and funds.
#[derive(Debug, Clone)]
pub struct NewOrder {
    /// Account name.
    pub account: String,
    /// Symbol.
    pub symbol: String,
    /// Direction.
    pub side: Side,
    /// Type.
    pub kind: OrderKind,
    /// Life span; GTC where the type takes none.
    pub time_in_force: TimeInForce,
    /// Base quantity; absent for quote-sized market orders.
    pub quantity: Option<Decimal>,
    /// Quote amount of a market order.
    pub quote_order_qty: Option<Decimal>,
    /// Limit price.
    pub price: Option<Decimal>,
    /// Stop price.
    pub stop_price: Option<Decimal>,
    /// Visible quantity.
    pub iceberg_qty: Option<Decimal>,
    /// The client's id; made up when absent.
    pub client_order_id: Option<String>,
    /// The client's strategy labels.
    pub strategy_id: Option<i64>,
    /// See `strategy_id`.
    pub strategy_type: Option<i64>,
    /// Self-trade prevention.
    pub stp_mode: StpMode,
    /// `timestamp` of the signed request, ms; zero for trades made from the admin side.
    pub signed_timestamp_ms: i64,
    /// `recvWindow` of the signed request, ms.
    pub recv_window_ms: Decimal,
    /// True for a trade that somebody else made on the account.
    pub external: bool,
}

/// An accepted order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Unique over all symbols, rising.
    pub order_id: u64,
    /// Account name.
    pub account: String,
    /// Symbol.
    pub symbol: String,
    /// The client's id.
    pub client_order_id: String,
    /// Direction.
    pub side: Side,
    /// Type.
    #[serde(rename = "type")]
    pub kind: OrderKind,
    /// Life span.
    pub time_in_force: TimeInForce,
    /// Limit price; zero for market orders.
    pub price: Decimal,
    /// Stop price; zero where there is none.
    pub stop_price: Decimal,
    /// Visible quantity; zero where there is none.
    pub iceberg_qty: Decimal,
    /// Base quantity ordered.
    pub orig_qty: Decimal,
    /// Quote amount ordered; zero unless the order was sized in quote.
    pub quote_order_qty: Decimal,
    /// Base quantity filled.
    pub executed_qty: Decimal,
    /// Quote amount filled.
    pub cum_quote: Decimal,
    /// State.
    pub status: OrderStatus,
    /// When matching took the order, by this machine's clock (never skewed), UTC ms.
    pub accepted_at_ms: i64,
    /// The same by the exchange's clock, which a fault can skew, UTC ms.
    pub time_ms: i64,
    /// Last change, exchange clock, UTC ms.
    pub update_time_ms: i64,
    /// When it went on the book; -1 while a stop waits.
    pub working_time_ms: i64,
    /// Whether it is (or was) on the book.
    pub is_working: bool,
    /// Rank among orders at one price: lower is earlier.
    pub priority: u64,
    /// Id of the cancel request, once canceled.
    pub cancel_id: Option<String>,
    /// Strategy labels.
    pub strategy_id: Option<i64>,
    /// See `strategy_id`.
    pub strategy_type: Option<i64>,
    /// Self-trade prevention.
    pub stp_mode: StpMode,
    /// Quantity expired by self-trade prevention.
    pub prevented_qty: Decimal,
    /// `timestamp` of the signed request, ms.
    pub signed_timestamp_ms: i64,
    /// `recvWindow` of the signed request, ms.
    pub recv_window_ms: Decimal,
    /// True for a trade that somebody else made on the account.
    pub external: bool,
}

impl Order {
    /// Base quantity still to fill.
    pub fn remaining(&self) -> Decimal {
        self.orig_qty - self.executed_qty
    }

    /// The price at which funds of a BUY are locked: limit, else stop, else none.
    pub fn lock_price(&self) -> Option<Decimal> {
        if self.kind.has_price() {
            Some(self.price)
        } else if self.kind.has_stop() && !self.is_working {
            Some(self.stop_price)
        } else {
            None
        }
    }
}

/// One execution of one order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fill {
    /// Symbol.
    pub symbol: String,
    /// Rises per symbol.
    pub trade_id: u64,
    /// Order.
    pub order_id: u64,
    /// The order's client id.
    pub client_order_id: String,
    /// Account name.
    pub account: String,
    /// Direction.
    pub side: Side,
    /// Price.
    pub price: Decimal,
    /// Base quantity.
    pub qty: Decimal,
    /// Quote amount.
    pub quote_qty: Decimal,
    /// Fee.
    pub commission: Decimal,
    /// Asset of the fee.
    pub commission_asset: String,
    /// Whether the order was resting.
    pub is_maker: bool,
    /// Exchange clock, UTC ms.
    pub time_ms: i64,
    /// True for a trade that somebody else made on the account.
    pub external: bool,
}

/// A deposit (positive) or a withdrawal (negative).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// Rising.
    pub id: u64,
    /// Account name.
    pub account: String,
    /// Asset.
    pub asset: String,
    /// Signed amount.
    pub amount: Decimal,
    /// UTC ms.
    pub time_ms: i64,
}
