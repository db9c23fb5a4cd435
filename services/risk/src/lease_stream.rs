//! The gateways' leases, over their streams.

use std::collections::BTreeSet;
use std::sync::Arc;

use thunes_proto::risk::v1::{HaltOrder, HoldLeaseRequest, HoldLeaseResponse};
use thunes_proto::{level_to_wire, scope_to_wire};
use thunes_runtime::clock;
use thunes_store::failpoint;
use thunes_types::{FieldError, ReasonCode, Symbol, parse_non_negative, parse_positive};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use crate::domain::halts::{Halts, SCOPED_MAX};
use crate::domain::leases::Claim;
use crate::domain::reservations::LiveExposure;
use crate::engine::Engine;
use crate::error::{FieldErrors, RiskError};
use crate::stops::learn_stops;
use crate::store;

/// Most live orders in one message.
const LIVE_ORDERS_MAX: usize = 10_000;
/// A gateway may know newer epochs than a risk that lost its state, but no switch was turned that often meanwhile.
const EPOCH_LEAD_MAX: i64 = 1_000_000;
/// Everything, and each scope by itself.
const HALTS_MAX: usize = SCOPED_MAX + 1;
/// Most prices in one message.
const PRICES_MAX: usize = 5_000;

/// Speaks with one gateway until either side ends.
pub(crate) async fn hold_lease(
    engine: Arc<Engine>,
    mut inbound: Streaming<HoldLeaseRequest>,
    out: mpsc::Sender<Result<HoldLeaseResponse, Status>>,
) {
    let mut changes = engine.watch_changes();
    let mut seen_epoch = engine.state().halts.epoch();
    let mut introduced: Option<(String, String, String)> = None;
    loop {
        let answer = tokio::select! {
            message = inbound.message() => match message {
                Ok(Some(message)) => {
                    introduced = Some((message.account.clone(), message.gateway_id.clone(), message.incarnation.clone()));
                    engine.renew(message).await.map_err(Status::from)
                }
                Ok(None) | Err(_) => break,
            },
            changed = changes.changed() => {
                if changed.is_err() {
                    break;
                }
                let epoch = engine.state().halts.epoch();
                if epoch == seen_epoch {
                    continue;
                }
                seen_epoch = epoch;
                Ok(engine.no_lease(0, None))
            }
        };
        let failed = answer.is_err();
        if out.send(answer).await.is_err() || failed {
            break;
        }
    }
    if let Some((account, gateway_id, incarnation)) = introduced {
        if let Some(holder) = engine.state().leases.holder_mut(&account, &gateway_id, &incarnation) {
            holder.connected = false;
        }
        engine.changed();
    }
}

impl Engine {
    fn no_lease(&self, renew_seq: i64, refused: Option<ReasonCode>) -> HoldLeaseResponse {
        let state = self.state();
        HoldLeaseResponse {
            renew_seq,
            epoch: state.halts.epoch(),
            kill_switch_active: state.halts.all().is_some(),
            halts: halt_orders(&state.halts),
            lease_ms: 0,
            incarnation: self.incarnation.clone(),
            refused_reason_code: refused.map_or_else(String::new, |code| code.to_string()),
        }
    }

