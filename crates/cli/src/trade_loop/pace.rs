use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::trade_loop::LoopArgs;

/// Says when the next order may begin, and when there is none.
#[derive(Debug)]
pub struct Pace {
    ticks: Mutex<Interval>,
    left: AtomicU64,
    until: Option<Instant>,
    stop: CancellationToken,
}

impl Pace {
    pub fn new(args: &LoopArgs, stop: CancellationToken) -> Self {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / args.rate);
        // After an outage the rate goes on as before; nothing is made up for.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            ticks: Mutex::new(ticks),
            left: AtomicU64::new(args.count.unwrap_or(u64::MAX)),
            until: args
                .duration
                .map(|seconds| Instant::now() + Duration::from_secs(seconds)),
            stop,
        }
    }

    /// Waits until another order may begin; false when the loop is over.
    pub async fn next(&self) -> bool {
        let tick = async { self.ticks.lock().await.tick().await };
        if self.stop.run_until_cancelled(tick).await.is_none() {
            return false;
        }
        if self.until.is_some_and(|until| Instant::now() >= until) {
            return false;
        }
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
            .is_ok()
    }

    /// A pause that ends early when the loop does.
    pub async fn pause(&self, pause: Duration) {
        self.stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
}
