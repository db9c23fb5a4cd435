//! A client for the Binance Spot REST and WebSocket API that never sends one order twice and never calls an unclear
//! answer a failure. Works against the exchange, its testnet and exchange-sim alike.

mod account;
mod budget;
mod classify;
mod client;
mod credentials;
mod decimal_text;
mod encode;
mod error_kind;
mod exchange_info;
mod order;
mod outcome;
mod private_key;
mod reject_text;
mod signed;
mod stream;
mod time_sync;
mod tls;

pub use account::{Account, AveragePrice, Balance, ServerTime, TickerPrice, Trade};
pub use budget::{BudgetStatus, HeldBack, HeldWhy, Purpose};
pub use client::{BinanceClient, ClientConfig, ClientError, SharedBudget};
pub use credentials::{Credentials, Signer};
pub use error_kind::{ErrorKind, Execution};
pub use exchange_info::{
    ExchangeInfo, Filter, LotSize, MaxNumOrders, MaxPosition, MinNotional, Notional, PercentPrice, PercentPriceBySide,
    PriceFilter, RateLimit, SymbolInfo, SymbolStatus,
};
pub use order::{
    CanceledOrder, NewOrder, NewOrderAnswer, Order, OrderFill, OrderShape, OrderStatus, OrderType, Side, TimeInForce,
};
pub use outcome::{CallError, Doubt, DoubtWhy, Outcome, RateLimited, Rejection};
pub use private_key::{KeyError, PrivateKey};
pub use signed::{SignedRequest, TradesFilter};
pub use stream::{
    AccountPosition, BalanceUpdate, DisconnectWhy, ExecutionReport, ExecutionType, StreamEvent, Subscribe,
    UserStreamConfig, run_user_stream,
};
pub use time_sync::{DRIFT_PPM_MAX, SAMPLES_MAX, TimeEstimate, TimeSample, TimeSync};
