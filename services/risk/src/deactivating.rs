//! Ending a halt: on disk first, then in force.

use std::sync::Arc;

use serde_json::json;
use thunes_proto::risk::v1::{DeactivateKillSwitchRequest, DeactivateKillSwitchResponse};
use thunes_proto::scope_from_wire;
use thunes_runtime::clock;
use thunes_store::{OutboxEvent, begin_write, failpoint};
use thunes_types::{Scope, text_halt_deactivated};

use crate::answers::Answers;
use crate::domain::halts::{Author, Lifting};
use crate::engine::Engine;
use crate::error::{FieldErrors, RiskError};
use crate::recording::name_scope;
use crate::store::{self, AlertRow};
use crate::switching::check_request;

impl Engine {
    /// Opens the gate of a scope again; halts of other scopes go on.
    ///
    /// # Errors
    /// For a wrong request, when the change cannot be written, and when somebody activated meanwhile; the halt then goes
    /// on.
    pub(crate) async fn deactivate(
        self: &Arc<Self>,
        request: DeactivateKillSwitchRequest,
        actor: &str,
    ) -> Result<DeactivateKillSwitchResponse, RiskError> {
        let scope = check_deactivation(&request)?;
        let _turn = self.switch_writer.lock().await;
        if let Some(answer) = self
            .answers
            .find("DeactivateKillSwitch", &request.request_id, &request)?
        {
            return Ok(answer);
        }
        let author = Author {
            reason: request.reason.clone(),
            actor: actor.to_owned(),
            at_ms: clock::now_ms(),
            cause: None,
        };
        let (lifting, activations, epoch) = {
            let state = self.state();
            let lifting = state.halts.lifting(&scope, author);
            (lifting, state.activations, state.halts.epoch())
        };
        let answer = DeactivateKillSwitchResponse {
            active: false,
            epoch: lifting.as_ref().map_or(epoch, |lifting| lifting.epoch),
            durable: true,
            changed: lifting.is_some(),
            remaining: self.halts_but(&scope),
        };
        let mut tx = begin_write(&self.database.pool).await?;
        // The trail must tell of the activation before it tells of its end.
        let recorded = self.record_unrecorded(&mut tx, "").await?;
        if let Some(lifting) = &lifting {
            self.record_lifting(&mut tx, lifting, &request.request_id).await?;
        }
        let bytes = Answers::encode("DeactivateKillSwitch", &request, &answer);
        Answers::save(&mut tx, &request.request_id, bytes.clone()).await?;
        failpoint::pass("risk.deactivate.before_commit");
        tx.commit().await?;
        failpoint::pass("risk.deactivate.after_commit");
        self.mark_recorded(&recorded);
        self.outbox.wake();
        if let Some(lifting) = &lifting {
            if !self.put_in_force(lifting, activations) {
                if let Err(error) = self.take_back(&request.request_id).await {
                    tracing::error!(%error, "a deactivation that was overtaken is still on disk; the halt is written again");
                }
                return Err(RiskError::Overtaken);
            }
            let alert = deactivation_alert(lifting);
            tracing::info!(actor, "{}", alert.text);
            self.alerts.raise(alert);
        }
        self.answers.keep(&request.request_id, bytes);
        failpoint::pass("risk.deactivate.before_answer");
        Ok(answer)
    }

    /// The disk says that the halt has ended, and it has not: it is written again at once, and the kept answer goes.
    async fn take_back(&self, request_id: &str) -> Result<(), RiskError> {
        let mut tx = begin_write(&self.database.pool).await?;
        let recorded = self.record_unrecorded(&mut tx, "").await?;
        Answers::withdraw(&mut tx, request_id).await?;
        failpoint::pass("risk.overtaken.before_commit");
        tx.commit().await?;
        failpoint::pass("risk.overtaken.after_commit");
        self.mark_recorded(&recorded);
        Ok(())
    }

    async fn record_lifting(
        &self,
        tx: &mut sqlx::Transaction<'_, sqlx::Sqlite>,
        lifting: &Lifting,
        request_id: &str,
    ) -> Result<(), RiskError> {
        let scope = &lifting.halt.scope;
        match scope {
            Scope::All => {
                let quiet = self.state().halts.quiet_after(lifting);
                store::save_quiet(tx, &quiet).await?;
            }
            Scope::Strategy(_) | Scope::Symbol(_) => store::delete_scoped_halt(tx, scope, lifting.epoch).await?,
        }
        if self.alerts.enabled() {
            store::save_alert(tx, &deactivation_alert(lifting)).await?;
        }
        let mut payload = json!({ "epoch": lifting.epoch, "active": false, "request_id": request_id });
        name_scope(&mut payload, scope);
        let author = &lifting.author;
        let event = OutboxEvent::now("KILL_SWITCH_DEACTIVATED", &author.reason, &author.actor, payload);
        self.outbox.add(tx, &event).await?;
        Ok(())
    }

    /// The deactivation takes effect, unless somebody asked for an activation of whatever scope while it was being
    /// written: stopping wins.
    fn put_in_force(self: &Arc<Self>, lifting: &Lifting, activations: u64) -> bool {
        let mut state = self.state();
        let undisturbed = state.activations == activations && state.halts.epoch() == lifting.epoch - 1;
        if undisturbed {
            state.halts.lift(lifting);
        } else {
            state.halts.keep_in_spite_of(lifting);
        }
        drop(state);
        if !undisturbed {
            self.unsaved.notify_one();
        }
        self.changed();
        undisturbed
    }
}

fn deactivation_alert(lifting: &Lifting) -> AlertRow {
    AlertRow {
        alert_id: format!("deactivation-{}", lifting.epoch),
        text: text_halt_deactivated(&lifting.halt.scope, &lifting.author.reason),
        raised_at_ms: lifting.author.at_ms,
        kill_switch: false,
    }
}

fn check_deactivation(request: &DeactivateKillSwitchRequest) -> Result<Scope, RiskError> {
    let mut faults = check_request(&request.reason, &request.request_id);
    match scope_from_wire(request.scope.as_ref()) {
        Ok(scope) if faults.is_empty() => Ok(scope),
        scope => {
            faults.extend(scope.err());
            Err(RiskError::Fields(FieldErrors(faults)))
        }
    }
}
