use std::sync::Arc;

use futures_util::{StreamExt, stream};
use thunes_binance::{CallError, ErrorKind};
use thunes_proto::risk::v1::StopOrder;
use thunes_store::{begin_write, failpoint};
use thunes_types::{ClientOrderId, Symbol};

use super::{Job, NAMED_MAX};
use crate::domain::order::OrderState;
use crate::engine::Engine;
use crate::error::GatewayError;
use crate::new_order::wire_side;
use crate::store::{self, OrderRow};
use crate::wire::state_of;

/// Orders that are canceled at the same time.
const AT_ONCE: usize = 8;

impl Engine {
    /// Cancels what the halt is to cancel, and asks the exchange whether it is gone. Gives what may still be open.
    pub(super) async fn cancel_round(self: &Arc<Self>, job: &Job) -> Result<Vec<StopOrder>, GatewayError> {
        let (halt, over) = (&job.halt, &job.over);
        let unconfirmed = store::stop_orders(&self.database.pool, halt.epoch, false).await?;
        let each = unconfirmed.into_iter().map(|order| async move {
            let why = if over.is_cancelled() {
                Err("the halt is over".to_owned())
            } else {
                self.cancel_and_confirm(&order).await
            };
            (order, why)
        });
        let done: Vec<(OrderRow, Result<(), String>)> = stream::iter(each).buffered(AT_ONCE).collect().await;
        let mut open = Vec::new();
        for (order, why) in done {
            match why {
                Ok(()) => {
                    let mut tx = begin_write(&self.database.pool).await?;
                    store::confirm_stop_order(&mut tx, halt.epoch, &order.client_order_id).await?;
                    failpoint::pass("gateway.stop_confirm.before_commit");
                    tx.commit().await?;
                    failpoint::pass("gateway.stop_confirm.after_commit");
                }
                Err(reason) => {
                    let present = self.order(&order.client_order_id).await?;
                    open.push(StopOrder {
                        gateway_id: self.config.id.clone(),
                        side: wire_side(present.side()).into(),
                        client_order_id: present.client_order_id,
                        symbol: present.symbol,
                        state: present.state,
                        reason,
                    });
                }
            }
        }
        Ok(open)
    }

    /// Cancels whatever is live in the halt's scope while the journal cannot be written, and gives what may still be
    /// open: all of it, as far as anybody can tell without a journal.
    pub(super) async fn cancel_unwritten(self: &Arc<Self>, job: &Job, why: &GatewayError) -> Vec<StopOrder> {
        let halt = &job.halt;
        let live = self.live().into_iter().filter(|order| {
            let ended = order.state().is_ok_and(OrderState::is_terminal);
            !ended && halt.scope.covers(&order.symbol, &order.strategy_id)
        });
        let mut open = Vec::new();
        for order in live.take(NAMED_MAX) {
            if job.over.is_cancelled() {
                break;
            }
            let said = match ClientOrderId::parse(&order.client_order_id) {
                Ok(id) => self
                    .cancel(&id)
                    .await
                    .err()
                    .map_or_else(String::new, |error| format!("; {error}")),
                Err(error) => format!("; {error}"),
            };
            open.push(StopOrder {
                gateway_id: self.config.id.clone(),
                side: wire_side(order.side()).into(),
                client_order_id: order.client_order_id,
                symbol: order.symbol,
                state: order.state,
                reason: format!("a cancel was sent, and the journal cannot be written: {why}{said}"),
            });
        }
        open
    }

    /// Ok when the exchange says that the order is not open; else why that is not known.
    async fn cancel_and_confirm(self: &Arc<Self>, order: &OrderRow) -> Result<(), String> {
        let id = &order.client_order_id;
        let text = |error: GatewayError| error.to_string();
        let state = |order: &OrderRow| order.state().map_err(|error| error.to_string());
        let mut present = self.order(id).await.map_err(text)?;
        if state(&present)?.is_unknown() {
            // Only the exchange can say whether it rests there. An early "no such order" is no proof.
            if let Err(error) = self.ask_about(&present).await {
                return Err(format!("in doubt, the exchange is being asked: {error}"));
            }
            present = self.order(id).await.map_err(text)?;
        }
        if !state(&present)?.is_terminal() {
            let parsed = ClientOrderId::parse(id).map_err(|error| error.to_string())?;
            let canceled = self.cancel(&parsed).await;
            failpoint::pass("gateway.stop.after_cancel");
            if let Err(error) = canceled {
                // The answer got lost, perhaps, and not the request.
                if let Err(unclear) = self.ask_about(&present).await {
                    return Err(format!("the cancel is not confirmed: {error}; asked again: {unclear}"));
                }
            }
            present = self.order(id).await.map_err(text)?;
        }
        match state(&present)? {
            OrderState::Canceled => self.is_gone(&present).await,
            // The exchange's last word of an order; there is nothing that a cancel could have left open.
            OrderState::Denied
            | OrderState::Filled
            | OrderState::Rejected
            | OrderState::Expired
            | OrderState::NeverArrived => Ok(()),
            OrderState::Intent | OrderState::InDoubt | OrderState::New | OrderState::PartiallyFilled => {
                Err(format!("still {} at the exchange", present.state))
            }
        }
    }

    /// A canceled order is gone when a question of its own says so.
    async fn is_gone(&self, order: &OrderRow) -> Result<(), String> {
        let symbol = Symbol::parse(&order.symbol).map_err(|error| error.to_string())?;
        let id = ClientOrderId::parse(&order.client_order_id).map_err(|error| error.to_string())?;
        let (timestamp_ms, recv_window_ms) = self.stamp().map_err(|error| error.to_string())?;
        let question = self
            .exchange
            .sign_query_order(&symbol, &id, timestamp_ms, recv_window_ms);
        match self.exchange.send(question).await.into_result() {
            Ok(found) if state_of(found.status).is_terminal() => Ok(()),
            Ok(found) => Err(format!("canceled, and still {} when asked", found.status.as_str())),
            // The exchange forgets canceled orders that never filled.
            Err(CallError::Rejected(rejection)) if rejection.kind == ErrorKind::NoSuchOrder => Ok(()),
            Err(error) => Err(format!("canceled, and not confirmed yet: {error}")),
        }
    }
}