    /// Takes over what the gateway says and gives it a lease, if it may have one.
    async fn renew(self: &Arc<Self>, message: HoldLeaseRequest) -> Result<HoldLeaseResponse, RiskError> {
        let live = check_message(&message, self.config.lease.grace_ms(), self.state().halts.epoch())?;
        self.learn(&message);
        let (account, gateway_id, incarnation) = (&message.account, &message.gateway_id, &message.incarnation);
        let claim = {
            let state = self.state();
            state
                .leases
                .claim(account, gateway_id, incarnation, clock::boot_ms(), self.config.lease)
        };
        match claim {
            Claim::Holder => {}
            Claim::HeldByAnother { .. } => {
                return Ok(self.no_lease(message.renew_seq, Some(ReasonCode::AccountHeldByAnotherGateway)));
            }
            Claim::MayTakeOver => {
                let _turn = self.takeover.lock().await;
                let still = {
                    let state = self.state();
                    state
                        .leases
                        .claim(account, gateway_id, incarnation, clock::boot_ms(), self.config.lease)
                };
                if still != Claim::MayTakeOver {
                    return Ok(self.no_lease(message.renew_seq, Some(ReasonCode::AccountHeldByAnotherGateway)));
                }
                // Known on disk before the first grant: a restarted risk must know whom to wait for.
                failpoint::pass("risk.holder.before_commit");
                store::save_holder(&self.database.pool, account, gateway_id, incarnation).await?;
                failpoint::pass("risk.holder.after_commit");
                self.state()
                    .leases
                    .take_over(account, gateway_id, incarnation, clock::boot_ms());
                tracing::info!(gateway_id, account, incarnation, "gateway holds the account");
            }
        }
        Ok(self.grant(&message, &live))
    }

    /// The switch's state as the gateway remembers it; it counts whoever holds the account.
    fn learn(self: &Arc<Self>, message: &HoldLeaseRequest) {
        let learnt = {
            let mut state = self.state();
            let learnt =
                state
                    .halts
                    .learn_halted_epoch(message.highest_halted_epoch, &message.gateway_id, clock::now_ms());
            state.activations += u64::from(learnt);
            learnt
        };
        if learnt {
            if let Some(halt) = self.state().halts.all().cloned() {
                self.announce_activation(&halt);
            }
            self.unsaved.notify_one();
            self.changed();
        }
    }

    fn grant(&self, message: &HoldLeaseRequest, live: &[LiveExposure]) -> HoldLeaseResponse {
        let now = clock::boot_ms();
        let mut state = self.state();
        let approval_grace_ms = self.config.lease.grace_ms();
        if message.live_orders_complete {
            state
                .reservations
                .reconcile(&message.account, live, now, approval_grace_ms);
            state.live.insert(message.account.clone(), message.live_orders.clone());
        }
        let (active, epoch) = (state.halts.all().is_some(), state.halts.epoch());
        let halts = halt_orders(&state.halts);
        let held: BTreeSet<i64> = halts.iter().map(|halt| halt.epoch).collect();
        if let Some(health) = &message.health {
            state.health.insert(message.account.clone(), (health.clone(), now));
        }
        let stops_moved = learn_stops(&mut state, &message.account, &message.stops);
        let lease_ms = if active { 0 } else { self.config.lease.lease_ms };
        for price in &message.prices {
            if let Ok(value) = parse_positive("prices.price", &price.price) {
                let key = (message.account.clone(), price.symbol.clone());
                state.prices.insert(key, (value, price.at_ms));
            }
        }
        // A word about an epoch that has not been is no word.
        let confirmed_epoch = message.confirmed_epoch.min(epoch);
        let holder = state
            .leases
            .holder_mut(&message.account, &message.gateway_id, &message.incarnation);
        let Some(holder) = holder else {
            drop(state);
            return self.no_lease(message.renew_seq, Some(ReasonCode::AccountHeldByAnotherGateway));
        };
        holder.connected = true;
        holder.heard_until_boot_ms = now + self.config.lease.lease_ms;
        let by_confirmation = if message.confirmed_persisted {
            confirmed_epoch
        } else {
            0
        };
        let persisted_epoch = message.persisted_epoch.min(epoch).max(by_confirmation);
        let confirmed_halts: BTreeSet<i64> = message.confirmed_halts.iter().copied().collect();
        let confirmed_halts: BTreeSet<i64> = confirmed_halts.intersection(&held).copied().collect();
        let confirmed = confirmed_epoch > holder.confirmed_epoch
            || persisted_epoch > holder.persisted_epoch
            || confirmed_halts != holder.confirmed_halts;
        holder.confirmed_epoch = holder.confirmed_epoch.max(confirmed_epoch);
        holder.persisted_epoch = holder.persisted_epoch.max(persisted_epoch);
        holder.confirmed_halts = confirmed_halts;
        if lease_ms > 0 {
            // Counted from now, after the gateway began to count: risk never believes a lease over too early.
            holder.grant(epoch, now + lease_ms);
        }
        drop(state);
        if confirmed || stops_moved {
            self.changed();
        }
        HoldLeaseResponse {
            renew_seq: message.renew_seq,
            epoch,
            kill_switch_active: active,
            lease_ms,
            incarnation: self.incarnation.clone(),
            refused_reason_code: String::new(),
            halts,
        }
    }
}

