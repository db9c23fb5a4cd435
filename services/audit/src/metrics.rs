//! What Prometheus and the collector see of the trail.

use std::sync::Arc;

use thunes_runtime::{gauge, seconds, whole};

use crate::trail::Trail;

/// Shows the figures of the trail.
pub(crate) fn show_metrics(trail: &Arc<Trail>) {
    let of = Arc::clone(trail);
    gauge(
        "thunes_audit_last_seq",
        "1",
        "The last durable line of the trail",
        move || Some(whole(i64::try_from(of.head().seq).unwrap_or(i64::MAX))),
    );
    let of = Arc::clone(trail);
    let meaning = "In the latest commit, from the time of its oldest event to its being durable";
    gauge("thunes_audit_lag_seconds", "s", meaning, move || {
        of.lag_ms().map(seconds)
    });
    let of = Arc::clone(trail);
    let meaning = "Damaged ends of the log that were set aside, since the trail began";
    gauge("thunes_audit_quarantined", "{file}", meaning, move || {
        Some(whole(i64::try_from(of.quarantined_batches).unwrap_or(i64::MAX)))
    });
}
