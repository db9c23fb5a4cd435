//! When a halt is known to hold everywhere.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use thunes_proto::risk::v1::{FenceOutcome, GatewayFence, LiveOrder, RestingOrder};
use thunes_proto::types::v1::Side;
use thunes_runtime::clock;
use thunes_types::Scope;

use crate::domain::leases::{Fenced, Holder};
use crate::engine::Engine;

/// States in which an order can still fill.
const CAN_FILL: [&str; 4] = ["INTENT", "IN_DOUBT", "NEW", "PARTIALLY_FILLED"];

impl Engine {
    /// Waits until no gateway can have an opening order of the scope accepted that it admitted before `epoch`. Gives
    /// nothing when the halt ended meanwhile.
    pub(crate) async fn wait_until_fenced(
        &self,
        scope: &Scope,
        epoch: i64,
        arrived: std::time::Instant,
    ) -> Vec<GatewayFence> {
        let rules = self.config.lease;
        let mut changes = self.watch_changes();
        let mut waited: BTreeMap<String, i64> = BTreeMap::new();
        loop {
            let now = clock::boot_ms();
            let (fences, next_deadline) = {
                let state = self.state();
                if state.halts.get(scope).is_none() {
                    // A deactivation came in between: there is nothing left to wait for.
                    return Vec::new();
                }
                let mut next: Option<i64> = None;
                let mut fences = Vec::new();
                for (_, holder) in state.leases.all() {
                    let Some(fenced) = holder.fenced(epoch, now, rules) else {
                        let deadline = holder.silent_until(epoch, rules);
                        next = Some(next.map_or(deadline, |at: i64| at.min(deadline)));
                        continue;
                    };
                    let waited_us = *waited
                        .entry(holder.gateway_id.clone())
                        .or_insert_with(|| clock::elapsed_us(arrived));
                    fences.push(fence_of(holder, fenced, epoch, waited_us, now));
                }
                (fences, next)
            };
            let Some(deadline) = next_deadline else { return fences };
            let wait = Duration::from_millis(u64::try_from(deadline - now).unwrap_or(0).max(1));
            // A change may fence a gateway earlier; an error cannot happen while the engine lives.
            let _ = tokio::time::timeout(wait, changes.changed()).await;
        }
    }

    /// Opening orders of the scope that were accepted before, or may have been, and can still fill.
    pub(crate) fn resting_orders(&self, scope: &Scope) -> Vec<RestingOrder> {
        let state = self.state();
        let holders: HashMap<&str, &str> = state
            .leases
            .all()
            .map(|(account, holder)| (account, holder.gateway_id.as_str()))
            .collect();
        // One that has ended and only waits for position to have its fills can fill no more.
        let opening = |order: &&LiveOrder| {
            order.side() == Side::Buy
                && CAN_FILL.contains(&order.state.as_str())
                && scope.covers(&order.symbol, &order.strategy_id)
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
}

fn fence_of(holder: &Holder, fenced: Fenced, epoch: i64, waited_us: i64, now_boot_ms: i64) -> GatewayFence {
    GatewayFence {
        id: holder.gateway_id.clone(),
        outcome: match fenced {
            Fenced::Confirmed => FenceOutcome::Confirmed,
            Fenced::LeaseExpired => FenceOutcome::LeaseExpired,
        } as i32,
        waited_us,
        lease_end_ms: clock::now_ms() + holder.lease_end_boot_ms - now_boot_ms,
        persisted: holder.persisted_epoch >= epoch,
    }
}
