//! Becoming ready: clock, rules, what the last run left, the baseline. Until then opening is refused.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use thunes_binance::Account;
use thunes_proto::position::v1::{GetBaselineRequest, RecordBaselineRequest, TradeCursor};
use thunes_proto::types::v1::Balance;
use thunes_rpc::deadline;
use thunes_runtime::clock;
use thunes_store::{StoreError, begin_write, failpoint};
use thunes_types::{checked_add, parse_decimal};
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::error::GatewayError;
use crate::questions::{NO_TRADE, balances_to_wire};
use crate::resolve::doubt_leftovers;
use crate::store;

const RETRY: Duration = Duration::from_millis(300);
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Snapshots are taken again while trades come in between.
const SNAPSHOT_TRIES: u32 = 10;
/// The fact that holds the baseline, once it is recorded here and at position.
pub(crate) const FACT_BASELINE: &str = "baseline";

/// The fact that holds the newest trade of a symbol that the baseline includes; below every id when it has none.
pub(crate) fn baseline_cursor_name(symbol: &str) -> String {
    format!("baseline_cursor.{symbol}")
}

/// Gets ready, trying again until it works or `shutdown`.
pub(crate) async fn get_ready(engine: Arc<Engine>, shutdown: CancellationToken) {
    let mut said = false;
    let mut doubted = false;
    loop {
        match engine.try_to_get_ready(&mut doubted).await {
            Ok(()) => {
                engine.ready.store(true, Ordering::SeqCst);
                engine.doubts_waiting.notify_one();
                tracing::info!("ready: clock, rules and baseline are known");
                return;
            }
            Err(error) if !said => {
                tracing::warn!(%error, "not ready yet; opening is refused, trying again");
                said = true;
            }
            Err(error) => tracing::debug!(%error, "not ready yet"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

impl Engine {
    async fn try_to_get_ready(self: &Arc<Self>, doubted: &mut bool) -> Result<(), GatewayError> {
        self.read_clock().await?;
        if !*doubted {
            let doubts = doubt_leftovers(self).await?;
            if doubts > 0 {
                tracing::warn!(doubts, "orders of the last run are in doubt; asking the exchange");
            }
            *doubted = true;
            self.doubts_waiting.notify_one();
        }
        self.read_rules().await?;
        // Whatever filled or ended while this gateway was away.
        self.catch_up().await?;
        match store::fact(&self.database.pool, FACT_BASELINE).await? {
            None => self.record_baseline().await?,
            Some(kept) => self.restore_baseline(&kept).await?,
        }
        // Position may be away; that is no reason to refuse closing.
        let _ = self.read_prices().await;
        Ok(())
    }

    /// What the account held before the first order of ours: recorded at position, then here. An existing baseline at
    /// position (this journal was lost or moved) is kept.
    async fn record_baseline(&self) -> Result<(), GatewayError> {
        let known = self
            .position
            .clone()
            .get_baseline(deadline(
                GetBaselineRequest {
                    account: self.config.account.clone(),
                },
                CALL_TIMEOUT,
            ))
            .await
            .map_err(|s| GatewayError::Dependency("position", s.message().to_owned()))?
            .into_inner();
        let (account, cursors) = self.snapshot().await?;
        let traded = |cursor: &&TradeCursor| cursor.last_trade_id != NO_TRADE;
        let balances = balances_to_wire(&account);
        let baseline = RecordBaselineRequest {
            account: self.config.account.clone(),
            balances: if known.found { known.balances } else { balances.clone() },
            cursors: if known.found {
                known.cursors
            } else {
                cursors.iter().filter(traded).cloned().collect()
            },
            taken_at_ms: if known.found {
                known.taken_at_ms
            } else {
                clock::now_ms()
            },
            reason: "first start of the gateway on this account".into(),
            request_id: String::new(),
            replace: false,
        };
        if !known.found {
            self.send_baseline(baseline.clone()).await?;
        }
        let kept = serde_json::to_string(&baseline).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        self.keep_holdings(&balances, &cursors, !known.found, &kept).await
    }

    async fn send_baseline(&self, baseline: RecordBaselineRequest) -> Result<(), GatewayError> {
        let recorded = self
            .position
            .clone()
            .record_baseline(deadline(baseline, CALL_TIMEOUT))
            .await;
        recorded
            .map(|_| ())
            .map_err(|s| GatewayError::Dependency("position", s.message().to_owned()))
    }

    /// A position that lost its database gets the baseline again; the fills come back by a reconciliation with repair.
    /// A position that is away is no reason to wait: it will be asked at the next start.
    async fn restore_baseline(&self, kept: &str) -> Result<(), GatewayError> {
        let question = GetBaselineRequest {
            account: self.config.account.clone(),
        };
        let Ok(answer) = self
            .position
            .clone()
            .get_baseline(deadline(question, CALL_TIMEOUT))
            .await
        else {
            return Ok(());
        };
        if answer.into_inner().found {
            return Ok(());
        }
        let baseline: RecordBaselineRequest =
            serde_json::from_str(kept).map_err(|e| StoreError::Corrupt(format!("the kept baseline: {e}")))?;
        tracing::error!(
            "position has no baseline any more; recording it again: reconcile with repair to bring the fills back"
        );
        self.send_baseline(baseline).await
    }

    async fn keep_holdings(
        &self,
        balances: &[Balance],
        cursors: &[TradeCursor],
        of_baseline: bool,
        kept: &str,
    ) -> Result<(), GatewayError> {
        let mut tx = begin_write(&self.database.pool).await?;
        for balance in balances {
            let total = checked_add(
                parse_decimal("free", &balance.free)?,
                parse_decimal("locked", &balance.locked)?,
            )?;
            store::set_holding(&mut tx, &balance.asset, total).await?;
        }
        // These balances include every trade up to here: none of them may move the holdings again.
        for cursor in cursors {
            store::set_holding_cursor(&mut tx, &cursor.symbol, cursor.last_trade_id).await?;
            if of_baseline {
                let name = baseline_cursor_name(&cursor.symbol);
                store::set_fact(&mut tx, &name, &cursor.last_trade_id.to_string()).await?;
            }
        }
        store::set_fact(&mut tx, FACT_BASELINE, kept).await?;
        failpoint::pass("gateway.baseline.before_commit");
        tx.commit().await?;
        failpoint::pass("gateway.baseline.after_commit");
        Ok(())
    }

    /// Balances, and the newest trade of each symbol that they include: taken when no trade came in between.
    ///
    /// # Errors
    /// When the exchange gives no clear answer, or the account does not hold still.
    pub(crate) async fn snapshot(&self) -> Result<(Account, Vec<TradeCursor>), GatewayError> {
        for _ in 0..SNAPSHOT_TRIES {
            let before = self.cursors().await?;
            let account = self.account().await?;
            let after = self.cursors().await?;
            if before == after {
                return Ok((account, after));
            }
        }
        Err(GatewayError::Dependency(
            "the exchange account",
            "it does not hold still: trades came in during every snapshot".into(),
        ))
    }

    async fn cursors(&self) -> Result<Vec<TradeCursor>, GatewayError> {
        let mut cursors = Vec::new();
        for symbol in &self.config.symbols {
            let last_trade_id = self.last_trade_id(symbol).await?;
            cursors.push(TradeCursor {
                symbol: symbol.to_string(),
                last_trade_id,
            });
        }
        Ok(cursors)
    }
}
