/// How many things happened within the last minute, counted by the second: it takes the same room however many they are.
/// The count is of the present second and the 59 before it.
#[derive(Debug, Clone)]
pub struct MinuteRate {
    /// By second modulo 60: which second, and how many.
    buckets: [(i64, i64); SECONDS],
}

const SECONDS: usize = 60;

impl Default for MinuteRate {
    fn default() -> Self {
        Self {
            buckets: [(i64::MIN, 0); SECONDS],
        }
    }
}

impl MinuteRate {
    /// One more, now.
    pub fn record(&mut self, now_ms: i64) {
        let second = now_ms.div_euclid(1000);
        let place = usize::try_from(second.rem_euclid(60)).unwrap_or(0);
        let bucket = &mut self.buckets[place];
        if bucket.0 != second {
            *bucket = (second, 0);
        }
        bucket.1 = bucket.1.saturating_add(1);
    }

    pub fn in_last_minute(&self, now_ms: i64) -> i64 {
        let second = now_ms.div_euclid(1000);
        let oldest = second.saturating_sub(59);
        let counted = self.buckets.iter().filter(|(at, _)| (oldest..=second).contains(at));
        counted.map(|(_, count)| *count).fold(0, i64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_count_is_that_of_the_seconds_of_the_last_minute(gaps in proptest::collection::vec(0i64..9000, 1..200)) {
            let (mut rate, mut now, mut all) = (MinuteRate::default(), 0i64, Vec::new());
            for gap in gaps {
                now += gap;
                rate.record(now);
                all.push(now / 1000);
                let expected = all.iter().filter(|second| now / 1000 - **second < 60).count();
                prop_assert_eq!(rate.in_last_minute(now), expected as i64);
            }
            prop_assert_eq!(rate.in_last_minute(now + 60_000), 0);
        }
    }
}
