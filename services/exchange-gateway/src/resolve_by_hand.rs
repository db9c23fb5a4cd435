//! An operator's word on an order in doubt: for what the exchange cannot tell of any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use thunes_binance::{CallError, ErrorKind};
use thunes_proto::gateway::v1 as pb;
use thunes_runtime::clock;
use thunes_store::{OutboxEvent, Repeated, begin_write, failpoint, remember_answer, repeated_answer};
use thunes_types::{ClientOrderId, FieldError, Reason, ReasonCode, RequestId};

use crate::domain::order::{OrderState, absence_is_proof};
use crate::engine::Engine;
use crate::error::GatewayError;
use crate::store::{self, OrderRow};

const METHOD: &str = "ResolveOrder";
/// Where the exchange's clock was never read, this machine's counts, so much behind.
const OWN_CLOCK_MARGIN_MS: i64 = 60_000;

/// What the exchange says when an operator wants to speak.
enum Asked {
    /// It knows the order, or has proven that it never came.
    Knows,
    /// It has no such order.
    Denies,
    /// It did not answer.
    Silent,
}

impl Engine {
    /// Takes an operator's word on an order in doubt over. The exchange is asked first, and its word goes above.
    ///
    /// # Errors
    /// When the order is not in doubt, could still be accepted, or the exchange says otherwise; for a request that is wrong,
    /// or a journal that cannot be written.
    pub(crate) async fn resolve_by_hand(
        self: &Arc<Self>,
        request: &pb::ResolveOrderRequest,
        actor: &str,
    ) -> Result<pb::ResolveOrderResponse, GatewayError> {
        let id = ClientOrderId::parse(&request.client_order_id)?;
        let outcome = outcome_of(request.outcome)?;
        Reason::parse(&request.reason)?;
        if !request.request_id.is_empty() {
            RequestId::parse(&request.request_id)?;
            let mut tx = begin_write(&self.database.pool).await?;
            match repeated_answer(&mut tx, METHOD, &request.request_id, request).await? {
                Repeated::No => {}
                Repeated::Same(answer) => return Ok(answer),
                Repeated::Other => return Err(GatewayError::RequestIdReused(request.request_id.clone())),
            }
        }
        let order = self.order(id.as_str()).await?;
        if !order.resolved_by.is_empty() && order.state()? == outcome {
            return self.resolved_answer(&order).await;
        }
        self.may_be_resolved(&order)?;
        let asked = match self.ask_about(&order).await {
            Ok(()) => Asked::Knows,
            Err(GatewayError::Exchange(CallError::Rejected(r))) if r.kind == ErrorKind::NoSuchOrder => Asked::Denies,
            // Our own limits held the question back: the exchange was not asked.
            Err(error @ GatewayError::Exchange(CallError::HeldBack(_) | CallError::RateLimited(_))) => {
                return Err(error);
            }
            Err(GatewayError::Exchange(_) | GatewayError::ClockUnknown) => Asked::Silent,
            Err(error) => return Err(error),
        };
        let order = self.order(id.as_str()).await?;
        match asked {
            Asked::Knows if order.state()? == outcome => return self.resolved_answer(&order).await,
            Asked::Knows => return Err(otherwise(format!("it is {}", order.state))),
            // Without the exchange's word an order that it has had stays what it was.
            Asked::Silent if !order.state()?.is_unknown() => {
                return Err(otherwise("it has accepted the order, and cannot be asked now".into()));
            }
            Asked::Denies | Asked::Silent => {}
        }
        self.window_is_over(&order)?;
        self.write_resolution(&order, outcome, request, actor).await
    }

    async fn resolved_answer(&self, order: &OrderRow) -> Result<pb::ResolveOrderResponse, GatewayError> {
        Ok(pb::ResolveOrderResponse {
            order: Some(self.shown(order).await?),
        })
    }

    /// In doubt, or open by our count and wiped away.
    fn may_be_resolved(&self, order: &OrderRow) -> Result<(), GatewayError> {
        let state = order.state()?;
        let wiped_at_ms = self.reconciling.wiped_at_ms.load(Ordering::SeqCst);
        let wiped_away = !state.is_terminal() && state.is_accepted() && order.created_at_ms <= wiped_at_ms;
        if state == OrderState::InDoubt || wiped_away {
            return Ok(());
        }
        let text = format!(
            "the order is {}, not in doubt: there is nothing to resolve",
            order.state
        );
        Err(GatewayError::Refused(ReasonCode::OrderNotInDoubt, text))
    }

