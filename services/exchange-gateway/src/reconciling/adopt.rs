//! Repairs that are safe: the exchange's trades are taken into the book.

use std::collections::BTreeMap;
use std::sync::Arc;

use thunes_store::{OutboxEvent, begin_write, failpoint};

use super::facts::adopted_fill;
use crate::domain::reconcile::{Class, Comparison, TradeFact};
use crate::engine::Engine;
use crate::error::GatewayError;
use crate::store;

/// Which of the exchange's trades are taken into the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Adopt {
    Nothing,
    /// Fills of our own orders: nobody needs to be asked.
    OwnFills,
    /// Also trades that somebody else made: a person has asked for it.
    All,
}

impl Adopt {
    fn takes(self, class: Class) -> bool {
        match self {
            Self::Nothing => false,
            Self::OwnFills => class == Class::MissedFill,
            Self::All => true,
        }
    }
}

impl Engine {
    /// Adopts what the manner allows. None when there was nothing to be done; otherwise what failed, by difference.
    pub(super) async fn adopt(self: &Arc<Self>, adopt: Adopt, found: &Comparison) -> Option<BTreeMap<String, String>> {
        if adopt == Adopt::All {
            // A request to repair compares again in any case: what was moving may be settled.
            (!found.differences.is_empty()).then_some(())?;
        } else {
            let any = |d: &crate::domain::reconcile::Difference| d.adopt.is_some() && adopt.takes(d.class);
            found.differences.iter().any(any).then_some(())?;
        }
        let mut failures = BTreeMap::new();
        for difference in found.differences.iter().filter(|d| adopt.takes(d.class)) {
            let Some(trade) = &difference.adopt else { continue };
            if let Err(error) = self.adopt_one(trade, adopt).await {
                failures.insert(difference.identity(), error.to_string());
            }
        }
        self.deliver_all().await;
        Some(failures)
    }

    async fn adopt_one(&self, trade: &TradeFact, adopt: Adopt) -> Result<(), GatewayError> {
        let own = store::order_by_venue_id(&self.database.pool, &trade.symbol, &trade.venue_order_id).await?;
        let mut tx = begin_write(&self.database.pool).await?;
        match store::fill(&mut tx, &trade.symbol, trade.trade_id).await? {
            // The journal has it and the book lost it: deliver it again.
            Some(row) => {
                tracing::warn!(symbol = %trade.symbol, trade_id = trade.trade_id, delivered_at = row.delivered_revision, "the book lost a fill; delivering it again");
                store::mark_undelivered(&mut tx, row.id).await?;
            }
            None => {
                let mut fill = adopted_fill(trade);
                if let Some(order) = own {
                    (fill.client_order_id, fill.strategy_id) = (order.client_order_id, order.strategy_id);
                }
                self.write_fill(&mut tx, &fill).await?;
            }
        }
        let payload = serde_json::json!({ "symbol": trade.symbol, "trade_id": trade.trade_id, "venue_order_id": trade.venue_order_id });
        let reason = match adopt {
            Adopt::All => "reconciliation with repair",
            Adopt::OwnFills | Adopt::Nothing => "a fill of our own order that the book lacked",
        };
        let event = OutboxEvent::now("FILL_ADOPTED", reason, "exchange-gateway", payload);
        self.outbox.add(&mut tx, &event).await?;
        failpoint::pass("gateway.adopt.before_commit");
        tx.commit().await?;
        failpoint::pass("gateway.adopt.after_commit");
        self.outbox.wake();
        self.fills_waiting.notify_one();
        Ok(())
    }
}
