//! Activating. It takes hold in memory first; everything else (pushing, writing, alerting) goes on at the same time, so
//! that nothing that hangs can delay the fence.

use std::sync::Arc;
use std::time::Duration;

use thunes_proto::risk::v1::{ActivateKillSwitchRequest, ActivateKillSwitchResponse};
use thunes_proto::{level_from_wire, level_to_wire, scope_from_wire, scope_to_wire};
use thunes_runtime::clock;
use thunes_store::failpoint;
use thunes_types::{FieldError, HaltLevel, Reason, RequestId, Scope, text_halt_activated};
use tracing::Instrument;

use crate::domain::halts::{Author, Halt, SCOPED_MAX};
use crate::engine::Engine;
use crate::error::{FieldErrors, RiskError};
use crate::recording::activation_alert;

/// How long an activation waits for the disk once the fence is closed.
const DISK_PATIENCE: Duration = Duration::from_secs(2);

impl Engine {
    /// Closes the gate for a scope, and answers when it is known to be closed everywhere. Above the lowest level it then
    /// waits, for a bounded time, until the exchange has confirmed that orders are canceled and positions sold.
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
        let (scope, level) = check_activation(&request)?;
        let _turn = self.answers.turn(&request.request_id).await;
        let known = self.answers.find("ActivateKillSwitch", &request.request_id, &request)?;
        if let Some(answer) = known {
            return self.answer_again(&scope, answer, arrived).await;
        }
        let author = Author {
            reason: request.reason.clone(),
            actor: actor.to_owned(),
            at_ms: clock::now_ms(),
            cause: None,
        };
        let (changed, halt) = self.take_hold(&scope, level, author).ok_or_else(|| too_many(&scope))?;
        let writing = Arc::clone(self).write_activation(request.clone(), actor.to_owned(), changed);
        let writing = tokio::spawn(writing.in_current_span());
        let mut gateways = self.wait_until_fenced(&scope, halt.epoch, arrived).await;
        let mut fenced_after_us = clock::elapsed_us(arrived);
        // Whether it worked shows in the state; a hung disk is not waited for without bound.
        let _ = tokio::time::timeout(DISK_PATIENCE, writing).await;
        let mut fenced_epoch = halt.epoch;
        let held = loop {
            let Some(held) = self.state().halts.get(&scope).cloned() else {
                return Err(RiskError::Superseded);
            };
            if held.epoch == fenced_epoch {
                break held;
            }
            // Raised, or turned off and on again meanwhile: the gate may have been open in between, so its fence is
            // waited for anew.
            fenced_epoch = held.epoch;
            gateways = self.wait_until_fenced(&scope, fenced_epoch, arrived).await;
            fenced_after_us = clock::elapsed_us(arrived);
        };
        let stop = self.wait_for_stop(&held).await;
        // Written or persisted while the stop was waited for counts too.
        let durable = self.is_durable(&scope, held.epoch);
        let answer = ActivateKillSwitchResponse {
            active: true,
            epoch: held.epoch,
            // A gateway that has the halted epoch on its disk will teach it to a risk that forgot.
            durable: durable || gateways.iter().any(|g| g.persisted),
            resting_orders: self.resting_orders(&scope),
            gateways,
            changed: changed && held.epoch == halt.epoch,
            fenced_after_us,
            level: level_to_wire(held.level),
            scope: scope_to_wire(&scope),
            stop,
            reason: held.author.reason,
            activated_at_ms: held.author.at_ms,
        };
        self.keep_final_answer(&request, &answer);
        failpoint::pass("risk.activate.before_answer");
        Ok(answer)
    }

    fn is_durable(&self, scope: &Scope, epoch: i64) -> bool {
        let state = self.state();
        state
            .halts
            .get(scope)
            .is_some_and(|halt| halt.epoch == epoch && halt.durable)
    }

    /// The same answer again; while that activation is still the present one, not before the fence is closed.
    async fn answer_again(
        &self,
        scope: &Scope,
        mut answer: ActivateKillSwitchResponse,
        arrived: std::time::Instant,
    ) -> Result<ActivateKillSwitchResponse, RiskError> {
        let Some(held) = self.state().halts.get(scope).cloned() else {
            // Kept when it was written, and nobody was told yet that the fence is closed: there is nothing to tell any more.
            return if answer.fenced_after_us == 0 {
                Err(RiskError::Superseded)
            } else {
                Ok(answer)
            };
        };
        if held.epoch != answer.epoch {
            // Raised, or taken up again after a restart: what holds now is what the caller has to be told.
            answer.epoch = held.epoch;
            answer.level = level_to_wire(held.level);
            answer.reason.clone_from(&held.author.reason);
            answer.activated_at_ms = held.author.at_ms;
        }
        answer.gateways = self.wait_until_fenced(scope, held.epoch, arrived).await;
        answer.resting_orders = self.resting_orders(scope);
        if answer.fenced_after_us == 0 {
            answer.fenced_after_us = clock::elapsed_us(arrived);
        }
        answer.stop = self.wait_for_stop(&held).await;
        answer.durable = self.is_durable(scope, held.epoch) || answer.gateways.iter().any(|g| g.persisted);
        Ok(answer)
    }

    /// A trigger of ours halts everything: takes hold, and writes when the disk lets it; nobody waits.
    pub(crate) fn activate_by_trigger(self: &Arc<Self>, level: HaltLevel, author: Author) {
        let request = ActivateKillSwitchRequest {
            reason: author.reason.clone(),
            ..Default::default()
        };
        let actor = author.actor.clone();
        if let Some((true, _)) = self.take_hold(&Scope::All, level, author) {
            tokio::spawn(Arc::clone(self).write_activation(request, actor, true));
        }
    }

    /// None when too many scopes are halted already.
    fn take_hold(&self, scope: &Scope, level: HaltLevel, author: Author) -> Option<(bool, Halt)> {
        let (changed, halt) = {
            let mut state = self.state();
            if !state.halts.has_room_for(scope) {
                return None;
            }
            state.activations += 1;
            let changed = state.halts.activate(scope, level, author);
            (changed, state.halts.get(scope).cloned()?)
        };
        // Wakes every lease stream, which pushes the new epoch to its gateway.
        self.changed();
        if changed {
            self.announce_activation(&halt);
        }
        Some((changed, halt))
    }

    /// Tells people: the log at its highest level, and the alert, which goes out whether or not the disk works.
    pub(crate) fn announce_activation(&self, halt: &Halt) {
        let text = text_halt_activated(&halt.scope, &halt.author.reason);
        tracing::error!(level_name = "CRITICAL", epoch = halt.epoch, actor = %halt.author.actor, halt_level = halt.level.as_str(), "{text}");
        self.alerts.raise(activation_alert(halt));
    }
}

fn too_many(scope: &Scope) -> RiskError {
    let rule = format!("at most {SCOPED_MAX} strategies and symbols halted at once; halt everything instead");
    FieldError::new("scope", &scope.to_string(), rule).into()
}

/// What is wanted; every fault at once.
fn check_activation(request: &ActivateKillSwitchRequest) -> Result<(Scope, HaltLevel), RiskError> {
    let mut faults = check_request(&request.reason, &request.request_id);
    let scope = scope_from_wire(request.scope.as_ref()).map_err(|fault| faults.push(fault));
    let level = level_from_wire(request.level).map_err(|fault| faults.push(fault));
    match (scope, level) {
        (Ok(scope), Ok(level)) if faults.is_empty() => Ok((scope, level)),
        _ => Err(RiskError::Fields(FieldErrors(faults))),
    }
}

/// Checks what both requests have in common.
pub(crate) fn check_request(reason: &str, request_id: &str) -> Vec<FieldError> {
    let reason = Reason::parse(reason).err();
    let request_id = (!request_id.is_empty()).then(|| RequestId::parse(request_id).err());
    reason.into_iter().chain(request_id.flatten()).collect()
}
