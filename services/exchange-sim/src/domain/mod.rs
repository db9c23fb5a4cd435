//! The exchange itself: pure and synchronous; time, ids and randomness come from outside or from the seed.

mod account;
mod candles;
mod events;
mod exchange;
mod filters;
mod liquidity;
mod market;
mod matching;
mod money;
mod order;
mod placing;
mod refusal;
mod replay;
mod transfers;
mod walk;

pub use account::Balance;
pub use candles::{Candle, Interval};
pub use events::{AccountEvent, ExecutionType, MarketEvent};
pub use exchange::{Changes, CommissionRules, Exchange, MarketState, NextIds};
pub use filters::SymbolRules;
pub use liquidity::{Level, LiquidityRules};
pub use market::{Market, PriceSource, PublicTrade, SymbolStatus};
pub use money::{BadDecimal, ZERO, fixed8, parse_decimal, times};
pub use order::{Fill, NewOrder, Order, OrderKind, OrderStatus, RespType, Side, StpMode, TimeInForce, Transfer};
pub use placing::{CancelTarget, Moment, Placed};
pub use refusal::ApiError;
pub use replay::parse_klines_csv;
pub use walk::WalkRules;
