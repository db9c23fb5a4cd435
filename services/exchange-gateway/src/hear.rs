//! What the exchange says of an order, from whichever source, becomes what we believe: in one transaction with the fills,
//! the holdings and the audit event.

use std::sync::Arc;

use thunes_proto::types::v1::{Fill, Side as WireSide};
use thunes_runtime::{clock, current_trace_id};
use thunes_store::{OutboxEvent, StoreError, begin_write, failpoint};
use thunes_types::parse_decimal;

use crate::domain::holdings::{FillEffect, effects};
use crate::domain::order::{ExchangeWord, OrderState, Side};
use crate::engine::Engine;
use crate::error::GatewayError;
use crate::store::{self, OrderRow};

impl Engine {
    /// Takes over a word of the exchange and the fills that came with it. Returns the order as believed now, or None
    /// when it is not ours.
    ///
    /// # Errors
    /// When the journal cannot be written; nothing is taken over then.
    pub(crate) async fn hear(
        self: &Arc<Self>,
        client_order_id: &str,
        word: &ExchangeWord,
        fills: &[Fill],
        signed_timestamp_ms: Option<i64>,
    ) -> Result<Option<OrderRow>, GatewayError> {
        let mut tx = begin_write(&self.database.pool).await?;
        let Some(mut order) = store::find_order(&mut tx, client_order_id).await? else {
            return Ok(None);
        };
        let before = order.belief()?;
        let mut new_fills = Vec::new();
        for fill in fills {
            let fill = self.complete(fill, &order);
            if self.write_fill(&mut tx, &fill).await? {
                new_fills.push(fill);
            }
        }
        let next = before.hear(word);
        let executed = next.as_ref().map_or(before.executed_quantity, |b| b.executed_quantity);
        let missing = executed > store::filled_quantity(&mut tx, client_order_id).await?;
        if next.is_none() && new_fills.is_empty() && missing == order.fills_missing {
            drop(tx);
            // What is kept in memory may be older than what is written. The resolver is woken only by what it did not know
            // of: otherwise its own fruitless question would wake it at once.
            let known = self.live().iter().any(|kept| {
                kept.client_order_id == order.client_order_id
                    && kept.state == order.state
                    && kept.fills_missing == order.fills_missing
            });
            self.refresh(&order).await?;
            if !known {
                self.wake_resolver(&order)?;
            }
            return Ok(Some(order));
        }
        order.fills_missing = missing;
        order.signed_timestamp_ms = signed_timestamp_ms.unwrap_or(order.signed_timestamp_ms);
        if let Some(next) = &next {
            order.believe(next);
        }
        order.updated_at_ms = clock::now_ms();
        let was_unknown = before.state == OrderState::InDoubt;
        let turned_up = before.is_contradicted_by(word);
        if turned_up {
            order.turned_up_at_ms = order.updated_at_ms;
            order.reason = format!(
                "was thought to be {}; the exchange says {}",
                before.state.as_str(),
                order.state
            );
            order.reason_code = String::new();
            tracing::error!(client_order_id, reason = %order.reason, "an order turned up");
        } else if was_unknown && !order.state()?.is_unknown() {
            order.resolved_at_ms = order.updated_at_ms;
            order.reason = format!("was in doubt; the exchange says {}", order.state);
            order.reason_code = String::new();
        }
        store::update_order(&mut tx, &order).await?;
        if before.state != order.state()? || !new_fills.is_empty() {
            let event_type = if turned_up {
                "ORDER_TURNED_UP"
            } else {
                event_type(before.state, order.state()?)
            };
            self.outbox
                .add(&mut tx, &order_event(&order, event_type, &new_fills))
                .await?;
        }
        failpoint::pass("gateway.hear.before_commit");
        tx.commit().await?;
        failpoint::pass("gateway.hear.after_commit");
        self.after_change(&order, !new_fills.is_empty()).await?;
        Ok(Some(order))
    }

    /// Writes a fill and moves the holdings by it, once; says whether it is new.
    ///
    /// # Errors
    /// When the journal cannot be written or a sum does not fit.
    pub(crate) async fn write_fill(
        &self,
        tx: &mut sqlx::Transaction<'_, sqlx::Sqlite>,
        fill: &Fill,
    ) -> Result<bool, GatewayError> {
        if !store::insert_fill(tx, fill).await? {
            return Ok(false);
        }
        if store::moves_holdings(tx, &fill.symbol, fill.trade_id).await? {
            for (asset, change) in effects(&effect_of(fill)?)? {
                store::add_to_holding(tx, &asset, change).await?;
            }
        }
        Ok(true)
    }

