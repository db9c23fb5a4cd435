//! What Prometheus and the collector see of the book. Read from the view that watchers see.

use std::sync::Arc;

use rust_decimal::prelude::ToPrimitive;
use thunes_runtime::{gauge, gauges, whole};

use crate::live::Live;

/// Shows the figures of the book.
pub(crate) fn show_metrics(live: &Arc<Live>) {
    let view = Arc::clone(live);
    gauge(
        "thunes_positions_open",
        "{position}",
        "Positions that are not flat",
        move || {
            let open = view
                .shown()
                .positions
                .iter()
                .filter(|position| position.is_open())
                .count();
            Some(whole(i64::try_from(open).unwrap_or(i64::MAX)))
        },
    );
    let view = Arc::clone(live);
    gauge(
        "thunes_book_revision",
        "1",
        "The book's revision; each batch of new fills adds one",
        move || Some(whole(view.shown().revision)),
    );
    let view = Arc::clone(live);
    let meaning = "Profit and loss of the UTC day, realized and unrealized, in the asset of the label";
    gauges("thunes_daily_pnl", "1", meaning, move |observe| {
        // For a chart; nothing is decided by it.
        if let Some(total) = view.shown().today.total.to_f64() {
            observe(total, &[("asset", view.pnl_asset().as_str())]);
        }
    });
    let view = Arc::clone(live);
    let meaning =
        "What each open position is worth at the last price, or cost where no price is known, in its quote asset";
    gauges("thunes_position_notional", "1", meaning, move |observe| {
        for position in view.shown().positions.iter().filter(|position| position.is_open()) {
            if let Some(notional) = position.notional.to_f64() {
                observe(notional, &[("symbol", position.symbol.as_str())]);
            }
        }
    });
}
