use std::collections::VecDeque;

/// How many samples are kept.
pub const SAMPLES_MAX: usize = 16;
/// How fast the two clocks may drift apart, in parts per million: the most by which the kernel slews a clock.
pub const DRIFT_PPM_MAX: i64 = 500;
/// The exchange cuts its time to whole milliseconds, so the true time is up to this much later.
const CUT_US: i64 = 1000;

/// One reading of the exchange's clock between two readings of CLOCK_BOOTTIME.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeSample {
    /// Exchange time, cut to whole milliseconds.
    pub server_time_ms: i64,
    pub sent_boot_us: i64,
    pub received_boot_us: i64,
}

impl TimeSample {
    /// The smallest and largest offset (exchange time minus boot time, microseconds) that explain this reading.
    fn offset_bounds_us(&self) -> (i64, i64) {
        let server_us = self.server_time_ms.saturating_mul(1000);
        (
            server_us.saturating_sub(self.received_boot_us),
            server_us.saturating_add(CUT_US - self.sent_boot_us),
        )
    }

    /// The bounds at a later time, wider by the drift that is possible since.
    fn bounds_at(&self, now_boot_us: i64) -> (i64, i64) {
        let age_us = now_boot_us.saturating_sub(self.received_boot_us).max(0);
        let drift_us = age_us / 1_000_000 * DRIFT_PPM_MAX + age_us % 1_000_000 * DRIFT_PPM_MAX / 1_000_000 + 1;
        let (low, high) = self.offset_bounds_us();
        (low.saturating_sub(drift_us), high.saturating_add(drift_us))
    }

    fn is_possible(&self) -> bool {
        self.sent_boot_us >= 0 && self.received_boot_us >= self.sent_boot_us && self.server_time_ms >= 0
    }
}

/// What is known about the exchange's clock at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeEstimate {
    /// Exchange time minus CLOCK_BOOTTIME.
    pub offset_us: i64,
    /// The true offset is at most this far away.
    pub uncertainty_us: i64,
}

impl TimeEstimate {
    /// Exchange time minus CLOCK_BOOTTIME, in whole milliseconds, rounded down.
    pub fn offset_ms(&self) -> i64 {
        self.offset_us.div_euclid(1000)
    }

    /// The uncertainty in whole milliseconds, rounded up.
    pub fn uncertainty_ms(&self) -> i64 {
        self.uncertainty_us.saturating_add(999).div_euclid(1000)
    }

    /// Exchange time (milliseconds, rounded down) at a reading of CLOCK_BOOTTIME: what a request is signed with.
    pub fn exchange_ms(&self, boot_us: i64) -> i64 {
        boot_us.saturating_add(self.offset_us).div_euclid(1000)
    }
}

/// Keeps the recent readings of the exchange's clock and says what they allow. Pure: time comes with the samples.
#[derive(Debug, Clone, Default)]
pub struct TimeSync {
    samples: VecDeque<TimeSample>,
}

impl TimeSync {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a reading. Older ones that contradict it are dropped: then a clock was stepped, and only the newest reading
    /// counts. Returns false, and keeps nothing, when the reading cannot be one (received before it was sent).
    pub fn record(&mut self, sample: TimeSample) -> bool {
        if !sample.is_possible() {
            return false;
        }
        let (low, high) = sample.bounds_at(sample.received_boot_us);
        self.samples.retain(|older| {
            let (older_low, older_high) = older.bounds_at(sample.received_boot_us);
            older_low <= high && low <= older_high
        });
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        true
    }

    /// The best estimate at `now_boot_us`: half the best round trip, plus what the clocks may have drifted since.
    /// None before the first reading.
    pub fn estimate(&self, now_boot_us: i64) -> Option<TimeEstimate> {
        let bounds = self.samples.iter().map(|sample| sample.bounds_at(now_boot_us));
        let (low, high) = bounds.min_by_key(|(low, high)| high.saturating_sub(*low))?;
        let half = high.saturating_sub(low) / 2;
        // The odd microsecond goes to the uncertainty, so that the true offset is never outside.
        Some(TimeEstimate {
            offset_us: low.saturating_add(half),
            uncertainty_us: half + 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(server_time_ms: i64, sent_boot_us: i64, received_boot_us: i64) -> TimeSample {
        TimeSample {
            server_time_ms,
            sent_boot_us,
            received_boot_us,
        }
    }

    #[test]
    fn nothing_is_known_before_the_first_reading() {
        assert_eq!(TimeSync::new().estimate(5), None);
    }

    #[test]
    fn the_shortest_round_trip_wins_until_drift_makes_it_worse() {
        let mut sync = TimeSync::new();
        sync.record(sample(1_000_000, 0, 2_000));
        sync.record(sample(1_000_100, 100_000, 140_000));
        let now = sync.estimate(150_000).expect("an estimate");
        assert!(now.uncertainty_us < 2_000, "{now:?}");
        let later = sync.estimate(1_000_000_000).expect("an estimate");
        assert!(later.uncertainty_us > 400_000, "1000 s at 500 ppm: {later:?}");
    }

    #[test]
    fn a_stepped_clock_drops_the_older_readings() {
        let mut sync = TimeSync::new();
        sync.record(sample(1_000_000, 0, 1_000));
        sync.record(sample(1_060_000, 100_000, 200_000));
        let now = sync.estimate(200_000).expect("an estimate");
        assert_eq!(now.exchange_ms(150_000), 1_060_000);
    }

    #[test]
    fn impossible_readings_are_refused() {
        let mut sync = TimeSync::new();
        for bad in [sample(1, 10, 9), sample(-1, 0, 1), sample(1, -1, 1)] {
            assert!(!sync.record(bad));
        }
        assert!(
            sync.record(sample(i64::MAX, 0, 0)),
            "absurd but possible: it must not overflow"
        );
        assert!(sync.estimate(i64::MAX).is_some());
    }

    #[test]
    fn memory_is_bounded() {
        let mut sync = TimeSync::new();
        for step in 0..10_000 {
            sync.record(sample(1_000 + step, step * 1_000, step * 1_000 + 500));
        }
        assert_eq!(sync.samples.len(), SAMPLES_MAX);
    }

    proptest! {
        /// The promise that the fence stands on: the true offset lies within the uncertainty, whatever the network does.
        #[test]
        fn p1_the_true_offset_lies_within_the_uncertainty(
            offset_us in 0i64..2_000_000_000_000_000,
            ppm in -DRIFT_PPM_MAX..=DRIFT_PPM_MAX,
            trips in prop::collection::vec((1i64..5_000_000, 0i64..400_000, 0i64..400_000), 1..40),
            wait_us in 0i64..600_000_000,
        ) {
            // Rounding of the simulated clock itself costs a microsecond.
            let exchange_us = |boot_us: i64| offset_us + boot_us + (boot_us / 1_000_000 * ppm) + (boot_us % 1_000_000 * ppm / 1_000_000);
            let mut sync = TimeSync::new();
            let mut now = 0;
            for (gap, out, back) in trips {
                now += gap;
                let sent = now;
                let server_time_ms = exchange_us(sent + out) / 1000;
                now = sent + out + back;
                prop_assert!(sync.record(sample(server_time_ms, sent, now)));
            }
            now += wait_us;
            let estimate = sync.estimate(now).expect("there are samples");
            let error = (exchange_us(now) - now - estimate.offset_us).abs();
            prop_assert!(error <= estimate.uncertainty_us + 2, "off by {error} of {}", estimate.uncertainty_us);
        }
    }
}