    /// While the exchange could still accept the order nobody can say what became of it.
    fn window_is_over(&self, order: &OrderRow) -> Result<(), GatewayError> {
        let earliest = self.time_estimate().map_or_else(
            || clock::now_ms() - OWN_CLOCK_MARGIN_MS,
            |estimate| estimate.exchange_ms(clock::boot_us()) - estimate.uncertainty_ms(),
        );
        // What was never given a signed time was signed no later than it was written.
        let signed_at_ms = match order.signed_timestamp_ms {
            0 => order.created_at_ms,
            signed => signed,
        };
        if absence_is_proof(signed_at_ms, order.recv_window_ms, earliest) {
            return Ok(());
        }
        let text = "the exchange could still accept the order, or have it on its way: wait until its receive window and 10 s are over";
        Err(GatewayError::Refused(ReasonCode::ReceiveWindowOpen, text.to_owned()))
    }

    async fn write_resolution(
        self: &Arc<Self>,
        asked: &OrderRow,
        outcome: OrderState,
        request: &pb::ResolveOrderRequest,
        actor: &str,
    ) -> Result<pb::ResolveOrderResponse, GatewayError> {
        let turn = self.turn(&asked.client_order_id);
        let _mine = turn.lock().await;
        let mut tx = begin_write(&self.database.pool).await?;
        let Some(mut order) = store::find_order(&mut tx, &asked.client_order_id).await? else {
            return Err(GatewayError::NoSuchOrder(asked.client_order_id.clone()));
        };
        if order.state != asked.state {
            return Err(otherwise(format!("it is {} by now", order.state)));
        }
        let belief = order.belief()?;
        let arrived = !belief.venue_order_id.is_empty() || !belief.executed_quantity.is_zero();
        if outcome == OrderState::NeverArrived && arrived {
            return Err(otherwise("it did arrive: the exchange has told of it".into()));
        }
        let before = order.state.clone();
        order.state = outcome.as_str().to_owned();
        order.reason = format!("an operator's word: {}", request.reason);
        order.reason_code = ReasonCode::ResolvedByOperator.to_string();
        order.resolved_by = actor.to_owned();
        // What the exchange does not tell any more cannot be waited for.
        order.fills_missing = false;
        order.updated_at_ms = clock::now_ms();
        order.resolved_at_ms = order.updated_at_ms;
        store::update_order(&mut tx, &order).await?;
        let payload = serde_json::json!({
            "client_order_id": order.client_order_id,
            "symbol": order.symbol,
            "side": order.side,
            "before": before,
            "outcome": order.state,
            "executed_quantity": order.executed_quantity,
            "signed_timestamp_ms": order.signed_timestamp_ms,
            "recv_window_ms": order.recv_window_ms,
        });
        let event = OutboxEvent::now("ORDER_RESOLVED_BY_OPERATOR", &request.reason, actor, payload);
        self.outbox.add(&mut tx, &event).await?;
        let answer = pb::ResolveOrderResponse {
            order: Some(crate::wire::order_to_wire(&order, &[])),
        };
        if !request.request_id.is_empty() {
            remember_answer(&mut tx, METHOD, &request.request_id, request, &answer).await?;
        }
        failpoint::pass("gateway.resolve.before_commit");
        tx.commit().await?;
        failpoint::pass("gateway.resolve.after_commit");
        tracing::warn!(client_order_id = %order.client_order_id, outcome = %order.state, actor, "an operator resolved an order");
        self.after_change(&order, false).await?;
        self.settle_soon(&order.client_order_id, 0);
        self.resolved_answer(&order).await
    }
}

fn otherwise(what: String) -> GatewayError {
    GatewayError::Refused(
        ReasonCode::ExchangeSaysOtherwise,
        format!("the exchange says otherwise: {what}"),
    )
}

fn outcome_of(outcome: i32) -> Result<OrderState, FieldError> {
    match pb::ResolvedOutcome::try_from(outcome) {
        Ok(pb::ResolvedOutcome::NeverArrived) => Ok(OrderState::NeverArrived),
        Ok(pb::ResolvedOutcome::Canceled) => Ok(OrderState::Canceled),
        Ok(pb::ResolvedOutcome::Expired) => Ok(OrderState::Expired),
        Ok(pb::ResolvedOutcome::Unspecified) | Err(_) => Err(FieldError::new(
            "outcome",
            &outcome.to_string(),
            "RESOLVED_OUTCOME_NEVER_ARRIVED, RESOLVED_OUTCOME_CANCELED or RESOLVED_OUTCOME_EXPIRED; a fill comes from the exchange only",
        )),
    }
}
