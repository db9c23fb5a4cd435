//! What Prometheus and the collector see of the gateway. Read from memory when somebody looks.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sqlx::{Sqlite, Transaction};
use thunes_proto::gateway::v1 as pb;
use thunes_runtime::{clock, flag, gauge, seconds, whole};
use thunes_store::{Database, StoreError};

use crate::domain::order::OrderState;
use crate::engine::Engine;
use crate::store::{self, OrderRow};

const FACT_RECONCILIATION: &str = "last_reconciliation";

/// The last reconciliation that came to a verdict; it outlives this run.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Reconciled {
    at_ms: i64,
    discrepancies: i64,
}

/// What is kept for metrics alone.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    reconciled: Mutex<Option<Reconciled>>,
}

impl Figures {
    /// As the last run left them. What cannot be read is unknown: no figure is worth a start.
    pub(crate) async fn load(database: &Database) -> Result<Self, StoreError> {
        let kept = store::fact(&database.pool, FACT_RECONCILIATION).await?;
        let reconciled = kept.and_then(|text| serde_json::from_str(&text).ok());
        Ok(Self {
            reconciled: Mutex::new(reconciled),
        })
    }

    /// Remembers a reconciliation in its own transaction. One without a verdict says nothing of either side.
    pub(crate) async fn keep(
        &self,
        tx: &mut Transaction<'_, Sqlite>,
        answer: &pb::ReconcileResponse,
    ) -> Result<(), StoreError> {
        if answer.verdict() == pb::ReconcileVerdict::Undetermined {
            return Ok(());
        }
        let repaired = answer.discrepancies.iter().filter(|found| found.repaired).count();
        let reconciled = Reconciled {
            at_ms: clock::now_ms(),
            discrepancies: answer.discrepancies_total - i64::try_from(repaired).unwrap_or(i64::MAX),
        };
        let text = serde_json::to_string(&reconciled).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        store::set_fact(tx, FACT_RECONCILIATION, &text).await?;
        *self.reconciled.lock().unwrap_or_else(PoisonError::into_inner) = Some(reconciled);
        Ok(())
    }

    fn reconciled(&self) -> Option<Reconciled> {
        *self.reconciled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows the figures of this run.
pub(crate) fn show_metrics(engine: &Arc<Engine>) {
    let show = |name, unit, meaning, read: fn(&Engine) -> Option<f64>| {
        let engine = Arc::clone(engine);
        gauge(name, unit, meaning, move || read(&engine));
    };
    show(
        "thunes_opening_allowed",
        "1",
        "1 while an opening order would pass the gate",
        |engine| Some(flag(engine.opening_refused().is_none())),
    );
    show(
        "thunes_lease_remaining_seconds",
        "s",
        "What is left of the lease to open positions",
        |engine| Some(seconds(engine.gate(|gate| gate.lease_remaining_ms(clock::boot_ms())))),
    );
    let meaning = "1 while the exchange's stream of our own orders is connected";
    show("thunes_exchange_stream_connected", "1", meaning, |engine| {
        Some(flag(engine.stream_connected.load(Ordering::SeqCst)))
    });
    let meaning = "How far the exchange's clock can be from our estimate; unknown before the first reading";
    show("thunes_exchange_clock_uncertainty_seconds", "s", meaning, |engine| {
        engine
            .time_estimate()
            .map(|estimate| seconds(estimate.uncertainty_ms()))
    });
    let meaning = "Request weight that the exchange counted in the current minute, by its last answer";
    show("thunes_exchange_request_weight", "1", meaning, |engine| {
        Some(counted(engine.exchange.budget_status().weight_used))
    });
    let meaning = "Request weight that the exchange allows in a minute";
    show("thunes_exchange_request_weight_limit", "1", meaning, |engine| {
        Some(counted(engine.exchange.budget_status().weight_limit))
    });
    let meaning = "For how long nothing is sent to the exchange, because it asked to wait or banned us; 0 when it is";
    show("thunes_exchange_blocked_seconds", "s", meaning, |engine| {
        Some(seconds(engine.exchange.budget_status().blocked_ms))
    });
    let meaning = "Requests since the start that were not sent, to stay within the exchange's limits";
    show("thunes_exchange_requests_held_back", "{request}", meaning, |engine| {
        Some(counted(engine.exchange.budget_status().held_back))
    });
    show(
        "thunes_orders_open",
        "{order}",
        "Orders that have not ended, those in doubt included",
        |engine| Some(count(engine, |order| !order.state().is_ok_and(OrderState::is_terminal))),
    );
    show(
        "thunes_orders_in_doubt",
        "{order}",
        "Orders of which the exchange has not said what became of them",
        |engine| Some(count(engine, is_in_doubt)),
    );
    let meaning = "Time since the oldest order in doubt was submitted; 0 when there is none";
    show("thunes_orders_in_doubt_oldest_age_seconds", "s", meaning, |engine| {
        let oldest = engine
            .live()
            .iter()
            .filter(|order| is_in_doubt(order))
            .map(|order| order.created_at_ms)
            .min();
        Some(oldest.map_or(0.0, age))
    });
    let meaning = "1 once a reconciliation since the start was clean, or while an operator's override holds";
    show("thunes_reconciliation_gate_open", "1", meaning, |engine| {
        Some(flag(engine.reconciled_enough().is_ok()))
    });
    let meaning = "1 while balances that nothing explains are worth more than gateway.reconcile.tolerance_quote; unknown before the first verdict of this run";
    show(
        "thunes_reconciliation_unexplained_above_tolerance",
        "1",
        meaning,
        |engine| {
            let latest = engine.reconciling.latest.borrow();
            (latest.finished_at_ms > 0).then(|| flag(latest.above_tolerance))
        },
    );
    let meaning = "Time since the last reconciliation that came to a verdict; unknown before the first";
    show("thunes_reconciliation_age_seconds", "s", meaning, |engine| {
        engine.figures.reconciled().map(|reconciled| age(reconciled.at_ms))
    });
    let meaning = "Discrepancies that the last reconciliation with a verdict left; unknown before the first";
    show(
        "thunes_reconciliation_discrepancies",
        "{discrepancy}",
        meaning,
        |engine| {
            engine
                .figures
                .reconciled()
                .map(|reconciled| whole(reconciled.discrepancies))
        },
    );
}

fn counted(count: u64) -> f64 {
    whole(i64::try_from(count).unwrap_or(i64::MAX))
}

fn is_in_doubt(order: &OrderRow) -> bool {
    order.state == OrderState::InDoubt.as_str()
}

fn count(engine: &Engine, counts: fn(&OrderRow) -> bool) -> f64 {
    let count = engine.live().iter().filter(|order| counts(order)).count();
    whole(i64::try_from(count).unwrap_or(i64::MAX))
}

fn age(since_ms: i64) -> f64 {
    seconds((clock::now_ms() - since_ms).max(0))
}
