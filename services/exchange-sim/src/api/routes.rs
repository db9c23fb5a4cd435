//! Which endpoints exist, what they weigh, who may call them and which parameters they read.

use super::params::Params;
use crate::domain::ApiError;

/// An endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    Ping,
    Time,
    ExchangeInfo,
    Depth,
    Trades,
    HistoricalTrades,
    AggTrades,
    Klines,
    AvgPrice,
    Ticker24h,
    TickerPrice,
    BookTicker,
    PlaceOrder,
    TestOrder,
    CancelReplace,
    QueryOrder,
    CancelOrder,
    OpenOrders,
    CancelOpenOrders,
    AllOrders,
    Account,
    MyTrades,
    OrderRateLimit,
    Commission,
    MyFilters,
}

/// Whether a request must be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Open to all.
    Public,
    /// Signed, reads.
    UserData,
    /// Signed, acts.
    Trade,
}

const ORDER_PARAMS: &[&str] = &[
    "symbol",
    "side",
    "type",
    "timeInForce",
    "quantity",
    "quoteOrderQty",
    "price",
    "newClientOrderId",
    "strategyId",
    "strategyType",
    "stopPrice",
    "trailingDelta",
    "icebergQty",
    "newOrderRespType",
    "selfTradePreventionMode",
    "pegPriceType",
    "pegOffsetValue",
    "pegOffsetType",
    "computeCommissionRates",
];
const CANCEL_REPLACE_PARAMS: &[&str] = &[
    "cancelReplaceMode",
    "cancelNewClientOrderId",
    "cancelOrigClientOrderId",
    "cancelOrderId",
    "cancelRestrictions",
    "orderRateLimitExceededMode",
];
const SIGNED_PARAMS: &[&str] = &["timestamp", "recvWindow", "signature", "apiKey"];

impl Endpoint {
    /// Finds a REST endpoint.
    ///
    /// # Errors
    /// 404 for an unknown path, 405 for a known one with another method, 410 for the retired listen keys.
    pub fn of_rest(method: &str, path: &str) -> Result<Self, ApiError> {
        let rest = path.strip_prefix("/api/v3/").unwrap_or("");
        Ok(match (rest, method) {
            ("ping", "GET") => Self::Ping,
            ("time", "GET") => Self::Time,
            ("exchangeInfo", "GET") => Self::ExchangeInfo,
            ("depth", "GET") => Self::Depth,
            ("trades", "GET") => Self::Trades,
            ("historicalTrades", "GET") => Self::HistoricalTrades,
            ("aggTrades", "GET") => Self::AggTrades,
            ("klines" | "uiKlines", "GET") => Self::Klines,
            ("avgPrice", "GET") => Self::AvgPrice,
            ("ticker/24hr", "GET") => Self::Ticker24h,
            ("ticker/price", "GET") => Self::TickerPrice,
            ("ticker/bookTicker", "GET") => Self::BookTicker,
            ("order", "POST") => Self::PlaceOrder,
            ("order/test", "POST") => Self::TestOrder,
            ("order/cancelReplace", "POST") => Self::CancelReplace,
            ("order", "GET") => Self::QueryOrder,
            ("order", "DELETE") => Self::CancelOrder,
            ("openOrders", "GET") => Self::OpenOrders,
            ("openOrders", "DELETE") => Self::CancelOpenOrders,
            ("allOrders", "GET") => Self::AllOrders,
            ("account", "GET") => Self::Account,
            ("myTrades", "GET") => Self::MyTrades,
            ("rateLimit/order", "GET") => Self::OrderRateLimit,
            ("account/commission", "GET") => Self::Commission,
            ("myFilters", "GET") => Self::MyFilters,
            ("userDataStream", _) => {
                let msg = "This endpoint is retired; subscribe to the user data stream over the WebSocket API.";
                return Err(ApiError::new(-1020, msg).with_status(410));
            }
            _ => return Err(not_found(method, path)),
        })
    }

