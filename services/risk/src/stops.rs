//! How far the gateways are with canceling and selling, put together.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use thunes_proto::risk::v1::{self as pb, Stop, StopState};
use thunes_proto::{level_to_wire, scope_to_wire};
use thunes_runtime::clock;
use thunes_types::Scope;

use crate::domain::halts::Halt;
use crate::engine::{Engine, State};

/// Most names in one list of an answer.
const NAMED_MAX: usize = 500;
/// Stands for whoever held a lease before a damaged database was set aside; nothing is ever heard of it.
pub(crate) const UNKNOWN_HOLDER: &str = "(unknown)";

/// By account, then by the epoch of the halt.
pub(crate) type Stops = HashMap<String, BTreeMap<i64, Stop>>;

/// Takes over what a gateway tells, and forgets halts that are over.
pub(crate) fn learn_stops(state: &mut State, account: &str, reports: &[pb::StopReport]) -> bool {
    let held: Vec<i64> = state.halts.held().map(|halt| halt.epoch).collect();
    let told: BTreeMap<i64, Stop> = reports
        .iter()
        .filter(|report| held.contains(&report.halt_epoch))
        .filter_map(|report| Some((report.halt_epoch, report.stop.clone()?)))
        .collect();
    let before = state.stops.insert(account.to_owned(), told);
    before.as_ref() != state.stops.get(account)
}

/// The stop of a halt over all gateways; None where the level has none.
fn stop_of(state: &State, halt: &Halt) -> Option<Stop> {
    if !halt.level.stops_orders() {
        return None;
    }
    let mut whole = Stop::default();
    let mut states = Vec::new();
    for (account, holder) in state.leases.all() {
        if holder.gateway_id == UNKNOWN_HOLDER {
            continue;
        }
        match state
            .stops
            .get(account)
            .and_then(|of_account| of_account.get(&halt.epoch))
        {
            Some(part) => {
                states.push(part.state());
                whole
                    .canceled_client_order_ids
                    .extend(part.canceled_client_order_ids.iter().cloned());
                whole.open_orders.extend(part.open_orders.iter().cloned());
                whole.sold.extend(part.sold.iter().cloned());
                whole.rest.extend(part.rest.iter().cloned());
                // What it told last may be old.
                if !holder.connected {
                    whole.waiting_for_gateways.push(holder.gateway_id.clone());
                }
            }
            None => whole.waiting_for_gateways.push(holder.gateway_id.clone()),
        }
    }
    whole.canceled_client_order_ids.truncate(NAMED_MAX);
    whole.open_orders.truncate(NAMED_MAX);
    whole.sold.truncate(NAMED_MAX);
    let unfinished = |state: &StopState| match state {
        StopState::Running | StopState::Unspecified => true,
        StopState::Done | StopState::Incomplete => false,
    };
    let stop_state = if !whole.waiting_for_gateways.is_empty() || states.iter().any(unfinished) {
        StopState::Running
    } else if states.contains(&StopState::Incomplete) {
        StopState::Incomplete
    } else {
        StopState::Done
    };
    whole.state = stop_state.into();
    Some(whole)
}

/// A halt as the API shows it.
fn halt_to_wire(state: &State, halt: &Halt) -> pb::Halt {
    pb::Halt {
        scope: scope_to_wire(&halt.scope),
        level: level_to_wire(halt.level),
        epoch: halt.epoch,
        reason: halt.author.reason.clone(),
        actor: halt.author.actor.clone(),
        since_ms: halt.since_ms,
        durable: halt.durable,
        stop: stop_of(state, halt),
    }
}

/// Every halt that holds.
pub(crate) fn halts_to_wire(state: &State) -> Vec<pb::Halt> {
    state.halts.held().map(|halt| halt_to_wire(state, halt)).collect()
}

impl Engine {
    /// Every halt that holds, but the one of this scope.
    pub(crate) fn halts_but(&self, scope: &Scope) -> Vec<pb::Halt> {
        let state = self.state();
        let others = state.halts.held().filter(|halt| halt.scope != *scope);
        others.map(|halt| halt_to_wire(&state, halt)).collect()
    }

    /// Waits until nothing more can be done for a halt, or the halt is over, or the time is up; then says how far it is.
    pub(crate) async fn wait_for_stop(&self, halt: &Halt) -> Option<Stop> {
        let patience = Duration::from_millis(u64::try_from(self.config.stop_wait_ms).unwrap_or(0));
        let begun = clock::instant();
        let mut changes = self.watch_changes();
        loop {
            let (stop, present) = {
                let state = self.state();
                let present = state.halts.get(&halt.scope).is_some_and(|now| now.epoch == halt.epoch);
                (stop_of(&state, halt)?, present)
            };
            let Some(left) = patience.checked_sub(begun.elapsed()) else {
                return Some(stop);
            };
            if stop.state() != StopState::Running || !present {
                return Some(stop);
            }
            // Whether it changed or the time is up shows in the next round.
            let _ = tokio::time::timeout(left, changes.changed()).await;
        }
    }
}
