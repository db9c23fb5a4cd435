use std::sync::Arc;
use std::time::Duration;

use thunes_runtime::clock;
use tokio_util::sync::CancellationToken;

use crate::domain::TradingDay;
use crate::live::Live;

/// Prices reach watchers at most about four times a second.
const PRICE_PAUSE: Duration = Duration::from_millis(250);
/// How often the clock is asked whether a new trading day has begun.
const DAY_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Shows new prices, and the new day when one begins, to all watchers until `shutdown`.
pub(crate) async fn publish_prices(live: Arc<Live>, shutdown: CancellationToken) {
    loop {
        let due = tokio::select! {
            () = shutdown.cancelled() => return,
            () = live.prices_changed() => true,
            () = tokio::time::sleep(DAY_CHECK_INTERVAL) => false,
        };
        let today = TradingDay::of(clock::now_ms());
        if due || today != live.shown_day() {
            live.publish(today);
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(PRICE_PAUSE) => {}
        }
    }
}
