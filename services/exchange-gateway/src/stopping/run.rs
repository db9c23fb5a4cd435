use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use thunes_proto::risk::v1::{Stop, StopSale, StopState};
use thunes_store::{OutboxEvent, begin_write, failpoint};
use thunes_types::{HaltLevel, Scope};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{HaltOrder, Job, Ledger, NAMED_MAX, Round};
use crate::domain::order::{OrderState, Side};
use crate::engine::Engine;
use crate::error::GatewayError;
use crate::store;

/// How often it is looked whether halts began or ended, besides when risk says so.
const LOOK: Duration = Duration::from_secs(1);
/// Between two rounds of a halt: at first, after some rounds, and when nothing is left to do.
const FAST_ROUND: Duration = Duration::from_millis(100);
const SLOW_ROUND: Duration = Duration::from_secs(1);
const FAST_ROUNDS: u32 = 20;

/// Carries out every halt that cancels or flattens, each in a task of its own, until `shutdown`.
pub(crate) async fn run_stops(engine: Arc<Engine>, shutdown: CancellationToken) {
    let mut halts = engine.watch_halts();
    let mut under_way: HashMap<i64, CancellationToken> = HashMap::new();
    loop {
        let held = halts.borrow_and_update().clone();
        if held.is_none() {
            under_way.drain().for_each(|(_, over)| over.cancel());
        }
        // Without a word of risk nobody knows which halts hold; without its clock the exchange refuses every request.
        if let Some(held) = held
            && engine.time_estimate().is_some()
        {
            let wanted = || held.iter().filter(|halt| halt.level.stops_orders());
            under_way.retain(|epoch, over| {
                let holds = wanted().any(|halt| halt.epoch == *epoch);
                if !holds {
                    over.cancel();
                }
                holds
            });
            if let Err(error) = engine.end_stops(&held).await {
                tracing::warn!(%error, "the end of a halt could not be written; trying on");
            }
            for halt in wanted() {
                under_way.entry(halt.epoch).or_insert_with(|| {
                    let over = shutdown.child_token();
                    tokio::spawn(carry_out(Arc::clone(&engine), halt.clone(), over.clone()));
                    over
                });
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = halts.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Works on one halt, round by round, until it is over. What is done once is looked at again: a fill can come late.
async fn carry_out(engine: Arc<Engine>, halt: HaltOrder, over: CancellationToken) {
    tracing::warn!(epoch = halt.epoch, scope = %halt.scope, level = halt.level.as_str(), "carrying out a halt");
    let epoch = halt.epoch;
    let mut job = Job {
        halt,
        over,
        rounds: 0,
        ledger: Ledger::default(),
        failures: HashMap::new(),
        rules_read_at: None,
    };
    let mut failing = false;
    while !job.over.is_cancelled() {
        let span = tracing::info_span!("stop.round", epoch);
        let state = match engine.stop_round(&mut job).instrument(span).await {
            Ok(state) => {
                failing = false;
                state
            }
            Err(error) => {
                if !failing {
                    tracing::error!(%error, epoch, "a halt cannot be carried out now; trying on");
                }
                failing = true;
                StopState::Running
            }
        };
        job.rounds = job.rounds.saturating_add(1);
        let fast = state == StopState::Running && job.rounds < FAST_ROUNDS;
        let pause = if fast { FAST_ROUND } else { SLOW_ROUND };
        tokio::select! {
            () = job.over.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    engine.tell_stop(epoch, None);
}

impl Engine {
    async fn stop_round(self: &Arc<Self>, job: &mut Job) -> Result<StopState, GatewayError> {
        if let Err(error) = self.begin_stop(&job.halt).await {
            // Cancelling does not wait for the disk. Without a journal nothing can be placed, so all of it may go.
            let open_orders = self.cancel_unwritten(job, &error).await;
            let stop = Stop {
                state: StopState::Running.into(),
                open_orders,
                ..Stop::default()
            };
            self.tell_stop(job.halt.epoch, Some(stop));
            return Err(error);
        }
        let mut round = Round {
            open_orders: self.cancel_round(job).await?,
            ..Round::default()
        };
        if job.halt.level == HaltLevel::Flatten {
            self.flatten_round(job, &mut round).await?;
        }
        if job.over.is_cancelled() {
            // It was left half way, and the end is what the journal is to say of it.
            return Ok(StopState::Running);
        }
        let state = round.state();
        let stop = self.stop_report(&job.halt, round).await?;
        self.record_stop(&job.halt, &stop).await?;
        self.tell_stop(job.halt.epoch, Some(stop));
        Ok(state)
    }

    /// Writes down, once, what the halt is to cancel: every order of its scope that is live now. Later BUYs of the scope
    /// are added whenever they turn up.
    async fn begin_stop(&self, halt: &HaltOrder) -> Result<(), GatewayError> {
        let known = store::stop_state(&self.database.pool, halt.epoch).await?.is_some();
        let mut tx = begin_write(&self.database.pool).await?;
        let open = store::open_orders(&mut tx).await?;
        let of_scope = open
            .iter()
            .filter(|order| halt.scope.covers(&order.symbol, &order.strategy_id));
        let wanted: Vec<&str> = of_scope
            .filter(|order| !known || order.side() == Side::Buy)
            .map(|order| order.client_order_id.as_str())
            .collect();
        if known && wanted.is_empty() {
            return Ok(());
        }
        for id in &wanted {
            store::add_stop_order(&mut tx, halt.epoch, id).await?;
        }
        if !known {
            store::insert_stop(&mut tx, halt.epoch, &halt.scope, halt.level).await?;
            let mut payload = about(halt);
            payload["orders"] = json!(wanted.len());
            payload["client_order_ids"] = json!(wanted.iter().take(NAMED_MAX).collect::<Vec<_>>());
            let event = OutboxEvent::now("STOP_STARTED", &reason_of(halt), "exchange-gateway", payload);
            self.outbox.add(&mut tx, &event).await?;
        }
        failpoint::pass("gateway.stop_start.before_commit");
        tx.commit().await?;
        failpoint::pass("gateway.stop_start.after_commit");
        self.outbox.wake();
        Ok(())
    }

    /// How far the halt is, from the journal: it says the same after a restart.
    async fn stop_report(&self, halt: &HaltOrder, mut round: Round) -> Result<Stop, GatewayError> {
        let state = round.state();
        let canceled = store::stop_orders(&self.database.pool, halt.epoch, true).await?;
        let canceled = canceled
            .into_iter()
            .filter(|order| order.state == OrderState::Canceled.as_str());
        let sales = store::orders_with_prefix(&self.database.pool, &format!("fl{}-", halt.epoch)).await?;
        let mut sold = Vec::new();
        for sale in sales {
            if !sale.belief()?.executed_quantity.is_zero() {
                sold.push(StopSale {
                    client_order_id: sale.client_order_id,
                    symbol: sale.symbol,
                    quantity: sale.executed_quantity,
                    quote: sale.executed_quote,
                });
            }
        }
        sold.truncate(NAMED_MAX);
        round.open_orders.truncate(NAMED_MAX);
        Ok(Stop {
            state: state.into(),
            canceled_client_order_ids: canceled.map(|order| order.client_order_id).take(NAMED_MAX).collect(),
            open_orders: round.open_orders,
            sold,
            rest: round.rest,
            waiting_for_gateways: Vec::new(),
        })
    }

    /// Writes the state with its event when it is another than before.
    async fn record_stop(&self, halt: &HaltOrder, stop: &Stop) -> Result<(), GatewayError> {
        let (name, event_type) = match stop.state() {
            StopState::Running | StopState::Unspecified => ("RUNNING", "STOP_RESUMED"),
            StopState::Done => ("DONE", "STOP_DONE"),
            StopState::Incomplete => ("INCOMPLETE", "STOP_INCOMPLETE"),
        };
        if store::stop_state(&self.database.pool, halt.epoch).await?.as_deref() == Some(name) {
            return Ok(());
        }
        let mut payload = about(halt);
        payload["canceled"] = json!(stop.canceled_client_order_ids.len());
        payload["open"] = json!(stop.open_orders.len());
        payload["sold"] = json!(stop.sold);
        payload["rest"] = json!(stop.rest);
        self.change_stop(halt.epoch, name, event_type, &reason_of(halt), payload)
            .await
    }

    async fn change_stop(
        &self,
        halt_epoch: i64,
        name: &str,
        event_type: &str,
        reason: &str,
        payload: Value,
    ) -> Result<(), GatewayError> {
        let mut tx = begin_write(&self.database.pool).await?;
        store::set_stop_state(&mut tx, halt_epoch, name).await?;
        let event = OutboxEvent::now(event_type, reason, "exchange-gateway", payload);
        self.outbox.add(&mut tx, &event).await?;
        failpoint::pass("gateway.stop_state.before_commit");
        tx.commit().await?;
        failpoint::pass("gateway.stop_state.after_commit");
        self.outbox.wake();
        tracing::warn!(
            epoch = halt_epoch,
            state = name,
            "a halt is being carried out: {reason}"
        );
        Ok(())
    }

    /// Halts that hold no more are over, however far they came.
    async fn end_stops(&self, held: &[HaltOrder]) -> Result<(), GatewayError> {
        for epoch in store::stops_under_way(&self.database.pool).await? {
            if !held.iter().any(|halt| halt.epoch == epoch) {
                let payload = json!({ "halt_epoch": epoch });
                self.change_stop(
                    epoch,
                    "ENDED",
                    "STOP_ENDED",
                    "the halt was raised or deactivated",
                    payload,
                )
                .await?;
            }
        }
        Ok(())
    }
}

fn reason_of(halt: &HaltOrder) -> String {
    format!("kill-switch for {}, level {}", halt.scope, halt.level.as_str())
}

fn about(halt: &HaltOrder) -> Value {
    let mut payload = json!({ "halt_epoch": halt.epoch, "level": halt.level.as_str() });
    match &halt.scope {
        Scope::All => {}
        Scope::Strategy(strategy) => payload["strategy_id"] = json!(strategy.as_str()),
        Scope::Symbol(symbol) => payload["symbol"] = json!(symbol.as_str()),
    }
    payload
}
