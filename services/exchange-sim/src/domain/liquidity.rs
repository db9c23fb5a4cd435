//! The synthetic side of the book: price levels around the walk's price, drawn anew at each tick and eaten by takers between.

use rand::Rng;
use rust_decimal::Decimal;

use super::money::{floor_to, times};
use super::walk::rng_for;

/// Levels on each side.
pub const LEVELS: usize = 60;

/// One price level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// Price.
    pub price: Decimal,
    /// Base quantity left.
    pub qty: Decimal,
}

/// What shapes one symbol's synthetic book.
#[derive(Debug, Clone, PartialEq)]
pub struct LiquidityRules {
    /// Base quantity of a typical first level; deeper levels hold more.
    pub level_qty: Decimal,
    /// Distance of the best price from the walk's price, hundredths of a percent.
    pub half_spread_bps: Decimal,
    /// Price step of the symbol.
    pub tick_size: Decimal,
    /// Quantity step of the symbol.
    pub step_size: Decimal,
}

/// The bids (best first) and asks (best first) around `mid`.
pub fn draw(rules: &LiquidityRules, seed: u64, symbol: &str, tick: u64, mid: Decimal) -> (Vec<Level>, Vec<Level>) {
    let mut rng = rng_for(seed, symbol, tick, 2);
    let share = times(mid, rules.half_spread_bps) / Decimal::from(10_000);
    let gap = floor_to(share, rules.tick_size).max(rules.tick_size);
    let mut side = |direction: Decimal| {
        let mut levels = Vec::with_capacity(LEVELS);
        for index in 0..LEVELS {
            let distance = gap * Decimal::from(index as u64 + 1);
            let price = (mid + direction * distance).normalize();
            if price <= Decimal::ZERO {
                break;
            }
            // Between half and one and a half of the typical quantity, and more with depth.
            let percent = rng.random_range(50u32..=150) + u32::try_from(index).unwrap_or(0) * 25;
            let qty = floor_to(
                times(rules.level_qty, Decimal::new(i64::from(percent), 2)),
                rules.step_size,
            );
            levels.push(Level {
                price,
                qty: qty.max(rules.step_size),
            });
        }
        levels
    };
    let bids = side(Decimal::NEGATIVE_ONE);
    let asks = side(Decimal::ONE);
    (bids, asks)
}
