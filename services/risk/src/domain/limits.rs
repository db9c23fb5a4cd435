use serde::{Deserialize, Serialize};
use thunes_types::Decimal;

/// What the gate allows. Amounts are in the quote asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub order_notional_max: Decimal,
    pub position_notional_max: Decimal,
    pub open_positions_max: i64,
    pub daily_loss_max: Decimal,
    pub orders_per_minute_max: i64,
    pub price_collar_bps: i64,
    pub allowed_symbols: Vec<String>,
    pub duplicate_window_ms: i64,
}

impl Limits {
    pub const OPEN_POSITIONS_BOUND: i64 = 10_000;
    pub const ORDERS_PER_MINUTE_BOUND: i64 = 1_000_000;
    pub const PRICE_COLLAR_BOUND_BPS: i64 = 10_000;
    pub const DUPLICATE_WINDOW_BOUND_MS: i64 = 3_600_000;
    pub const ALLOWED_SYMBOLS_BOUND: usize = 2_000;

    pub fn allows_symbol(&self, symbol: &str) -> bool {
        self.allowed_symbols.iter().any(|allowed| allowed == symbol)
    }
}
