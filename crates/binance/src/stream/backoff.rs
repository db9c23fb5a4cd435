use std::time::Duration;

const FIRST_MS: u64 = 250;
const MOST_MS: u64 = 30_000;
/// A connection that lived this long was a good one: the next wait is short again. Shorter ones keep the waits growing,
/// since the exchange limits connections per address.
const GOOD_AFTER: Duration = Duration::from_secs(10);

/// The waits between connections: doubling, with half of each left to chance so that clients do not come back together.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Takes note of a connection that ended after it had been subscribed for `lived` (None: never).
    pub(crate) fn ended(&mut self, lived: Option<Duration>) {
        if lived.is_some_and(|lived| lived >= GOOD_AFTER) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
    }

    /// How long to wait now; `chance` is between 0 and 1000.
    pub(crate) fn wait_ms(&self, chance: u64) -> u64 {
        let doublings = self.failures.saturating_sub(1).min(16);
        let full = (FIRST_MS << doublings).min(MOST_MS);
        full / 2 + full / 2 * chance.min(1000) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_bound_and_never_beyond() {
        let mut backoff = Backoff::default();
        let mut last = 0;
        for _ in 0..100 {
            backoff.ended(None);
            assert!(backoff.wait_ms(0) >= last && backoff.wait_ms(1000) <= MOST_MS);
            last = backoff.wait_ms(0);
        }
        assert_eq!(last, MOST_MS / 2);
    }

    #[test]
    fn only_a_connection_that_lived_makes_the_next_wait_short() {
        let mut backoff = Backoff::default();
        for _ in 0..10 {
            backoff.ended(Some(Duration::from_secs(1)));
        }
        assert_eq!(backoff.wait_ms(1000), MOST_MS);
        backoff.ended(Some(GOOD_AFTER));
        assert_eq!(backoff.wait_ms(1000), FIRST_MS);
    }
}