fn halt_orders(halts: &Halts) -> Vec<HaltOrder> {
    let order = |halt: &crate::domain::halts::Halt| HaltOrder {
        scope: scope_to_wire(&halt.scope),
        level: level_to_wire(halt.level),
        epoch: halt.epoch,
    };
    halts.held().map(order).collect()
}

fn check_message(
    message: &HoldLeaseRequest,
    grace_max_ms: i64,
    present_epoch: i64,
) -> Result<Vec<LiveExposure>, RiskError> {
    let mut faults = Vec::new();
    for (field, text) in [
        ("gateway_id", &message.gateway_id),
        ("account", &message.account),
        ("incarnation", &message.incarnation),
    ] {
        if text.is_empty() || text.len() > 64 {
            faults.push(FieldError::new(field, text, "1 to 64 characters"));
        }
    }
    if message.live_orders.len() > LIVE_ORDERS_MAX {
        faults.push(FieldError::new(
            "live_orders",
            &message.live_orders.len().to_string(),
            "at most 10000",
        ));
    }
    if message.prices.len() > PRICES_MAX {
        faults.push(FieldError::new(
            "prices",
            &message.prices.len().to_string(),
            "at most 5000",
        ));
    }
    for (field, count) in [
        ("confirmed_halts", message.confirmed_halts.len()),
        ("stops", message.stops.len()),
    ] {
        if count > HALTS_MAX {
            faults.push(FieldError::new(
                field,
                &count.to_string(),
                format!("at most {HALTS_MAX}"),
            ));
        }
    }
    for (field, epoch) in [
        ("highest_halted_epoch", message.highest_halted_epoch),
        ("confirmed_epoch", message.confirmed_epoch),
        ("persisted_epoch", message.persisted_epoch),
    ] {
        if !(0..=present_epoch.saturating_add(EPOCH_LEAD_MAX)).contains(&epoch) {
            faults.push(FieldError::new(
                field,
                &epoch.to_string(),
                "an epoch that has been, or at most a million beyond the present one",
            ));
        }
    }
    if !(0..=grace_max_ms).contains(&message.grace_ms) {
        let rule = format!(
            "at most {grace_max_ms}: gateway.recv_window_ms + gateway.uncertainty_ms must not exceed those of risk"
        );
        faults.push(FieldError::new("grace_ms", &message.grace_ms.to_string(), rule));
    }
    faults.extend(
        message
            .prices
            .iter()
            .filter_map(|p| Symbol::parse_as("prices.symbol", &p.symbol).err())
            .take(1),
    );
    let mut live = Vec::new();
    for order in message
        .live_orders
        .iter()
        .filter(|o| o.side() == thunes_proto::types::v1::Side::Buy)
    {
        match parse_non_negative("live_orders.remaining_notional", &order.remaining_notional) {
            Ok(notional) => live.push(LiveExposure {
                client_order_id: order.client_order_id.clone(),
                symbol: order.symbol.clone(),
                notional,
            }),
            Err(error) => faults.push(error),
        }
    }
    if faults.is_empty() {
        Ok(live)
    } else {
        Err(RiskError::Fields(FieldErrors(faults)))
    }
}
