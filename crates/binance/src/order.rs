use rust_decimal::Decimal;
use serde::Deserialize;
use thunes_types::{ClientOrderId, Symbol};

use crate::decimal_text::{decimal, optional_decimal};
use crate::encode::Params;

macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $text)] $variant,)*
            /// A word that this version does not know.
            #[serde(other)]
            Unrecognized,
        }

        impl $name {
            /// The exchange's word.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)*
                    $name::Unrecognized => "UNRECOGNIZED",
                }
            }
        }
    };
}
pub(crate) use wire_enum;

/// Which way an order trades the base asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum Side {
    #[serde(rename = "BUY")]
    Buy,
    #[serde(rename = "SELL")]
    Sell,
}

impl Side {
    /// The exchange's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Buy => "BUY",
            Side::Sell => "SELL",
        }
    }
}

wire_enum!(
    /// How an order finds its price.
    OrderType {
        Limit = "LIMIT",
        Market = "MARKET",
        StopLoss = "STOP_LOSS",
        StopLossLimit = "STOP_LOSS_LIMIT",
        TakeProfit = "TAKE_PROFIT",
        TakeProfitLimit = "TAKE_PROFIT_LIMIT",
        LimitMaker = "LIMIT_MAKER",
    }
);

wire_enum!(
    /// How long an order stays.
    TimeInForce {
        /// Until canceled.
        Gtc = "GTC",
        /// What fills at once, the rest expires.
        Ioc = "IOC",
        /// All at once or nothing.
        Fok = "FOK",
    }
);

wire_enum!(
    /// Where an order stands at the exchange.
    OrderStatus {
        New = "NEW",
        PendingNew = "PENDING_NEW",
        PartiallyFilled = "PARTIALLY_FILLED",
        Filled = "FILLED",
        Canceled = "CANCELED",
        PendingCancel = "PENDING_CANCEL",
        Rejected = "REJECTED",
        Expired = "EXPIRED",
        ExpiredInMatch = "EXPIRED_IN_MATCH",
    }
);

impl OrderStatus {
    /// Whether nothing can happen to the order any more. An unrecognized status is not terminal: better asked again.
    pub fn is_terminal(self) -> bool {
        match self {
            OrderStatus::Filled
            | OrderStatus::Canceled
            | OrderStatus::Rejected
            | OrderStatus::Expired
            | OrderStatus::ExpiredInMatch => true,
            OrderStatus::New
            | OrderStatus::PendingNew
            | OrderStatus::PartiallyFilled
            | OrderStatus::PendingCancel
            | OrderStatus::Unrecognized => false,
        }
    }
}

/// The kinds of order that are placed, each with exactly the amounts that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderShape {
    /// At the market, an amount of the base asset.
    MarketQuantity { quantity: Decimal },
    /// At the market, an amount of the quote asset.
    MarketQuote { quote_quantity: Decimal },
    Limit {
        quantity: Decimal,
        price: Decimal,
        time_in_force: TimeInForce,
    },
    /// A limit order that is refused if it would trade at once.
    LimitMaker { quantity: Decimal, price: Decimal },
}

/// An order to place; the answer is always asked for in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    pub symbol: Symbol,
    pub side: Side,
    pub client_order_id: ClientOrderId,
    pub shape: OrderShape,
}

impl NewOrder {
    pub(crate) fn params(&self) -> Params {
        let start = Params::default()
            .with("symbol", &self.symbol)
            .with("side", self.side.as_str());
        let shaped = match self.shape {
            OrderShape::MarketQuantity { quantity } => start.with("type", "MARKET").with("quantity", plain(quantity)),
            OrderShape::MarketQuote { quote_quantity } => start
                .with("type", "MARKET")
                .with("quoteOrderQty", plain(quote_quantity)),
            OrderShape::Limit {
                quantity,
                price,
                time_in_force,
            } => start
                .with("type", "LIMIT")
                .with("timeInForce", time_in_force.as_str())
                .with("quantity", plain(quantity))
                .with("price", plain(price)),
            OrderShape::LimitMaker { quantity, price } => start
                .with("type", "LIMIT_MAKER")
                .with("quantity", plain(quantity))
                .with("price", plain(price)),
        };
        shaped
            .with("newClientOrderId", &self.client_order_id)
            .with("newOrderRespType", "FULL")
    }
}

