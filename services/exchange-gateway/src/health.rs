//! What this gateway sees of its own health; risk's triggers look at it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use thunes_binance::TimeEstimate;
use thunes_proto::risk::v1::{GatewayHealth, ReconciliationHealth};
use thunes_runtime::clock;
use thunes_types::MinuteRate;

use crate::engine::Engine;

/// Events that the stream told of lately: an answer can come after them.
const HEARD_KEPT: usize = 256;
/// The stream tells in order, so an event shows that nothing before it is on the way any more; but for what overlaps.
const OVERLAP_MS: i64 = 1000;
/// The offset of the exchange's clock is compared over this long.
const OFFSET_SPAN_MS: i64 = 60_000;
/// Readings of that time; there is one every five seconds.
const OFFSETS_KEPT: usize = 64;

/// Health, as counted by this run. It is asked for at every renewal of the lease.
#[derive(Debug)]
pub(crate) struct Health {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    rejects: MinuteRate,
    /// Since when the stream of our own orders is gone.
    disconnected_at_boot_ms: Option<i64>,
    /// Orders that the exchange has answered and the stream has not told of, by when that was.
    unheard: BTreeMap<String, i64>,
    heard: VecDeque<String>,
    /// When it was read, the smallest and the largest offset that explain the reading, in milliseconds.
    offsets: VecDeque<(i64, i64, i64)>,
    reconciliation: ReconciliationHealth,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            inner: Mutex::new(Inner::new(clock::boot_ms())),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The exchange rejected an order.
    pub(crate) fn rejected(&self) {
        self.lock().rejects.record(clock::boot_ms());
    }

    /// The exchange has answered an order: the stream has to tell of it too.
    pub(crate) fn answered(&self, client_order_id: &str) {
        self.lock().answered(client_order_id, clock::boot_ms());
    }

    /// The stream told of an order.
    pub(crate) fn stream_told(&self, client_order_id: &str) {
        self.lock().stream_told(client_order_id, clock::boot_ms());
    }

    pub(crate) fn stream_connected(&self) {
        let mut inner = self.lock();
        inner.disconnected_at_boot_ms = None;
        // What it did not tell before, it never will; the exchange is asked for that.
        inner.unheard.clear();
    }

    pub(crate) fn stream_lost(&self) {
        self.lock().disconnected_at_boot_ms.get_or_insert(clock::boot_ms());
    }

    /// The exchange's clock was read.
    pub(crate) fn clock_read(&self, estimate: TimeEstimate) {
        self.lock().clock_read(estimate, clock::boot_ms());
    }

    /// A reconciliation came to its end: verdict ("CLEAN", "DISCREPANCIES" or "UNDETERMINED"), the worth of what nothing
    /// explains, and how many differences are left.
    pub(crate) fn reconciled(&self, reconciliation: ReconciliationHealth) {
        self.lock().reconciliation = reconciliation;
    }
}

impl Inner {
    fn new(now_boot_ms: i64) -> Self {
        Self {
            rejects: MinuteRate::default(),
            disconnected_at_boot_ms: Some(now_boot_ms),
            unheard: BTreeMap::new(),
            heard: VecDeque::new(),
            offsets: VecDeque::new(),
            reconciliation: ReconciliationHealth {
                verdict: "NEVER".into(),
                unexplained_quote: "0".into(),
                ..Default::default()
            },
        }
    }

    fn answered(&mut self, client_order_id: &str, now_boot_ms: i64) {
        let told = self.heard.iter().any(|heard| heard == client_order_id);
        // More than are ever on the way at once; then the oldest say enough.
        if !told && self.unheard.len() < 10_000 {
            self.unheard.entry(client_order_id.to_owned()).or_insert(now_boot_ms);
        }
    }

    fn stream_told(&mut self, client_order_id: &str, now_boot_ms: i64) {
        self.unheard.remove(client_order_id);
        self.unheard.retain(|_, at| now_boot_ms - *at < OVERLAP_MS);
        if self.heard.len() >= HEARD_KEPT {
            self.heard.pop_front();
        }
        self.heard.push_back(client_order_id.to_owned());
    }

