//! The seeded price walk. One seed, one symbol and one tick number give one step, so a restart continues the same walk.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

/// Randomness that depends only on the seed, the symbol, the tick and the purpose.
pub fn rng_for(seed: u64, symbol: &str, tick: u64, purpose: u64) -> StdRng {
    // FNV-1a: a fixed mixing, because the standard hasher may change between releases.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let parts = [seed.to_le_bytes(), tick.to_le_bytes(), purpose.to_le_bytes()];
    for byte in parts.iter().flatten().chain(symbol.as_bytes()) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    StdRng::seed_from_u64(hash)
}

/// What shapes one symbol's walk.
#[derive(Debug, Clone, PartialEq)]
pub struct WalkRules {
    /// Where the walk begins and what it is drawn back to.
    pub start_price: Decimal,
    /// Largest step per tick, in hundredths of a percent of the price.
    pub volatility_bps: u32,
}

/// The next price, a multiple of `tick_size`, never below one tick.
pub fn next_price(
    rules: &WalkRules,
    seed: u64,
    symbol: &str,
    tick: u64,
    price: Decimal,
    tick_size: Decimal,
) -> Decimal {
    let ticks = (price / tick_size).trunc().to_i64().unwrap_or(i64::MAX / 2).max(1);
    let start = (rules.start_price / tick_size).trunc().to_i64().unwrap_or(ticks).max(1);
    let reach = (i128::from(ticks) * i128::from(rules.volatility_bps) / 10_000).clamp(1, i128::from(i64::MAX / 4));
    let reach = i64::try_from(reach).unwrap_or(1);
    let mut step = rng_for(seed, symbol, tick, 1).random_range(-reach..=reach);
    // Beyond a fifth away from the start the walk only moves back, so that limits and filters stay meaningful for days.
    let drift = i128::from(ticks) - i128::from(start);
    if drift.abs() * 5 > i128::from(start) && (drift > 0) == (step > 0) {
        step = -step;
    }
    (Decimal::from(ticks.saturating_add(step).max(1)) * tick_size).normalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_walk_within_its_bounds() {
        let rules = WalkRules {
            start_price: Decimal::from(60_000),
            volatility_bps: 50,
        };
        let tick_size: Decimal = "0.01".parse().unwrap();
        let run = |seed| {
            let mut price = rules.start_price;
            (0..5_000)
                .map(|n| {
                    price = next_price(&rules, seed, "BTCUSDT", n, price, tick_size);
                    price
                })
                .collect::<Vec<_>>()
        };
        let walk = run(7);
        assert_eq!(walk, run(7));
        assert_ne!(walk, run(8));
        for price in walk {
            assert!(
                (price % tick_size).is_zero() && price > Decimal::from(47_000) && price < Decimal::from(73_000),
                "{price}"
            );
        }
    }
}
