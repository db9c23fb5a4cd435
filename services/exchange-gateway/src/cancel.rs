//! Cancelling: always allowed, with or without risk, audit or a lease.

use std::sync::Arc;

use thunes_binance::{CallError, ErrorKind};
use thunes_proto::gateway::v1::{CancelAllOrdersResponse, CancelFailure};
use thunes_store::{OutboxEvent, begin_write, failpoint};
use thunes_types::{ClientOrderId, Reason, ReasonCode, Symbol};

use crate::domain::order::{ExchangeWord, OrderState};
use crate::engine::Engine;
use crate::error::GatewayError;
use crate::store::{self, OrderRow};
use crate::wire::state_of;

/// Checks a reason that may be left out.
///
/// # Errors
/// Names the rule.
pub(crate) fn optional_reason(text: &str) -> Result<(), thunes_types::FieldError> {
    if text.is_empty() {
        Ok(())
    } else {
        Reason::parse(text).map(|_| ())
    }
}

impl Engine {
    /// Cancels one order and gives its state after that. An order that has ended is given as it is.
    ///
    /// # Errors
    /// When there is no such order or the exchange gives no clear answer.
    pub(crate) async fn cancel(self: &Arc<Self>, client_order_id: &ClientOrderId) -> Result<OrderRow, GatewayError> {
        let id = client_order_id.as_str();
        let order = self.order(id).await?;
        if order.state()?.is_terminal() {
            return Ok(order);
        }
        let symbol = Symbol::parse(&order.symbol)?;
        let (timestamp_ms, recv_window_ms) = self.stamp()?;
        let request = self
            .exchange
            .sign_cancel(&symbol, client_order_id, timestamp_ms, recv_window_ms);
        failpoint::pass("gateway.cancel.before_send");
        let answer = self.exchange.send(request).await;
        failpoint::pass("gateway.cancel.after_send");
        match answer.into_result() {
            Ok(canceled) => {
                let word = ExchangeWord {
                    state: state_of(canceled.status),
                    venue_order_id: canceled.venue_order_id.to_string(),
                    executed_quantity: canceled.executed_quantity.normalize(),
                    executed_quote: canceled.executed_quote.normalize(),
                };
                self.hear(id, &word, &[], None).await?;
                self.order(id).await
            }
            // It may have filled or ended already: the exchange's present word decides.
            Err(CallError::Rejected(rejection))
                if matches!(rejection.kind, ErrorKind::CancelRejected | ErrorKind::NoSuchOrder) =>
            {
                self.ask_about(&order).await?;
                self.order(id).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Tells the trail who wanted orders canceled and why. On the side: cancelling goes on when the journal cannot be
    /// written.
    pub(crate) fn note_cancel(self: &Arc<Self>, what: &str, reason: &str, actor: &str) {
        let payload = serde_json::json!({ "orders": what });
        let event = OutboxEvent::now("CANCEL_REQUESTED", reason, actor, payload);
        let engine = Arc::clone(self);
        tokio::spawn(async move {
            let write = async {
                let mut tx = begin_write(&engine.database.pool).await?;
                engine.outbox.add(&mut tx, &event).await?;
                failpoint::pass("gateway.cancel_note.before_commit");
                tx.commit().await?;
                failpoint::pass("gateway.cancel_note.after_commit");
                Ok::<(), GatewayError>(())
            };
            match write.await {
                Ok(()) => engine.outbox.wake(),
                Err(error) => tracing::error!(%error, "a request to cancel is not in the journal"),
            }
        });
    }

    /// Cancels every order of ours that has not ended, and says which ones are confirmed.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(crate) async fn cancel_all(self: &Arc<Self>, symbol: &str) -> Result<CancelAllOrdersResponse, GatewayError> {
        let mut answer = CancelAllOrdersResponse::default();
        let live = store::live_orders(&self.database.pool).await?;
        for order in live.iter().filter(|o| symbol.is_empty() || o.symbol == symbol) {
            if order.state()?.is_terminal() {
                continue;
            }
            let id = ClientOrderId::parse(&order.client_order_id)?;
            let failure = |reason: String, code: ReasonCode| CancelFailure {
                client_order_id: order.client_order_id.clone(),
                symbol: order.symbol.clone(),
                reason,
                reason_code: code.to_string(),
            };
            match self.cancel(&id).await {
                Ok(after) if after.state()? == OrderState::Canceled => {
                    answer.canceled_client_order_ids.push(after.client_order_id);
                }
                Ok(after) if after.state()?.is_unknown() => {
                    answer.failures.push(failure(after.reason, ReasonCode::OrderInDoubt));
                }
                Ok(after) if after.state()?.is_terminal() => {}
                Ok(after) => {
                    answer.failures.push(failure(
                        format!("still {} at the exchange", after.state),
                        ReasonCode::ExchangeError,
                    ));
                }
                Err(error) => answer
                    .failures
                    .push(failure(error.to_string(), ReasonCode::ExchangeError)),
            }
        }
        Ok(answer)
    }
}