    /// Finds the endpoint behind a WebSocket API method, with the REST method and path that faults know it by.
    pub fn of_ws(method: &str) -> Option<(Self, &'static str, &'static str)> {
        Some(match method {
            "ping" => (Self::Ping, "GET", "/api/v3/ping"),
            "time" => (Self::Time, "GET", "/api/v3/time"),
            "exchangeInfo" => (Self::ExchangeInfo, "GET", "/api/v3/exchangeInfo"),
            "depth" => (Self::Depth, "GET", "/api/v3/depth"),
            "trades.recent" => (Self::Trades, "GET", "/api/v3/trades"),
            "trades.historical" => (Self::HistoricalTrades, "GET", "/api/v3/historicalTrades"),
            "trades.aggregate" => (Self::AggTrades, "GET", "/api/v3/aggTrades"),
            "klines" | "uiKlines" => (Self::Klines, "GET", "/api/v3/klines"),
            "avgPrice" => (Self::AvgPrice, "GET", "/api/v3/avgPrice"),
            "ticker.24hr" => (Self::Ticker24h, "GET", "/api/v3/ticker/24hr"),
            "ticker.price" => (Self::TickerPrice, "GET", "/api/v3/ticker/price"),
            "ticker.book" => (Self::BookTicker, "GET", "/api/v3/ticker/bookTicker"),
            "order.place" => (Self::PlaceOrder, "POST", "/api/v3/order"),
            "order.test" => (Self::TestOrder, "POST", "/api/v3/order/test"),
            "order.cancelReplace" => (Self::CancelReplace, "POST", "/api/v3/order/cancelReplace"),
            "order.status" => (Self::QueryOrder, "GET", "/api/v3/order"),
            "order.cancel" => (Self::CancelOrder, "DELETE", "/api/v3/order"),
            "openOrders.status" => (Self::OpenOrders, "GET", "/api/v3/openOrders"),
            "openOrders.cancelAll" => (Self::CancelOpenOrders, "DELETE", "/api/v3/openOrders"),
            "allOrders" => (Self::AllOrders, "GET", "/api/v3/allOrders"),
            "account.status" => (Self::Account, "GET", "/api/v3/account"),
            "account.commission" => (Self::Commission, "GET", "/api/v3/account/commission"),
            "myFilters" => (Self::MyFilters, "GET", "/api/v3/myFilters"),
            "account.rateLimits.orders" => (Self::OrderRateLimit, "GET", "/api/v3/rateLimit/order"),
            "myTrades" => (Self::MyTrades, "GET", "/api/v3/myTrades"),
            _ => return None,
        })
    }

    /// Who may call it.
    pub fn security(self) -> Security {
        match self {
            Self::Ping
            | Self::Time
            | Self::ExchangeInfo
            | Self::Depth
            | Self::Trades
            | Self::HistoricalTrades
            | Self::AggTrades
            | Self::Klines
            | Self::AvgPrice
            | Self::Ticker24h
            | Self::TickerPrice
            | Self::BookTicker => Security::Public,
            Self::PlaceOrder | Self::TestOrder | Self::CancelReplace | Self::CancelOrder | Self::CancelOpenOrders => {
                Security::Trade
            }
            Self::QueryOrder
            | Self::OpenOrders
            | Self::AllOrders
            | Self::Account
            | Self::MyTrades
            | Self::OrderRateLimit
            | Self::Commission
            | Self::MyFilters => Security::UserData,
        }
    }

    /// Whether success costs no weight.
    pub fn is_free_when_it_succeeds(self) -> bool {
        matches!(
            self,
            Self::PlaceOrder | Self::CancelOrder | Self::CancelOpenOrders | Self::CancelReplace
        )
    }

    /// Request weight.
    pub fn weight(self, params: &Params) -> u64 {
        let has_symbol = params.get("symbol").is_some();
        match self {
            Self::Ping | Self::Time => 1,
            Self::ExchangeInfo => 20,
            Self::Depth => match params.get("limit").and_then(|l| l.parse::<u64>().ok()).unwrap_or(100) {
                0..=100 => 5,
                101..=500 => 25,
                501..=1_000 => 50,
                1_001.. => 250,
            },
            Self::Trades | Self::HistoricalTrades => 25,
            Self::AggTrades => 4,
            Self::Klines | Self::AvgPrice => 2,
            Self::Ticker24h if has_symbol => 2,
            Self::Ticker24h => 80,
            Self::TickerPrice | Self::BookTicker if has_symbol => 2,
            Self::TickerPrice | Self::BookTicker => 4,
            Self::PlaceOrder | Self::CancelOrder | Self::CancelOpenOrders | Self::CancelReplace => 1,
            Self::TestOrder if params.get("computeCommissionRates") == Some("true") => 20,
            Self::TestOrder => 1,
            Self::QueryOrder => 4,
            Self::OpenOrders if has_symbol => 6,
            Self::OpenOrders => 80,
            Self::AllOrders | Self::Account | Self::Commission => 20,
            Self::MyTrades if params.get("orderId").is_some() => 5,
            Self::MyTrades => 20,
            Self::OrderRateLimit | Self::MyFilters => 40,
        }
    }

