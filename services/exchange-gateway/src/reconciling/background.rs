//! Reconciliation by itself: at the start until it is clean, and then all the time.

use std::sync::Arc;
use std::time::Duration;

use thunes_proto::gateway::v1::ReconcileVerdict;
use thunes_runtime::clock;
use tokio_util::sync::CancellationToken;

use super::Manner;
use super::adopt::Adopt;
use crate::engine::Engine;

const ACTOR: &str = "exchange-gateway";
/// Until the first pass of a run is clean it is tried again soon, then less soon.
const STARTING_PAUSE_MIN: Duration = Duration::from_millis(200);
const STARTING_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Trades that a pass may read one by one without waiting longer for the next: reading costs the exchange's weight.
const CHEAP_FILLS: i64 = 10_000;

/// Reconciles until `shutdown`.
pub(crate) async fn reconcile_in_background(engine: Arc<Engine>, shutdown: CancellationToken) {
    let interval = Duration::from_millis(u64::try_from(engine.config.reconcile.interval_ms).unwrap_or(30_000));
    let mut starting = STARTING_PAUSE_MIN;
    let mut round: i64 = 0;
    loop {
        let pause = if engine.is_ready() {
            round += 1;
            let full = round % engine.config.reconcile.full_every == 0;
            let fills_read = engine.background_pass(full).await;
            interval.saturating_mul(u32::try_from(1 + fills_read / CHEAP_FILLS).unwrap_or(u32::MAX))
        } else {
            STARTING_PAUSE_MIN
        };
        let open = engine.reconciling.gate(|gate| gate.is_open(clock::now_ms()));
        let pause = if open { pause } else { starting.min(pause) };
        if engine.is_ready() && !open {
            starting = (starting * 2).min(STARTING_PAUSE_MAX);
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl Engine {
    /// One pass; gives how many trades it read one by one. It gives way to one that somebody asked for.
    async fn background_pass(self: &Arc<Self>, full: bool) -> i64 {
        let Ok(_one) = self.reconciling.one.try_lock() else {
            return 0;
        };
        let (started_at_ms, start) = (clock::now_ms(), clock::instant());
        let adopt = if self.config.reconcile.auto_adopt {
            Adopt::OwnFills
        } else {
            Adopt::Nothing
        };
        let manner = Manner {
            full,
            adopt,
            ask_doubts: false,
        };
        let pass = self.pass(manner).await;
        let mut answer = match self.shown_pass(&pass) {
            Ok(answer) => answer,
            Err(error) => {
                tracing::error!(%error, "a reconciliation cannot be valued");
                return 0;
            }
        };
        answer.started_at_ms = started_at_ms;
        answer.duration_ms = clock::elapsed_ms(start);
        match answer.verdict() {
            ReconcileVerdict::Clean => {
                tracing::debug!(ms = answer.duration_ms, full = answer.full, "reconciled: clean")
            }
            ReconcileVerdict::Discrepancies => {
                tracing::warn!(
                    discrepancies = answer.discrepancies_total,
                    "reconciliation found discrepancies"
                );
            }
            ReconcileVerdict::Undetermined | ReconcileVerdict::Unspecified => {
                tracing::debug!(reason = %answer.undetermined_reason, "no verdict");
            }
        }
        let fills_read = answer.fills_compared - answer.fills_agreed_before;
        if let Err(error) = self.keep_outcome(pass, &answer, None, ACTOR).await {
            tracing::error!(%error, "the outcome of a reconciliation could not be written");
        }
        fills_read
    }
}