    /// Keeps the list for risk current, and wakes who has work now.
    pub(crate) async fn after_change(&self, order: &OrderRow, new_fills: bool) -> Result<(), StoreError> {
        self.outbox.wake();
        self.refresh(order).await?;
        if new_fills {
            self.fills_waiting.notify_one();
        }
        self.wake_resolver(order)
    }

    /// Keeps the list for risk current.
    async fn refresh(&self, order: &OrderRow) -> Result<(), StoreError> {
        // Kept first, dropped afterwards: a delivery in between must not be undone.
        self.keep_live(order);
        if order.state()?.is_terminal()
            && !order.fills_missing
            && !store::has_undelivered(&self.database.pool, &order.client_order_id).await?
        {
            self.drop_live(&order.client_order_id);
        }
        Ok(())
    }

    fn wake_resolver(&self, order: &OrderRow) -> Result<(), StoreError> {
        if order.state()?.is_unknown() || order.fills_missing {
            self.doubts_waiting.notify_one();
        }
        Ok(())
    }

    // What the exchange does not say in every source: the assets, and whose order it was.
    fn complete(&self, fill: &Fill, order: &OrderRow) -> Fill {
        Fill {
            base_asset: order.base_asset.clone(),
            quote_asset: order.quote_asset.clone(),
            client_order_id: order.client_order_id.clone(),
            strategy_id: order.strategy_id.clone(),
            ..fill.clone()
        }
    }
}

/// The numbers of a fill that move money.
///
/// # Errors
/// When a number cannot be read.
pub(crate) fn effect_of(fill: &Fill) -> Result<FillEffect<'_>, GatewayError> {
    Ok(FillEffect {
        base_asset: &fill.base_asset,
        quote_asset: &fill.quote_asset,
        side: if fill.side() == WireSide::Sell {
            Side::Sell
        } else {
            Side::Buy
        },
        quantity: parse_decimal("quantity", &fill.quantity)?,
        quote_quantity: parse_decimal("quote_quantity", &fill.quote_quantity)?,
        commission: parse_decimal("commission", &fill.commission)?,
        commission_asset: &fill.commission_asset,
    })
}

fn event_type(before: OrderState, after: OrderState) -> &'static str {
    match (before, after) {
        (OrderState::InDoubt, after) if after != OrderState::InDoubt => "ORDER_RESOLVED",
        (_, OrderState::Denied) => "ORDER_DENIED",
        (_, OrderState::Intent) => "ORDER_INTENT",
        (_, OrderState::InDoubt) => "ORDER_IN_DOUBT",
        (_, OrderState::New) => "ORDER_ACCEPTED",
        (_, OrderState::PartiallyFilled) => "ORDER_PARTIALLY_FILLED",
        (_, OrderState::Filled) => "ORDER_FILLED",
        (_, OrderState::Canceled) => "ORDER_CANCELED",
        (_, OrderState::Rejected) => "ORDER_REJECTED",
        (_, OrderState::Expired) => "ORDER_EXPIRED",
        (_, OrderState::NeverArrived) => "ORDER_NEVER_ARRIVED",
    }
}

/// An audit event that tells of an order as it is now.
pub(crate) fn order_event(order: &OrderRow, event_type: &str, new_fills: &[Fill]) -> OutboxEvent {
    let trades: Vec<i64> = new_fills.iter().map(|fill| fill.trade_id).collect();
    let payload = serde_json::json!({
        "client_order_id": order.client_order_id,
        "venue_order_id": order.venue_order_id,
        "symbol": order.symbol,
        "side": order.side,
        "type": order.order_type,
        "quantity": order.quantity,
        "quote_amount": order.quote_amount,
        "limit_price": order.limit_price,
        "strategy_id": order.strategy_id,
        "state": order.state,
        "reason_code": order.reason_code,
        "executed_quantity": order.executed_quantity,
        "executed_quote": order.executed_quote,
        "trade_ids": trades,
        "epoch": order.epoch,
    });
    let reason: String = order.reason.chars().take(512).collect();
    let event = || OutboxEvent::now(event_type, &reason, "exchange-gateway", payload);
    if current_trace_id().is_empty() {
        // Heard on the side: it belongs to the trace of the order's submission.
        order.span("order.heard").in_scope(event)
    } else {
        event()
    }
}
