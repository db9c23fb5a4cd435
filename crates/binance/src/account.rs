use rust_decimal::Decimal;
use serde::Deserialize;

use crate::TimeSample;
use crate::decimal_text::decimal;

/// The exchange's clock, with our own readings around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerTime {
    /// Exchange time, cut to whole milliseconds.
    pub server_time_ms: i64,
    /// Our CLOCK_BOOTTIME just before the request was sent.
    pub sent_boot_us: i64,
    /// Our CLOCK_BOOTTIME just after the answer came.
    pub received_boot_us: i64,
}

impl ServerTime {
    /// What [`crate::TimeSync`] takes.
    pub fn sample(&self) -> TimeSample {
        TimeSample {
            server_time_ms: self.server_time_ms,
            sent_boot_us: self.sent_boot_us,
            received_boot_us: self.received_boot_us,
        }
    }
}

/// The last price of a symbol.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TickerPrice {
    pub symbol: String,
    #[serde(deserialize_with = "decimal")]
    pub price: Decimal,
}

/// The average price of a symbol, weighted by quantity.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AveragePrice {
    /// Over how many minutes.
    #[serde(rename = "mins")]
    pub minutes: u32,
    #[serde(deserialize_with = "decimal")]
    pub price: Decimal,
}

/// What the account holds of one asset.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Balance {
    pub asset: String,
    #[serde(deserialize_with = "decimal")]
    pub free: Decimal,
    /// Held by open orders.
    #[serde(deserialize_with = "decimal")]
    pub locked: Decimal,
}

/// The account and its balances.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    pub can_trade: bool,
    /// When the account last changed, exchange time.
    #[serde(rename = "updateTime")]
    pub update_time_ms: i64,
    /// The exchange's number of the account, where it tells.
    #[serde(default)]
    pub uid: Option<i64>,
    pub balances: Vec<Balance>,
}

/// One of our trades.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trade {
    pub symbol: String,
    /// Unique within its symbol.
    #[serde(rename = "id")]
    pub trade_id: i64,
    #[serde(rename = "orderId")]
    pub venue_order_id: i64,
    #[serde(deserialize_with = "decimal")]
    pub price: Decimal,
    #[serde(rename = "qty", deserialize_with = "decimal")]
    pub quantity: Decimal,
    #[serde(rename = "quoteQty", deserialize_with = "decimal")]
    pub quote_quantity: Decimal,
    #[serde(deserialize_with = "decimal")]
    pub commission: Decimal,
    pub commission_asset: String,
    /// Exchange time.
    #[serde(rename = "time")]
    pub time_ms: i64,
    pub is_buyer: bool,
    pub is_maker: bool,
}
