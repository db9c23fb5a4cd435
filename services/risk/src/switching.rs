//! Turning the switch. Activation takes hold in memory first; everything else (pushing, writing, alerting) goes on at
//! the same time, so that nothing that hangs can delay the fence.

use std::sync::Arc;
use std::time::Duration;

use thunes_proto::risk::v1::{
    ActivateKillSwitchRequest, ActivateKillSwitchResponse, DeactivateKillSwitchRequest, DeactivateKillSwitchResponse,
    FenceOutcome, GatewayFence, RestingOrder,
};
use thunes_runtime::clock;
use thunes_store::{OutboxEvent, begin_write, failpoint};
use thunes_types::{Reason, RequestId, text_kill_switch_activated, text_kill_switch_deactivated};
use tracing::Instrument;

use crate::answers::Answers;
use crate::domain::leases::Fenced;
use crate::domain::switch::Switch;
use crate::engine::Engine;
use crate::error::{FieldErrors, RiskError};
use crate::store::{self, AlertRow};

/// How long an activation waits for the disk once the fence is closed.
const DISK_PATIENCE: Duration = Duration::from_secs(2);

impl Engine {
    /// Closes the gate and answers when it is known to be closed everywhere.
    ///
    /// # Errors
    /// For a request that is wrong in itself, and when a deactivation came in between; a broken disk or peer never fails
    /// an activation.
    pub(crate) async fn activate(
        self: &Arc<Self>,
        request: ActivateKillSwitchRequest,
        actor: &str,
    ) -> Result<ActivateKillSwitchResponse, RiskError> {
        let arrived = clock::instant();
        check_request(&request.reason, &request.request_id)?;
        let _turn = self.answers.turn(&request.request_id).await;
        let known = self.answers.find("ActivateKillSwitch", &request.request_id, &request)?;
        if let Some(answer) = known {
            return Ok(self.answer_again(answer, arrived).await);
        }
        let (changed, switch) = self.take_hold(&request.reason, actor);
        let writing = Arc::clone(self).write_activation(request.clone(), actor.to_owned(), changed);
        let writing = tokio::spawn(writing.in_current_span());
        let mut gateways = self.wait_until_fenced(switch.epoch, arrived).await;
        let mut fenced_after_us = clock::elapsed_us(arrived);
        // Whether it worked shows in the state; a hung disk is not waited for without bound.
        let _ = tokio::time::timeout(DISK_PATIENCE, writing).await;
        let mut now = self.state().switch.clone();
        let mut fenced_epoch = switch.epoch;
        // Turned off and on again meanwhile: the gate was open in between, so its fence is waited for anew.
        while now.active && now.epoch != fenced_epoch {
            fenced_epoch = now.epoch;
            gateways = self.wait_until_fenced(fenced_epoch, arrived).await;
            fenced_after_us = clock::elapsed_us(arrived);
            now = self.state().switch.clone();
        }
        let changed = changed && now.epoch == switch.epoch;
        if !now.active {
            return Err(RiskError::Superseded);
        }
        let answer = ActivateKillSwitchResponse {
            active: true,
            epoch: now.epoch,
            // A gateway that has the halted epoch on its disk will teach it to a risk that forgot.
            durable: now.durable || gateways.iter().any(|g| g.persisted),
            resting_orders: self.resting_orders(),
            gateways,
            changed,
            fenced_after_us,
            reason: now.reason,
            activated_at_ms: now.changed_at_ms,
        };
        self.keep_final_answer(&request, &answer);
        failpoint::pass("risk.activate.before_answer");
        Ok(answer)
    }

    /// The same answer again; while that activation is still the present one, not before the fence is closed.
    async fn answer_again(
        &self,
        mut answer: ActivateKillSwitchResponse,
        arrived: std::time::Instant,
    ) -> ActivateKillSwitchResponse {
        let present = {
            let state = self.state();
            state.switch.active && state.switch.epoch == answer.epoch
        };
        if present {
            answer.gateways = self.wait_until_fenced(answer.epoch, arrived).await;
            answer.resting_orders = self.resting_orders();
            answer.durable = self.state().switch.durable || answer.gateways.iter().any(|g| g.persisted);
            if answer.fenced_after_us == 0 {
                answer.fenced_after_us = clock::elapsed_us(arrived);
            }
        }
        answer
    }

