//! The decisions of the book: pure and synchronous, the time is passed in.

mod baseline;
mod book;
mod fill;
mod fold;
mod holding;
mod valuation;

pub use baseline::{Baseline, BaselineChange, HeldBalance};
pub use book::{Book, SymbolAssets};
pub use fill::{Asset, Fill, FillOrder, FillSource, Side};
pub use fold::{DayTotals, Fees, SymbolBook, TradingDay};
pub use holding::{Holding, MONEY_PLACES, Movement};
pub use valuation::{DailyPnl, LastPrice, PositionView, View};