    fn stream_silent_ms(&self, now_boot_ms: i64) -> i64 {
        let unheard = self.unheard.values().min().copied();
        let since = [self.disconnected_at_boot_ms, unheard].into_iter().flatten().min();
        since.map_or(0, |since| (now_boot_ms - since).max(0))
    }

    fn clock_read(&mut self, estimate: TimeEstimate, now_boot_ms: i64) {
        let (offset, uncertainty) = (estimate.offset_ms(), estimate.uncertainty_ms());
        if self.offsets.len() >= OFFSETS_KEPT {
            self.offsets.pop_front();
        }
        self.offsets
            .push_back((now_boot_ms, offset - uncertainty, offset + uncertainty));
    }

    /// How far the offset has moved for certain: what the uncertainty of two readings explains does not count.
    fn offset_change_ms(&self, now_boot_ms: i64) -> i64 {
        let recent = || {
            self.offsets
                .iter()
                .filter(|(at, _, _)| now_boot_ms - at < OFFSET_SPAN_MS)
        };
        let highest_low = recent().map(|(_, low, _)| *low).max();
        let lowest_high = recent().map(|(_, _, high)| *high).min();
        highest_low
            .zip(lowest_high)
            .map_or(0, |(low, high)| (low - high).max(0))
    }
}

impl Engine {
    /// What risk gets with each renewal.
    pub(crate) fn health_for_risk(&self) -> GatewayHealth {
        let uncertainty_ms = self.time_estimate().map_or(-1, |estimate| estimate.uncertainty_ms());
        let now = clock::boot_ms();
        let inner = self.health.lock();
        GatewayHealth {
            rejects_last_minute: inner.rejects.in_last_minute(now),
            account_stream_silent_ms: inner.stream_silent_ms(now),
            clock_uncertainty_ms: uncertainty_ms,
            clock_offset_change_ms: inner.offset_change_ms(now),
            reconciliation: Some(inner.reconciliation.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(offset_ms: i64, uncertainty_ms: i64) -> TimeEstimate {
        TimeEstimate {
            offset_us: offset_ms * 1000,
            uncertainty_us: uncertainty_ms * 1000,
        }
    }

    fn connected() -> Inner {
        Inner {
            disconnected_at_boot_ms: None,
            ..Inner::new(0)
        }
    }

    #[test]
    fn an_idle_stream_is_not_silent_and_one_that_keeps_an_order_back_is() {
        let mut inner = connected();
        assert_eq!(
            inner.stream_silent_ms(1_000_000),
            0,
            "nothing happened that it could tell of"
        );
        inner.answered("a", 1_000_000);
        assert_eq!(inner.stream_silent_ms(1_000_700), 700);
        inner.stream_told("a", 1_000_800);
        assert_eq!(inner.stream_silent_ms(1_900_000), 0);
        inner.stream_told("b", 1_900_000);
        inner.answered("b", 1_900_001);
        assert_eq!(
            inner.stream_silent_ms(2_900_000),
            0,
            "it told of it before the answer came"
        );
        inner.answered("lost", 3_000_000);
        inner.answered("c", 3_000_900);
        inner.stream_told("c", 3_001_000);
        assert_eq!(inner.stream_silent_ms(4_000_000), 0, "one lost event is no silence");
    }

    #[test]
    fn a_stream_that_is_gone_is_silent_since_then() {
        let mut inner = Inner::new(500);
        assert_eq!(inner.stream_silent_ms(900), 400);
        inner.disconnected_at_boot_ms = None;
        assert_eq!(inner.stream_silent_ms(900), 0);
    }

    #[test]
    fn what_uncertainty_explains_is_no_drift_of_the_clock() {
        let mut inner = connected();
        inner.clock_read(estimate(100, 5), 0);
        inner.clock_read(estimate(700, 600), 5000);
        assert_eq!(inner.offset_change_ms(5000), 0);
        inner.clock_read(estimate(2100, 5), 10_000);
        assert_eq!(inner.offset_change_ms(10_000), 1990);
        assert_eq!(
            inner.offset_change_ms(61_000),
            795,
            "the first reading is older than a minute"
        );
        assert_eq!(inner.offset_change_ms(200_000), 0);
    }
}