/// Without trailing zeros: the exchange counts them as precision.
fn plain(value: Decimal) -> String {
    value.normalize().to_string()
}

/// One fill inside the answer to a new order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OrderFill {
    #[serde(rename = "tradeId")]
    pub trade_id: i64,
    #[serde(deserialize_with = "decimal")]
    pub price: Decimal,
    #[serde(rename = "qty", deserialize_with = "decimal")]
    pub quantity: Decimal,
    #[serde(deserialize_with = "decimal")]
    pub commission: Decimal,
    #[serde(rename = "commissionAsset")]
    pub commission_asset: String,
}

/// The exchange's answer to a new order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewOrderAnswer {
    pub symbol: String,
    #[serde(rename = "orderId")]
    pub venue_order_id: i64,
    pub client_order_id: String,
    /// When the matching engine took it, exchange time.
    #[serde(rename = "transactTime")]
    pub transact_time_ms: i64,
    #[serde(deserialize_with = "decimal")]
    pub price: Decimal,
    #[serde(rename = "origQty", deserialize_with = "decimal")]
    pub quantity: Decimal,
    #[serde(rename = "executedQty", deserialize_with = "decimal")]
    pub executed_quantity: Decimal,
    #[serde(rename = "cummulativeQuoteQty", deserialize_with = "decimal")]
    pub executed_quote: Decimal,
    pub status: OrderStatus,
    pub time_in_force: TimeInForce,
    #[serde(rename = "type")]
    pub order_type: OrderType,
    pub side: Side,
    pub fills: Vec<OrderFill>,
}

/// An order as the exchange's queries show it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    pub symbol: String,
    #[serde(rename = "orderId")]
    pub venue_order_id: i64,
    pub client_order_id: String,
    #[serde(deserialize_with = "decimal")]
    pub price: Decimal,
    #[serde(rename = "origQty", deserialize_with = "decimal")]
    pub quantity: Decimal,
    #[serde(rename = "executedQty", deserialize_with = "decimal")]
    pub executed_quantity: Decimal,
    /// Negative for old orders whose value the exchange no longer has.
    #[serde(rename = "cummulativeQuoteQty", deserialize_with = "decimal")]
    pub executed_quote: Decimal,
    /// What a market order in quote currency asked for; the exchange says zero elsewhere.
    #[serde(rename = "origQuoteOrderQty", default, deserialize_with = "optional_decimal")]
    pub quote_quantity: Option<Decimal>,
    pub status: OrderStatus,
    pub time_in_force: TimeInForce,
    #[serde(rename = "type")]
    pub order_type: OrderType,
    pub side: Side,
    /// When it was accepted, exchange time.
    #[serde(rename = "time")]
    pub time_ms: i64,
    /// When it last changed, exchange time.
    #[serde(rename = "updateTime")]
    pub update_time_ms: i64,
}

/// The exchange's answer to a cancel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CanceledOrder {
    pub symbol: String,
    /// The order that was canceled.
    #[serde(rename = "origClientOrderId")]
    pub client_order_id: String,
    /// The exchange's name for the cancel itself.
    #[serde(rename = "clientOrderId")]
    pub cancel_id: String,
    #[serde(rename = "orderId")]
    pub venue_order_id: i64,
    #[serde(rename = "origQty", deserialize_with = "decimal")]
    pub quantity: Decimal,
    #[serde(rename = "executedQty", deserialize_with = "decimal")]
    pub executed_quantity: Decimal,
    #[serde(rename = "cummulativeQuoteQty", deserialize_with = "decimal")]
    pub executed_quote: Decimal,
    pub status: OrderStatus,
    pub side: Side,
    /// When the matching engine canceled it, exchange time.
    #[serde(rename = "transactTime")]
    pub transact_time_ms: i64,
}