    fn reads(self, name: &str) -> bool {
        let own: &[&str] = match self {
            Self::Ping | Self::Time => &[],
            Self::ExchangeInfo => &["symbol", "symbols", "permissions", "showPermissionSets", "symbolStatus"],
            Self::Depth | Self::Trades => &["symbol", "limit", "symbolStatus"],
            Self::HistoricalTrades => &["symbol", "limit", "fromId"],
            Self::AggTrades => &["symbol", "limit", "fromId", "startTime", "endTime"],
            Self::Klines => &["symbol", "interval", "startTime", "endTime", "timeZone", "limit"],
            Self::AvgPrice => &["symbol"],
            Self::Ticker24h | Self::TickerPrice | Self::BookTicker => &["symbol", "symbols", "type", "symbolStatus"],
            Self::PlaceOrder | Self::TestOrder => ORDER_PARAMS,
            Self::CancelReplace => return ORDER_PARAMS.contains(&name) || CANCEL_REPLACE_PARAMS.contains(&name),
            Self::QueryOrder => &["symbol", "orderId", "origClientOrderId"],
            Self::CancelOrder => &[
                "symbol",
                "orderId",
                "origClientOrderId",
                "newClientOrderId",
                "cancelRestrictions",
            ],
            Self::OpenOrders | Self::CancelOpenOrders | Self::Commission | Self::MyFilters => &["symbol"],
            Self::AllOrders => &["symbol", "orderId", "startTime", "endTime", "limit"],
            Self::Account => &["omitZeroBalances"],
            Self::MyTrades => &["symbol", "orderId", "startTime", "endTime", "fromId", "limit"],
            Self::OrderRateLimit => &[],
        };
        own.contains(&name)
    }

    /// Refuses parameters that the endpoint does not read.
    ///
    /// # Errors
    /// -1104 with both counts.
    pub fn check_all_read(self, params: &Params) -> Result<(), ApiError> {
        let signed = self.security() != Security::Public;
        let read =
            |name: &str| self.reads(name) || name == "returnRateLimits" || (signed && SIGNED_PARAMS.contains(&name));
        let sent = params.iter().count();
        let known = params.iter().filter(|(name, _)| read(name)).count();
        if known == sent {
            return Ok(());
        }
        let msg = format!("Not all sent parameters were read; read '{known}' parameter(s) but was sent '{sent}'.");
        Err(ApiError::new(-1104, msg))
    }
}

fn not_found(method: &str, path: &str) -> ApiError {
    let known_elsewhere = ["GET", "POST", "DELETE"]
        .iter()
        .any(|m| *m != method && Endpoint::of_rest_exact(m, path));
    if known_elsewhere {
        return ApiError::new(-1020, format!("{method} is not supported for {path}.")).with_status(405);
    }
    ApiError::new(-1020, format!("{path} is not an endpoint of this exchange.")).with_status(404)
}

impl Endpoint {
    fn of_rest_exact(method: &str, path: &str) -> bool {
        let known: &[(&str, &str)] = &[
            ("GET", "ping"),
            ("GET", "time"),
            ("GET", "exchangeInfo"),
            ("GET", "depth"),
            ("GET", "trades"),
            ("GET", "historicalTrades"),
            ("GET", "aggTrades"),
            ("GET", "klines"),
            ("GET", "uiKlines"),
            ("GET", "avgPrice"),
            ("GET", "ticker/24hr"),
            ("GET", "ticker/price"),
            ("GET", "ticker/bookTicker"),
            ("POST", "order"),
            ("POST", "order/test"),
            ("POST", "order/cancelReplace"),
            ("GET", "openOrders"),
            ("GET", "allOrders"),
            ("GET", "account"),
            ("GET", "myTrades"),
            ("GET", "rateLimit/order"),
            ("GET", "account/commission"),
            ("GET", "myFilters"),
        ];
        let rest = path.strip_prefix("/api/v3/").unwrap_or("");
        known.contains(&(method, rest))
    }
}
