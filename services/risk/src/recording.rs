//! Writing what took hold in memory: each halt with its event and its alert, in one transaction.

use std::sync::Arc;

use serde_json::{Value, json};
use thunes_proto::risk::v1::{ActivateKillSwitchRequest, ActivateKillSwitchResponse};
use thunes_proto::{level_to_wire, scope_from_wire, scope_to_wire};
use thunes_store::{OutboxEvent, begin_write, failpoint};
use thunes_types::{Scope, text_halt_activated};

use crate::answers::Answers;
use crate::domain::halts::Halt;
use crate::engine::Engine;
use crate::error::RiskError;
use crate::store::{self, AlertRow};

/// Halts whose present state is in a transaction.
pub(crate) type Recorded = Vec<(Scope, i64)>;

impl Engine {
    pub(crate) async fn write_activation(
        self: Arc<Self>,
        request: ActivateKillSwitchRequest,
        actor: String,
        changed: bool,
    ) {
        match self.try_write_activation(&request, &actor, changed).await {
            Ok(()) => {
                self.outbox.wake();
                failpoint::pass("risk.activate.after_commit");
            }
            Err(error) => {
                tracing::error!(%error, "the activation holds in memory, but could not be written; trying on");
                self.unsaved.notify_one();
            }
        }
    }

    /// Writes whatever is halted now and is not on disk already, and tells of this request.
    async fn try_write_activation(
        &self,
        request: &ActivateKillSwitchRequest,
        actor: &str,
        changed: bool,
    ) -> Result<(), RiskError> {
        let scope = scope_from_wire(request.scope.as_ref())?;
        let _turn = self.switch_writer.lock().await;
        let mut tx = begin_write(&self.database.pool).await?;
        let recorded = self.record_unrecorded(&mut tx, &request.request_id).await?;
        let held = self.state().halts.get(&scope).cloned();
        if !changed {
            let epoch = held
                .as_ref()
                .map_or_else(|| self.state().halts.epoch(), |halt| halt.epoch);
            let mut payload = json!({ "epoch": epoch, "request_id": request.request_id });
            name_scope(&mut payload, &scope);
            let event = OutboxEvent::now("KILL_SWITCH_ACTIVATION_REPEATED", &request.reason, actor, payload);
            self.outbox.add(&mut tx, &event).await?;
        }
        let mut bytes = None;
        if let Some(halt) = held {
            // Until the final answer is there: it says what holds, and a repetition waits for the fence again.
            let provisional = ActivateKillSwitchResponse {
                active: true,
                epoch: halt.epoch,
                durable: true,
                changed,
                level: level_to_wire(halt.level),
                scope: scope_to_wire(&scope),
                reason: halt.author.reason.clone(),
                activated_at_ms: halt.author.at_ms,
                ..Default::default()
            };
            let encoded = Answers::encode("ActivateKillSwitch", request, &provisional);
            Answers::save(&mut tx, &request.request_id, encoded.clone()).await?;
            bytes = Some(encoded);
        }
        failpoint::pass("risk.activate.before_commit");
        tx.commit().await?;
        self.mark_recorded(&recorded);
        if let Some(bytes) = bytes {
            self.answers.keep(&request.request_id, bytes);
        }
        Ok(())
    }

    /// Adds every halt that no disk has yet to the transaction, each with its event and alert. The caller holds the
    /// writer's turn.
    pub(crate) async fn record_unrecorded(
        &self,
        tx: &mut sqlx::Transaction<'_, sqlx::Sqlite>,
        request_id: &str,
    ) -> Result<Recorded, RiskError> {
        let (mut unrecorded, quiet) = {
            let state = self.state();
            let unrecorded = state.halts.held().filter(|halt| !halt.durable);
            (unrecorded.cloned().collect::<Vec<Halt>>(), state.halts.quiet().clone())
        };
        unrecorded.sort_by_key(|halt| halt.epoch);
        let mut recorded = Vec::new();
        for halt in unrecorded {
            store::save_halt(tx, &halt, &quiet).await?;
            if self.alerts.enabled() {
                store::save_alert(tx, &activation_alert(&halt)).await?;
            }
            let mut event = OutboxEvent::now(
                "KILL_SWITCH_ACTIVATED",
                &halt.author.reason,
                &halt.author.actor,
                activation_payload(&halt, request_id),
            );
            event.occurred_at_ms = halt.author.at_ms;
            self.outbox.add(tx, &event).await?;
            recorded.push((halt.scope, halt.epoch));
        }
        Ok(recorded)
    }

    pub(crate) fn mark_recorded(&self, recorded: &Recorded) {
        let mut state = self.state();
        for (scope, epoch) in recorded {
            state.halts.recorded(scope, *epoch);
        }
    }

    /// Writes the present state again and again until the disk takes it.
    pub(crate) async fn save_unsaved(self: &Arc<Self>) {
        let unsaved = self.state().halts.held().find(|halt| !halt.durable).cloned();
        if let Some(halt) = unsaved {
            let request = ActivateKillSwitchRequest {
                reason: halt.author.reason.clone(),
                scope: scope_to_wire(&halt.scope),
                ..Default::default()
            };
            Arc::clone(self)
                .write_activation(request, halt.author.actor, true)
                .await;
        }
    }

    // The full answer replaces the provisional one, off the caller's path.
    pub(crate) fn keep_final_answer(
        self: &Arc<Self>,
        request: &ActivateKillSwitchRequest,
        answer: &ActivateKillSwitchResponse,
    ) {
        if request.request_id.is_empty() {
            return;
        }
        let bytes = Answers::encode("ActivateKillSwitch", request, answer);
        self.answers.keep(&request.request_id, bytes.clone());
        let (engine, request_id) = (Arc::clone(self), request.request_id.clone());
        tokio::spawn(async move {
            let save = async {
                let mut tx = begin_write(&engine.database.pool).await?;
                Answers::save(&mut tx, &request_id, bytes).await?;
                failpoint::pass("risk.answer.before_commit");
                tx.commit().await?;
                failpoint::pass("risk.answer.after_commit");
                Ok::<(), RiskError>(())
            };
            if let Err(error) = save.await {
                tracing::warn!(%error, "the answer to an activation is kept in memory only");
            }
        });
    }
}

fn activation_payload(halt: &Halt, request_id: &str) -> Value {
    let mut payload = json!({
        "epoch": halt.epoch,
        "active": true,
        "request_id": request_id,
        "level": halt.level.as_str(),
        "since_ms": halt.since_ms,
    });
    name_scope(&mut payload, &halt.scope);
    if let Some(cause) = &halt.author.cause {
        payload["trigger"] = json!(cause.trigger);
        payload["measured"] = json!(cause.measured);
        payload["threshold"] = json!(cause.threshold);
    }
    payload
}

/// Adds what the event is about, where that is not everything.
pub(crate) fn name_scope(payload: &mut Value, scope: &Scope) {
    match scope {
        Scope::All => {}
        Scope::Strategy(strategy) => payload["strategy_id"] = json!(strategy.as_str()),
        Scope::Symbol(symbol) => payload["symbol"] = json!(symbol.as_str()),
    }
}

pub(crate) fn activation_alert(halt: &Halt) -> AlertRow {
    AlertRow {
        alert_id: format!("activation-{}", halt.epoch),
        text: text_halt_activated(&halt.scope, &halt.author.reason),
        raised_at_ms: halt.author.at_ms,
        kill_switch: true,
    }
}