    /// A trigger of ours activates: takes hold, and writes when the disk lets it; nobody waits.
    pub(crate) fn activate_by_trigger(self: &Arc<Self>, reason: &str, actor: &str) {
        let (changed, _) = self.take_hold(reason, actor);
        if changed {
            let request = ActivateKillSwitchRequest {
                reason: reason.to_owned(),
                request_id: String::new(),
            };
            tokio::spawn(Arc::clone(self).write_activation(request, actor.to_owned(), true));
        }
    }

    fn take_hold(&self, reason: &str, actor: &str) -> (bool, Switch) {
        let (changed, switch) = {
            let mut state = self.state();
            state.activations += 1;
            let changed = state.switch.activate(reason, actor, clock::now_ms());
            (changed, state.switch.clone())
        };
        // Wakes every lease stream, which pushes the new epoch to its gateway.
        self.changed();
        if changed {
            self.announce_activation(&switch);
        }
        (changed, switch)
    }

    /// Tells people: the log at its highest level, and the alert, which goes out whether or not the disk works.
    pub(crate) fn announce_activation(&self, switch: &Switch) {
        tracing::error!(level_name = "CRITICAL", epoch = switch.epoch, actor = %switch.actor, "{}", text_kill_switch_activated(&switch.reason));
        self.alerts.raise(activation_alert(switch));
    }

