//! What Prometheus and the collector see of the gate. Read from memory when somebody looks.

use std::sync::Arc;

use thunes_runtime::{clock, flag, gauge, seconds, whole};

use crate::engine::{Engine, State};

/// Shows the figures of this run.
pub(crate) fn show_metrics(engine: &Arc<Engine>) {
    let of_state = |name, unit, meaning, read: fn(&State) -> Option<f64>| {
        let engine = Arc::clone(engine);
        gauge(name, unit, meaning, move || read(&engine.state()));
    };
    of_state(
        "thunes_kill_switch_active",
        "1",
        "1 while the kill-switch is active",
        |state| Some(flag(state.halts.all().is_some())),
    );
    of_state(
        "thunes_kill_switch_epoch",
        "1",
        "The switch's epoch; each change of any scope adds one",
        |state| Some(whole(state.halts.epoch())),
    );
    of_state(
        "thunes_kill_switch_durable",
        "1",
        "1 when the switch's state is on disk",
        |state| Some(flag(state.halts.held().all(|halt| halt.durable))),
    );
    let meaning = "Symbols and strategies that are halted each by itself";
    of_state("thunes_kill_switch_scoped", "{halt}", meaning, |state| {
        let scoped = state
            .halts
            .held()
            .filter(|halt| halt.scope != thunes_types::Scope::All)
            .count();
        Some(whole(i64::try_from(scoped).unwrap_or(i64::MAX)))
    });
    let meaning = "Gateways whose lease to open positions has not ended";
    of_state("thunes_leases", "{lease}", meaning, |state| {
        let now = clock::boot_ms();
        let held = state
            .leases
            .all()
            .filter(|(_, holder)| holder.lease_end_boot_ms > now)
            .count();
        Some(whole(i64::try_from(held).unwrap_or(i64::MAX)))
    });
    let meaning = "Time since position was last heard; unknown before its first word";
    of_state("thunes_book_age_seconds", "s", meaning, |state| {
        let heard = state.book.heard_at_boot_ms?;
        Some(seconds((clock::boot_ms() - heard).max(0)))
    });
    show_alerts(engine);
}

fn show_alerts(engine: &Arc<Engine>) {
    let alerts = Arc::clone(engine);
    gauge(
        "thunes_alerts_pending",
        "{alert}",
        "Alerts that the Bot API has not accepted",
        move || Some(whole(alerts.alerts.status().pending)),
    );
    let alerts = Arc::clone(engine);
    let meaning = "From the last activation or deactivation to the Bot API's acceptance of its alert";
    gauge("thunes_alert_delay_seconds", "s", meaning, move || {
        let delay_ms = alerts.alerts.status().last_delay_ms;
        (delay_ms >= 0).then(|| seconds(delay_ms))
    });
}
