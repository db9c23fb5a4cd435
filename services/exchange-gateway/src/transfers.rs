//! Deposits and withdrawals, as the user stream tells of them.

use thunes_binance::BalanceUpdate;
use thunes_runtime::clock;
use thunes_store::{OutboxEvent, begin_write, failpoint};

use crate::domain::reconcile::TransferFact;
use crate::engine::Engine;
use crate::error::GatewayError;
use crate::start::FACT_BASELINE;
use crate::store;

impl Engine {
    /// Keeps a transfer and moves the holdings by it, once, in one transaction with its event. Before the baseline is
    /// recorded there is nothing that it could be added to.
    ///
    /// # Errors
    /// When the journal cannot be written; nothing is kept then.
    pub(crate) async fn hear_transfer(&self, update: &BalanceUpdate) -> Result<(), GatewayError> {
        if store::fact(&self.database.pool, FACT_BASELINE).await?.is_none() {
            tracing::warn!(asset = %update.asset, delta = %update.delta, "a transfer before the baseline: it is part of it, or will not be explained");
            return Ok(());
        }
        let transfer = TransferFact {
            asset: update.asset.clone(),
            delta: update.delta.normalize(),
            cleared_at_ms: update.clear_time_ms,
        };
        let mut tx = begin_write(&self.database.pool).await?;
        if !store::insert_transfer(&mut tx, &transfer, update.event_time_ms, clock::now_ms()).await? {
            return Ok(());
        }
        store::add_to_holding(&mut tx, &transfer.asset, transfer.delta).await?;
        let payload = serde_json::json!({
            "asset": transfer.asset,
            "delta": transfer.delta.to_string(),
            "event_time_ms": update.event_time_ms,
            "cleared_at_ms": transfer.cleared_at_ms,
        });
        let reason = "the exchange's stream told of it";
        let event = OutboxEvent::now("TRANSFER_HEARD", reason, "exchange-gateway", payload);
        self.outbox.add(&mut tx, &event).await?;
        failpoint::pass("gateway.transfer.before_commit");
        tx.commit().await?;
        failpoint::pass("gateway.transfer.after_commit");
        self.outbox.wake();
        tracing::warn!(asset = %transfer.asset, delta = %transfer.delta, "a deposit, withdrawal or transfer");
        Ok(())
    }
}
