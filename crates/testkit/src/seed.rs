use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Repeats a run whose seed was printed.
const SEED_ENV: &str = "THUNES_TEST_SEED";

/// The chance of one test. What it was made of is printed, so that a failure can be repeated.
#[derive(Debug)]
pub struct Seed {
    pub number: u64,
    rng: StdRng,
}

impl Seed {
    /// A new seed for `test`, or the one that `THUNES_TEST_SEED` names.
    pub fn of(test: &str) -> Self {
        let named = std::env::var(SEED_ENV).ok();
        let number = match &named {
            Some(text) => text
                .parse()
                .unwrap_or_else(|_| panic!("{SEED_ENV}={text:?} is no number")),
            None => rand::rng().random_range(1..1_000_000),
        };
        println!("{test}: seed {number} ({SEED_ENV}={number} repeats it)");
        Self {
            number,
            rng: StdRng::seed_from_u64(number),
        }
    }

    /// From `low` up to, not including, `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.rng.random_range(low..high)
    }

    /// A random moment: a wait of `low_ms` up to `high_ms`. Crashes must come at any moment, so here, and only here, a
    /// test waits for time instead of for a condition.
    pub async fn moment(&mut self, low_ms: u64, high_ms: u64) -> Duration {
        let wait = Duration::from_micros(self.between(low_ms * 1000, high_ms * 1000));
        tokio::time::sleep(wait).await;
        wait
    }

    /// One of `all`.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.rng.random_range(0..all.len())]
    }

    /// In an order of its own.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            all.swap(last, self.rng.random_range(0..=last));
        }
    }
}
