//! What came of an order becomes durable: the exchange's answer, a doubt, or that it went no further.

use std::sync::Arc;

use thunes_binance::{DoubtWhy, NewOrderAnswer, Outcome};
use thunes_proto::risk::v1::SettleOrderRequest;
use thunes_rpc::deadline;
use thunes_runtime::clock;
use thunes_store::{begin_write, failpoint};
use thunes_types::ReasonCode;
use tracing::Instrument;

use crate::denial::Denial;
use crate::domain::order::OrderState;
use crate::engine::Engine;
use crate::error::GatewayError;
use crate::hear::order_event;
use crate::store::{self, OrderRow};
use crate::submit::AUTHORIZE_TIMEOUT;
use crate::wire::{answer_fills, word_of_answer};

impl Engine {
    /// Writes down what came of sending. Whatever is not clear is doubt, and the exchange is asked.
    pub(crate) async fn conclude(
        self: &Arc<Self>,
        order: OrderRow,
        outcome: Outcome<NewOrderAnswer>,
    ) -> Result<OrderRow, GatewayError> {
        let id = order.client_order_id.clone();
        match outcome {
            Outcome::Answer(answer) => {
                self.health.answered(&id);
                let fills = answer_fills(&answer)?;
                let heard = self
                    .hear(&id, &word_of_answer(&answer), &fills, Some(order.signed_timestamp_ms))
                    .await;
                self.with_gate(|gate| gate.answered(&id));
                heard?.ok_or(GatewayError::NoSuchOrder(id))
            }
            Outcome::Rejected(rejection) => {
                self.with_gate(|gate| gate.answered(&id));
                let denial = Denial {
                    code: ReasonCode::RejectedByExchange,
                    text: rejection.to_string(),
                };
                self.end(order, OrderState::Rejected, "ORDER_REJECTED", denial).await
            }
            Outcome::RateLimited(limited) => {
                self.with_gate(|gate| gate.answered(&id));
                let denial = Denial {
                    code: ReasonCode::RejectedByExchange,
                    text: limited.to_string(),
                };
                self.end(order, OrderState::Rejected, "ORDER_REJECTED", denial).await
            }
            Outcome::HeldBack(held) => {
                self.with_gate(|gate| gate.answered(&id));
                self.withdraw(order, held_back(&held)).await
            }
            Outcome::NotSent { why } => {
                self.with_gate(|gate| gate.answered(&id));
                let text = format!("❌ The exchange cannot be reached: {why}");
                self.withdraw(
                    order,
                    Denial {
                        code: ReasonCode::ExchangeUnreachable,
                        text,
                    },
                )
                .await
            }
            // It stays in flight for the fence until its receive window is over: it may still be accepted.
            Outcome::Unknown(doubt) => {
                let accepted = doubt.why == DoubtWhy::DuplicateOrderSent;
                let text = if accepted {
                    "the exchange has an open order of this id".to_owned()
                } else {
                    doubt.to_string()
                };
                self.doubt(order, text).await
            }
        }
    }

    /// The order is in doubt: durable, and asked for until it is known.
    async fn doubt(&self, mut order: OrderRow, why: String) -> Result<OrderRow, GatewayError> {
        let mut tx = begin_write(&self.database.pool).await?;
        // The stream may have been faster than the lost answer.
        let present = store::find_order(&mut tx, &order.client_order_id).await?;
        if let Some(present) = present.filter(|p| p.state != OrderState::Intent.as_str()) {
            return Ok(present);
        }
        order.state = OrderState::InDoubt.as_str().to_owned();
        order.reason = why;
        order.reason_code = ReasonCode::OrderInDoubt.to_string();
        order.updated_at_ms = clock::now_ms();
        store::update_order(&mut tx, &order).await?;
        self.outbox
            .add(&mut tx, &order_event(&order, "ORDER_IN_DOUBT", &[]))
            .await?;
        failpoint::pass("gateway.doubt.before_commit");
        tx.commit().await?;
        failpoint::pass("gateway.doubt.after_commit");
        tracing::warn!(client_order_id = %order.client_order_id, reason = %order.reason, "order in doubt; asking the exchange");
        self.after_change(&order, false).await?;
        Ok(order)
    }

    /// Ends an order that is in the journal and that nobody can have executed.
    async fn end(
        &self,
        mut order: OrderRow,
        state: OrderState,
        event_type: &str,
        denial: Denial,
    ) -> Result<OrderRow, GatewayError> {
        if state == OrderState::Rejected {
            self.health.rejected();
        }
        let mut tx = begin_write(&self.database.pool).await?;
        order.state = state.as_str().to_owned();
        order.reason = denial.text;
        order.reason_code = denial.code.to_string();
        order.updated_at_ms = clock::now_ms();
        store::update_order(&mut tx, &order).await?;
        self.outbox.add(&mut tx, &order_event(&order, event_type, &[])).await?;
        failpoint::pass("gateway.end.before_commit");
        tx.commit().await?;
        failpoint::pass("gateway.end.after_commit");
        self.after_change(&order, false).await?;
        self.settle_soon(&order.client_order_id, 0);
        Ok(order)
    }

    /// The intent is written, but the order was not sent.
    pub(crate) async fn withdraw(&self, order: OrderRow, denial: Denial) -> Result<OrderRow, GatewayError> {
        self.end(order, OrderState::Denied, "ORDER_DENIED", denial).await
    }

    /// Writes an order that is denied before its intent.
    pub(crate) async fn deny(
        &self,
        mut order: OrderRow,
        denial: Denial,
        settle: bool,
    ) -> Result<OrderRow, GatewayError> {
        let mut tx = begin_write(&self.database.pool).await?;
        order.state = OrderState::Denied.as_str().to_owned();
        order.reason = denial.text;
        order.reason_code = denial.code.to_string();
        store::insert_order(&mut tx, &order).await?;
        self.outbox
            .add(&mut tx, &order_event(&order, "ORDER_DENIED", &[]))
            .await?;
        failpoint::pass("gateway.deny.before_commit");
        tx.commit().await?;
        failpoint::pass("gateway.deny.after_commit");
        self.outbox.wake();
        if settle {
            self.settle_soon(&order.client_order_id, 0);
        }
        Ok(order)
    }

    /// Gives the reserved exposure back, off the caller's path. If it gets lost, risk frees it by the list of live orders.
    pub(crate) fn settle_soon(&self, client_order_id: &str, book_revision: i64) {
        let mut risk = self.risk.clone();
        let request = SettleOrderRequest {
            client_order_id: client_order_id.to_owned(),
            book_revision,
        };
        let settle = async move {
            let _ = risk.settle_order(deadline(request, AUTHORIZE_TIMEOUT)).await;
        };
        tokio::spawn(settle.in_current_span());
    }
}

pub(crate) fn held_back(held: &thunes_binance::HeldBack) -> Denial {
    Denial {
        code: ReasonCode::ExchangeRateLimited,
        text: format!("❌ {held}"),
    }
}
