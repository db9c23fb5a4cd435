use rust_decimal::Decimal;
use serde::Deserialize;

use crate::OrderType;
use crate::decimal_text::decimal;
use crate::order::wire_enum;

wire_enum!(
    /// Whether a symbol trades.
    SymbolStatus {
        Trading = "TRADING",
        EndOfDay = "END_OF_DAY",
        Halt = "HALT",
        Break = "BREAK",
        /// Orders can be canceled, none placed.
        CancelOnly = "CANCEL_ONLY",
    }
);

/// The exchange's rules: limits and symbols.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExchangeInfo {
    #[serde(rename = "serverTime")]
    pub server_time_ms: i64,
    pub rate_limits: Vec<RateLimit>,
    pub symbols: Vec<SymbolInfo>,
}

/// One of the exchange's rate limits: at most `limit` per `interval_count` times `interval`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    /// REQUEST_WEIGHT, ORDERS or RAW_REQUESTS.
    pub rate_limit_type: String,
    /// SECOND, MINUTE, HOUR or DAY.
    pub interval: String,
    #[serde(rename = "intervalNum")]
    pub interval_count: u32,
    pub limit: u32,
}

/// What can be traded, and by which rules.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SymbolInfo {
    pub symbol: String,
    pub status: SymbolStatus,
    pub base_asset: String,
    pub quote_asset: String,
    /// Decimal places of the base asset.
    pub base_asset_precision: u32,
    /// Decimal places of the quote asset.
    pub quote_asset_precision: u32,
    pub order_types: Vec<OrderType>,
    /// Whether a market order can name an amount of the quote asset.
    pub quote_order_qty_market_allowed: bool,
    pub filters: Vec<Filter>,
}

macro_rules! filter_getter {
    ($($(#[$doc:meta])* $name:ident: $variant:ident -> $kind:ty,)*) => {
        impl SymbolInfo {
            $($(#[$doc])*
            pub fn $name(&self) -> Option<&$kind> {
                self.filters.iter().find_map(|filter| match filter {
                    Filter::$variant(found) => Some(found),
                    _ => None,
                })
            })*
        }
    };
}

filter_getter! {
    /// The bounds and step of a price, where the symbol has such a rule.
    price_filter: PriceFilter -> PriceFilter,
    /// The bounds and step of a quantity.
    lot_size: LotSize -> LotSize,
    /// The bounds and step of a market order's quantity, on top of `lot_size`.
    market_lot_size: MarketLotSize -> LotSize,
    /// The smallest value of an order, older form.
    min_notional: MinNotional -> MinNotional,
    /// The smallest and largest value of an order.
    notional: Notional -> Notional,
    /// How far a limit price may be from the average price.
    percent_price_by_side: PercentPriceBySide -> PercentPriceBySide,
    /// How far a limit price may be from the average price, whatever the side.
    percent_price: PercentPrice -> PercentPrice,
    /// The most of the base asset that an account may hold.
    max_position: MaxPosition -> MaxPosition,
    /// The most open orders on the symbol.
    max_num_orders: MaxNumOrders -> MaxNumOrders,
}

/// A rule that an order must pass. A bound of zero turns that bound off.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "filterType")]
pub enum Filter {
    #[serde(rename = "PRICE_FILTER")]
    PriceFilter(PriceFilter),
    #[serde(rename = "LOT_SIZE")]
    LotSize(LotSize),
    #[serde(rename = "MARKET_LOT_SIZE")]
    MarketLotSize(LotSize),
    #[serde(rename = "MIN_NOTIONAL")]
    MinNotional(MinNotional),
    #[serde(rename = "NOTIONAL")]
    Notional(Notional),
    #[serde(rename = "PERCENT_PRICE_BY_SIDE")]
    PercentPriceBySide(PercentPriceBySide),
    #[serde(rename = "PERCENT_PRICE")]
    PercentPrice(PercentPrice),
    #[serde(rename = "MAX_POSITION")]
    MaxPosition(MaxPosition),
    #[serde(rename = "MAX_NUM_ORDERS")]
    MaxNumOrders(MaxNumOrders),
    /// A rule for orders that are not placed here (icebergs, trailing stops), or one that this version does not know.
    #[serde(other)]
    Other,
}

/// Price: between the bounds, a multiple of the tick.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PriceFilter {
    #[serde(deserialize_with = "decimal")]
    pub min_price: Decimal,
    #[serde(deserialize_with = "decimal")]
    pub max_price: Decimal,
    #[serde(deserialize_with = "decimal")]
    pub tick_size: Decimal,
}

/// Quantity: between the bounds, a multiple of the step.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LotSize {
    #[serde(rename = "minQty", deserialize_with = "decimal")]
    pub min_quantity: Decimal,
    #[serde(rename = "maxQty", deserialize_with = "decimal")]
    pub max_quantity: Decimal,
    #[serde(rename = "stepSize", deserialize_with = "decimal")]
    pub step_size: Decimal,
}

/// Value in quote currency: at least this.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MinNotional {
    #[serde(deserialize_with = "decimal")]
    pub min_notional: Decimal,
    /// Whether market orders are measured too, by the average price.
    pub apply_to_market: bool,
    /// Minutes of the average; 0: the last price.
    #[serde(default)]
    pub avg_price_mins: u32,
}

/// Value in quote currency: between the bounds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notional {
    #[serde(deserialize_with = "decimal")]
    pub min_notional: Decimal,
    pub apply_min_to_market: bool,
    #[serde(deserialize_with = "decimal")]
    pub max_notional: Decimal,
    pub apply_max_to_market: bool,
    /// Minutes of the average price that market orders are measured by; 0: the last price.
    #[serde(default)]
    pub avg_price_mins: u32,
}

/// Limit price: between these multiples of the average price, by side.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PercentPriceBySide {
    #[serde(deserialize_with = "decimal")]
    pub bid_multiplier_up: Decimal,
    #[serde(deserialize_with = "decimal")]
    pub bid_multiplier_down: Decimal,
    #[serde(deserialize_with = "decimal")]
    pub ask_multiplier_up: Decimal,
    #[serde(deserialize_with = "decimal")]
    pub ask_multiplier_down: Decimal,
    /// Minutes of the average; 0: the last price.
    #[serde(default)]
    pub avg_price_mins: u32,
}

/// Limit price: between these multiples of the average price.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PercentPrice {
    #[serde(deserialize_with = "decimal")]
    pub multiplier_up: Decimal,
    #[serde(deserialize_with = "decimal")]
    pub multiplier_down: Decimal,
    /// Minutes of the average; 0: the last price.
    #[serde(default)]
    pub avg_price_mins: u32,
}

/// The most of the base asset that an account may hold, open BUY orders counted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MaxPosition {
    #[serde(deserialize_with = "decimal")]
    pub max_position: Decimal,
}

/// The most open orders on the symbol.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MaxNumOrders {
    pub max_num_orders: u32,
}