    async fn write_activation(self: Arc<Self>, request: ActivateKillSwitchRequest, actor: String, changed: bool) {
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

    /// Writes whatever the switch is now, unless it is on disk already, and tells of this request.
    async fn try_write_activation(
        &self,
        request: &ActivateKillSwitchRequest,
        actor: &str,
        changed: bool,
    ) -> Result<(), RiskError> {
        let _turn = self.switch_writer.lock().await;
        let mut tx = begin_write(&self.database.pool).await?;
        let recorded = self.record_unrecorded(&mut tx, &request.request_id).await?;
        if !changed {
            let epoch = self.state().switch.epoch;
            let payload = serde_json::json!({ "epoch": epoch, "request_id": request.request_id });
            let event = OutboxEvent::now("KILL_SWITCH_ACTIVATION_REPEATED", &request.reason, actor, payload);
            self.outbox.add(&mut tx, &event).await?;
        }
        let switch = self.state().switch.clone();
        let mut bytes = None;
        if switch.active {
            // Until the final answer is there: it says what holds, and a repetition waits for the fence again.
            let provisional = ActivateKillSwitchResponse {
                active: true,
                epoch: switch.epoch,
                durable: true,
                changed,
                reason: switch.reason.clone(),
                activated_at_ms: switch.changed_at_ms,
                ..Default::default()
            };
            let encoded = Answers::encode("ActivateKillSwitch", request, &provisional);
            Answers::save(&mut tx, &request.request_id, encoded.clone()).await?;
            bytes = Some(encoded);
        }
        failpoint::pass("risk.activate.before_commit");
        tx.commit().await?;
        self.mark_recorded(recorded);
        if let Some(bytes) = bytes {
            self.answers.keep(&request.request_id, bytes);
        }
        Ok(())
    }

    /// Adds the present activation with its event and alert to the transaction, if no disk has it yet; gives its epoch.
    async fn record_unrecorded(
        &self,
        tx: &mut sqlx::Transaction<'_, sqlx::Sqlite>,
        request_id: &str,
    ) -> Result<Option<i64>, RiskError> {
        let (switch, recorded_epoch) = {
            let state = self.state();
            (state.switch.clone(), state.recorded_epoch)
        };
        if !switch.active || switch.epoch <= recorded_epoch {
            return Ok(None);
        }
        store::save_switch(tx, &switch).await?;
        if self.alerts.enabled() {
            store::save_alert(tx, &activation_alert(&switch)).await?;
        }
        let payload = serde_json::json!({ "epoch": switch.epoch, "active": true, "request_id": request_id });
        let mut event = OutboxEvent::now("KILL_SWITCH_ACTIVATED", &switch.reason, &switch.actor, payload);
        event.occurred_at_ms = switch.changed_at_ms;
        self.outbox.add(tx, &event).await?;
        Ok(Some(switch.epoch))
    }

    fn mark_recorded(&self, epoch: Option<i64>) {
        let Some(epoch) = epoch else { return };
        let mut state = self.state();
        state.recorded_epoch = state.recorded_epoch.max(epoch);
        if state.switch.epoch == epoch {
            state.switch.durable = true;
        }
    }

    /// Writes the present state again and again until the disk takes it.
    pub(crate) async fn save_unsaved(self: &Arc<Self>) {
        let switch = self.state().switch.clone();
        if switch.active && !switch.durable {
            let request = ActivateKillSwitchRequest {
                reason: switch.reason.clone(),
                request_id: String::new(),
            };
            Arc::clone(self).write_activation(request, switch.actor, true).await;
        }
    }

    // The full answer replaces the provisional one, off the caller's path.
    fn keep_final_answer(self: &Arc<Self>, request: &ActivateKillSwitchRequest, answer: &ActivateKillSwitchResponse) {
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

    async fn wait_until_fenced(&self, epoch: i64, arrived: std::time::Instant) -> Vec<GatewayFence> {
        let rules = self.config.lease;
        let mut changes = self.watch_changes();
        let mut waited: std::collections::BTreeMap<String, i64> = std::collections::BTreeMap::new();
        loop {
            let now = clock::boot_ms();
            let (fences, next_deadline) = {
                let state = self.state();
                if state.switch.epoch > epoch && !state.switch.active {
                    // A deactivation came in between: there is nothing left to wait for.
                    return Vec::new();
                }
                let mut next: Option<i64> = None;
                let mut fences = Vec::new();
                for (_, holder) in state.leases.all() {
                    let Some(fenced) = holder.fenced(epoch, now, rules) else {
                        let deadline = holder.lease_end_boot_ms + rules.grace_ms();
                        next = Some(next.map_or(deadline, |at: i64| at.min(deadline)));
                        continue;
                    };
                    let waited_us = *waited
                        .entry(holder.gateway_id.clone())
                        .or_insert_with(|| clock::elapsed_us(arrived));
                    fences.push(GatewayFence {
                        id: holder.gateway_id.clone(),
                        outcome: match fenced {
                            Fenced::Confirmed => FenceOutcome::Confirmed,
                            Fenced::LeaseExpired => FenceOutcome::LeaseExpired,
                        } as i32,
                        waited_us,
                        lease_end_ms: clock::now_ms() + holder.lease_end_boot_ms - now,
                        persisted: holder.persisted_epoch >= epoch,
                    });
                }
                (fences, next)
            };
            let Some(deadline) = next_deadline else { return fences };
            let wait = Duration::from_millis(u64::try_from(deadline - now).unwrap_or(0).max(1));
            // A change may fence a gateway earlier; an error cannot happen while the engine lives.
            let _ = tokio::time::timeout(wait, changes.changed()).await;
        }
    }

    fn resting_orders(&self) -> Vec<RestingOrder> {
        let state = self.state();
        let holders: std::collections::HashMap<&str, &str> = state
            .leases
            .all()
            .map(|(account, holder)| (account, holder.gateway_id.as_str()))
            .collect();
        // One that has ended and only waits for position to have its fills can fill no more.
        let can_fill = ["INTENT", "IN_DOUBT", "NEW", "PARTIALLY_FILLED"];
        let opening = |order: &&thunes_proto::risk::v1::LiveOrder| {
            order.side() == thunes_proto::types::v1::Side::Buy && can_fill.contains(&order.state.as_str())
        };
        let mut resting = Vec::new();
        for (account, live) in &state.live {
            for order in live.iter().filter(opening) {
                resting.push(RestingOrder {
                    gateway_id: holders
                        .get(account.as_str())
                        .map_or_else(String::new, ToString::to_string),
                    client_order_id: order.client_order_id.clone(),
                    symbol: order.symbol.clone(),
                    side: order.side,
                    remaining_quantity: order.remaining_quantity.clone(),
                    state: order.state.clone(),
                });
            }
        }
        resting
    }

    /// Opens the gate again: on disk first, then in memory.
    ///
    /// # Errors
    /// For a wrong request, and when the change cannot be written; the switch then stays active.
    pub(crate) async fn deactivate(
        self: &Arc<Self>,
        request: DeactivateKillSwitchRequest,
        actor: &str,
    ) -> Result<DeactivateKillSwitchResponse, RiskError> {
        check_request(&request.reason, &request.request_id)?;
        let _turn = self.switch_writer.lock().await;
        if let Some(answer) = self
            .answers
            .find("DeactivateKillSwitch", &request.request_id, &request)?
        {
            return Ok(answer);
        }
        let (before, activations) = {
            let state = self.state();
            (state.switch.clone(), state.activations)
        };
        let next = if before.active {
            before.deactivated(&request.reason, actor, clock::now_ms())
        } else {
            before.clone()
        };
        let answer = DeactivateKillSwitchResponse {
            active: false,
            epoch: next.epoch,
            durable: true,
            changed: before.active,
        };
        let mut tx = begin_write(&self.database.pool).await?;
        // The trail must tell of the activation before it tells of its end.
        let recorded = self.record_unrecorded(&mut tx, "").await?;
        let alert = deactivation_alert(&next);
        if before.active {
            store::save_switch(&mut tx, &next).await?;
            if self.alerts.enabled() {
                store::save_alert(&mut tx, &alert).await?;
            }
            let payload = serde_json::json!({ "epoch": next.epoch, "active": false, "request_id": request.request_id });
            let event = OutboxEvent::now("KILL_SWITCH_DEACTIVATED", &request.reason, actor, payload);
            self.outbox.add(&mut tx, &event).await?;
        }
        let bytes = Answers::encode("DeactivateKillSwitch", &request, &answer);
        Answers::save(&mut tx, &request.request_id, bytes.clone()).await?;
        failpoint::pass("risk.deactivate.before_commit");
        tx.commit().await?;
        failpoint::pass("risk.deactivate.after_commit");
        self.mark_recorded(recorded);
        self.outbox.wake();
        if before.active && !self.put_in_force(&next, &before, activations) {
            return Err(RiskError::Overtaken);
        }
        self.answers.keep(&request.request_id, bytes);
        if before.active {
            tracing::info!(actor, "{}", alert.text);
            self.alerts.raise(alert);
        }
        failpoint::pass("risk.deactivate.before_answer");
        Ok(answer)
    }

    /// The deactivation takes effect, unless somebody asked for an activation while it was being written: stopping wins.
    fn put_in_force(&self, next: &Switch, before: &Switch, activations: u64) -> bool {
        let mut state = self.state();
        let undisturbed = state.activations == activations && state.switch.epoch == before.epoch;
        state.recorded_epoch = state.recorded_epoch.max(next.epoch);
        if undisturbed {
            state.switch = next.clone();
        } else {
            state.switch.epoch = state.switch.epoch.max(next.epoch) + 1;
            state.switch.durable = false;
        }
        drop(state);
        if !undisturbed {
            self.unsaved.notify_one();
        }
        self.changed();
        undisturbed
    }
}

fn deactivation_alert(next: &Switch) -> AlertRow {
    AlertRow {
        alert_id: format!("deactivation-{}", next.epoch),
        text: text_kill_switch_deactivated(&next.reason),
        raised_at_ms: next.changed_at_ms,
        kill_switch: false,
    }
}

fn activation_alert(switch: &Switch) -> AlertRow {
    AlertRow {
        alert_id: format!("activation-{}", switch.epoch),
        text: text_kill_switch_activated(&switch.reason),
        raised_at_ms: switch.changed_at_ms,
        kill_switch: true,
    }
}

/// Checks what both requests have in common; every fault at once.
fn check_request(reason: &str, request_id: &str) -> Result<(), RiskError> {
    let mut faults = Vec::new();
    if let Err(error) = Reason::parse(reason) {
        faults.push(error);
    }
    if !request_id.is_empty()
        && let Err(error) = RequestId::parse(request_id)
    {
        faults.push(error);
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(RiskError::Fields(FieldErrors(faults)))
    }
}
