//! Fills on their way to position: kept until it has them, delivered in order, settled with risk afterwards.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use thunes_proto::position::v1::RecordFillsRequest;
use thunes_rpc::deadline;
use thunes_runtime::continue_trace;
use thunes_store::{begin_write, failpoint};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use crate::engine::Engine;
use crate::error::GatewayError;
use crate::store;

const BATCH_MAX: i64 = 200;
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Delivers fills until `shutdown`.
pub(crate) async fn deliver_fills(engine: Arc<Engine>, shutdown: CancellationToken) {
    let mut pause = RETRY_MIN;
    let mut failing = false;
    loop {
        match engine.deliver_batch().await {
            Ok(true) => {
                (failing, pause) = (false, RETRY_MIN);
                continue;
            }
            Ok(false) => (failing, pause) = (false, RETRY_MIN),
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, "fills wait for position");
                }
                failing = true;
                pause = (pause * 2).min(RETRY_MAX);
            }
        }
        let woken = async {
            if failing {
                std::future::pending().await
            } else {
                engine.fills_waiting.notified().await
            }
        };
        let wait = if failing { pause } else { RETRY_MAX };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
            () = woken => {}
        }
    }
}

fn delivery_span(traceparent: &str) -> Span {
    let span = tracing::info_span!("fills.deliver");
    continue_trace(&span, traceparent);
    span
}

impl Engine {
    /// Delivers the oldest fills; says whether there were any.
    ///
    /// # Errors
    /// When position does not take them, or the journal cannot be written; they are delivered again then.
    pub(crate) async fn deliver_batch(&self) -> Result<bool, GatewayError> {
        let rows = store::undelivered(&self.database.pool, BATCH_MAX).await?;
        if rows.is_empty() {
            return Ok(false);
        }
        let request = RecordFillsRequest {
            fills: rows.iter().map(|row| row.fill.clone()).collect(),
            traceparents: rows.iter().map(|row| row.traceparent.clone()).collect(),
        };
        // One span in the trace of each order; the call itself belongs to one only if there is only one.
        let traces: BTreeSet<&str> = rows.iter().map(|row| row.traceparent.as_str()).collect();
        let spans: Vec<Span> = traces.into_iter().map(delivery_span).collect();
        let call = if let [only] = spans.as_slice() {
            only.clone()
        } else {
            Span::none()
        };
        let answer = self
            .position
            .clone()
            .record_fills(deadline(request, DELIVERY_TIMEOUT))
            .instrument(call)
            .await;
        drop(spans);
        let answer = answer
            .map_err(|status| GatewayError::Dependency("position", status.message().to_owned()))?
            .into_inner();
        failpoint::pass("gateway.delivery.before_mark");
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let mut tx = begin_write(&self.database.pool).await?;
        store::mark_delivered(&mut tx, &ids, answer.revision).await?;
        tx.commit().await?;
        failpoint::pass("gateway.delivery.after_mark");
        let orders: BTreeSet<&str> = rows.iter().map(|row| row.fill.client_order_id.as_str()).collect();
        // Each gets its turn, whatever became of the others: they are marked as delivered already.
        let mut failed = None;
        for id in orders {
            failed = self.settle_if_ended(id, answer.revision).await.err().or(failed);
        }
        failed.map_or(Ok(true), Err)
    }

    async fn settle_if_ended(&self, client_order_id: &str, revision: i64) -> Result<(), GatewayError> {
        let mut connection = self.database.pool.acquire().await?;
        let Some(order) = store::find_order(&mut connection, client_order_id).await? else {
            return Ok(());
        };
        drop(connection);
        let ended = order.state()?.is_terminal() && !order.fills_missing;
        if ended && !store::has_undelivered(&self.database.pool, client_order_id).await? {
            self.drop_live(client_order_id);
            let span = order.span("order.settle");
            span.in_scope(|| self.settle_soon(client_order_id, revision));
        }
        Ok(())
    }
}
