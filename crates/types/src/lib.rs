//! The words of the trade, as types: money, names, reasons. Pure and synchronous; nothing here does I/O.

mod decimal;
mod field;
mod math;
mod names;
mod rate;
mod reason;
mod scope;
mod texts;

pub use decimal::{DECIMAL_DIGITS_MAX, DECIMAL_LENGTH_MAX, parse_decimal, parse_non_negative, parse_positive};
pub use field::FieldError;
pub use math::{MoneyError, checked_add, checked_mul_exact, checked_sub, floor_to_step, mul_div_half_even};
pub use names::{ClientOrderId, Reason, RequestId, StrategyId, Symbol};
pub use rate::MinuteRate;
pub use reason::ReasonCode;
pub use rust_decimal::Decimal;
pub use scope::{HaltLevel, Scope};
pub use texts::{
    TEXT_ALERT_LATE, TEXT_KILL_SWITCH_DENIED, TEXT_SELL_ALLOWED, TEXT_TRADE_PASSED, text_halt_activated,
    text_halt_deactivated, text_kill_switch_activated, text_kill_switch_deactivated, text_opening_halted,
};
