//! Orders in doubt, and orders whose fills are not all here: the exchange is asked until it is known.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use thunes_binance::{CallError, ErrorKind, TradesFilter};
use thunes_proto::types::v1::FillSource;
use thunes_runtime::clock;
use thunes_store::{StoreError, begin_write, failpoint};
use thunes_types::{ClientOrderId, ReasonCode, Symbol};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::config::Environment;
use crate::domain::order::{OrderState, absence_is_proof};
use crate::domain::reconcile::WipeSigns;
use crate::engine::Engine;
use crate::error::GatewayError;
use crate::hear::order_event;
use crate::store::{self, OrderRow};
use crate::wire::{trade_fill, word_of_order};

/// The first questions come fast, since most doubts end at once; then the exchange's rate limits count.
const FAST_ROUND: Duration = Duration::from_millis(250);
const SLOW_ROUND: Duration = Duration::from_millis(1000);
const FAST_ROUNDS: u32 = 6;
/// A doubt that has lasted for so many rounds is asked about in every tenth only: it costs the exchange's request weight.
const PATIENT_AFTER: u32 = 120;
const PATIENT_EVERY: u32 = 10;
/// Why an order stays in doubt although the exchange does not know it.
const WIPED_MEANWHILE: &str = "the exchange does not know it, but the account was wiped after it was sent, so that proves nothing; an operator has to resolve it: thunes order resolve";
/// Most trades of one order that are asked for at once; more are asked for in the next round.
const TRADES_MAX: u32 = 1000;

/// Asks for every order that needs it, until `shutdown`.
pub(crate) async fn run_resolver(engine: Arc<Engine>, shutdown: CancellationToken) {
    let mut rounds: HashMap<String, u32> = HashMap::new();
    loop {
        let open = engine.needing_questions();
        rounds.retain(|id, _| open.iter().any(|order| order.client_order_id == *id));
        for order in &open {
            let asked = rounds.entry(order.client_order_id.clone()).or_default();
            *asked += 1;
            if *asked > PATIENT_AFTER && !asked.is_multiple_of(PATIENT_EVERY) {
                continue;
            }
            if let Err(error) = engine.ask_about(order).instrument(order.span("order.ask")).await {
                tracing::debug!(client_order_id = %order.client_order_id, %error, "still in doubt");
            }
        }
        let left = engine.needing_questions();
        if left.is_empty() && engine.is_ready() {
            engine.resolved_since_start.store(true, Ordering::SeqCst);
        }
        let fast = rounds.values().any(|asked| *asked < FAST_ROUNDS);
        let pause = if fast { FAST_ROUND } else { SLOW_ROUND };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause), if !left.is_empty() => {}
            () = engine.doubts_waiting.notified() => {}
        }
    }
}

impl Engine {
    fn needing_questions(&self) -> Vec<OrderRow> {
        let needs = |order: &OrderRow| order.state == "IN_DOUBT" || order.state == "INTENT" || order.fills_missing;
        let mut open: Vec<OrderRow> = self.live().into_iter().filter(needs).collect();
        // An intent that is being sent at this moment is nobody's doubt yet.
        open.retain(|order| order.state != "INTENT" || self.turn(&order.client_order_id).try_lock().is_ok());
        open
    }

    /// Asks the exchange about one order and takes its word over. Only an absence that is proven ends a doubt with
    /// "never arrived".
    ///
    /// # Errors
    /// When the exchange gives no clear answer, or the journal cannot be written.
    pub(crate) async fn ask_about(self: &Arc<Self>, order: &OrderRow) -> Result<(), GatewayError> {
        let turn = self.turn(&order.client_order_id);
        let _mine = turn.lock().await;
        let symbol = Symbol::parse(&order.symbol)?;
        let id = ClientOrderId::parse(&order.client_order_id)?;
        let (timestamp_ms, recv_window_ms) = self.stamp()?;
        // The earliest that the exchange's clock can show before it answers.
        let asked_at = self
            .time_estimate()
            .map(|e| e.exchange_ms(clock::boot_us()) - e.uncertainty_ms());
        let answer = self
            .exchange
            .send(
                self.exchange
                    .sign_query_order(&symbol, &id, timestamp_ms, recv_window_ms),
            )
            .await;
        match answer.into_result() {
            Ok(found) => self.take_over(order, &found).await,
            Err(CallError::Rejected(rejection)) if rejection.kind == ErrorKind::NoSuchOrder => {
                let proven =
                    asked_at.is_some_and(|at| absence_is_proof(order.signed_timestamp_ms, order.recv_window_ms, at));
                if proven && order.signed_timestamp_ms > 0 && order.state()?.is_unknown() {
                    if !self.wiped_since(order).await? {
                        return self.never_arrived(order).await;
                    }
                    self.stays_in_doubt(order).await?;
                }
                Err(CallError::Rejected(rejection).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Takes over what the exchange says of an order, with its fills.
    ///
    /// # Errors
    /// When the fills cannot be read, or the journal cannot be written.
    pub(crate) async fn take_over(
        self: &Arc<Self>,
        order: &OrderRow,
        found: &thunes_binance::Order,
    ) -> Result<(), GatewayError> {
        let symbol = Symbol::parse(&order.symbol)?;
        let fills = self.missing_fills(order, &symbol, found).await?;
        self.hear(&order.client_order_id, &word_of_order(found), &fills, None)
            .await?;
        Ok(())
    }

    async fn missing_fills(
        &self,
        order: &OrderRow,
        symbol: &Symbol,
        found: &thunes_binance::Order,
    ) -> Result<Vec<thunes_proto::types::v1::Fill>, GatewayError> {
        if found.executed_quantity.is_zero() {
            return Ok(Vec::new());
        }
        let (timestamp_ms, recv_window_ms) = self.stamp()?;
        let filter = TradesFilter::OfOrder(found.venue_order_id);
        let request = self
            .exchange
            .sign_my_trades(symbol, filter, TRADES_MAX, timestamp_ms, recv_window_ms);
        let trades = self.exchange.send(request).await.into_result()?;
        let fill = |trade| trade_fill(trade, &order.base_asset, &order.quote_asset, FillSource::Query);
        Ok(trades.iter().map(fill).collect())
    }

    /// Whether the account was wiped after this order was sent: then the exchange's "no such order" says nothing. An order
    /// that it had before is the witness: while it knows that one, it has forgotten nothing since.
    async fn wiped_since(&self, order: &OrderRow) -> Result<bool, GatewayError> {
        if self.config.environment == Environment::Live {
            return Ok(false);
        }
        let wiped_at_ms = self.reconciling.wiped_at_ms.load(Ordering::SeqCst);
        if wiped_at_ms > 0 && order.created_at_ms <= wiped_at_ms {
            return Ok(true);
        }
        let witness = store::witness_before(&self.database.pool, order.created_at_ms, wiped_at_ms).await?;
        let Some(witness) = witness else { return Ok(false) };
        // Asked twice: one answer may be a slip.
        for _ in 0..2 {
            if self.is_known_at_exchange(&witness).await? {
                return Ok(false);
            }
        }
        let signs = WipeSigns {
            newest_vanished_ms: witness.updated_at_ms.max(wiped_at_ms + 1),
            vanished_orders: vec![witness.client_order_id],
            ..WipeSigns::default()
        };
        self.note_wipe(&signs).await?;
        Ok(true)
    }

    async fn is_known_at_exchange(&self, order: &OrderRow) -> Result<bool, GatewayError> {
        let symbol = Symbol::parse(&order.symbol)?;
        let id = ClientOrderId::parse(&order.client_order_id)?;
        let (timestamp_ms, recv_window_ms) = self.stamp()?;
        let request = self
            .exchange
            .sign_query_order(&symbol, &id, timestamp_ms, recv_window_ms);
        match self.exchange.send(request).await.into_result() {
            Ok(_) => Ok(true),
            Err(CallError::Rejected(rejection)) if rejection.kind == ErrorKind::NoSuchOrder => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Says once, where the order is shown, why nobody but an operator can end this doubt.
    async fn stays_in_doubt(&self, order: &OrderRow) -> Result<(), GatewayError> {
        if order.reason == WIPED_MEANWHILE {
            return Ok(());
        }
        let mut tx = begin_write(&self.database.pool).await?;
        let Some(mut present) = store::find_order(&mut tx, &order.client_order_id).await? else {
            return Ok(());
        };
        if present.state()? != OrderState::InDoubt || present.reason == WIPED_MEANWHILE {
            return Ok(());
        }
        present.reason = WIPED_MEANWHILE.to_owned();
        present.updated_at_ms = clock::now_ms();
        store::update_order(&mut tx, &present).await?;
        let event = order_event(&present, "ORDER_IN_DOUBT", &[]);
        self.outbox.add(&mut tx, &event).await?;
        failpoint::pass("gateway.wipe_doubt.before_commit");
        tx.commit().await?;
        failpoint::pass("gateway.wipe_doubt.after_commit");
        tracing::error!(client_order_id = %present.client_order_id, "in doubt for good, since the account was wiped; an operator has to resolve it");
        self.after_change(&present, false).await?;
        Ok(())
    }

    async fn never_arrived(&self, order: &OrderRow) -> Result<(), GatewayError> {
        let mut tx = begin_write(&self.database.pool).await?;
        let Some(mut present) = store::find_order(&mut tx, &order.client_order_id).await? else {
            return Ok(());
        };
        if !present.state()?.is_unknown() {
            return Ok(());
        }
        present.signed_timestamp_ms = order.signed_timestamp_ms;
        present.state = OrderState::NeverArrived.as_str().to_owned();
        present.reason = "the exchange does not know it, and its receive window is long over".into();
        present.reason_code = ReasonCode::NeverArrived.to_string();
        present.updated_at_ms = clock::now_ms();
        present.resolved_at_ms = present.updated_at_ms;
        store::update_order(&mut tx, &present).await?;
        self.outbox
            .add(&mut tx, &order_event(&present, "ORDER_RESOLVED", &[]))
            .await?;
        failpoint::pass("gateway.absence.before_commit");
        tx.commit().await?;
        failpoint::pass("gateway.absence.after_commit");
        tracing::info!(client_order_id = %present.client_order_id, "in doubt no more: it never arrived");
        self.after_change(&present, false).await?;
        self.settle_soon(&present.client_order_id, 0);
        Ok(())
    }

    /// After a reconnect of the stream: whatever happened to live orders meanwhile is asked for.
    ///
    /// # Errors
    /// When the exchange gives no clear answer.
    pub(crate) async fn catch_up(self: &Arc<Self>) -> Result<(), GatewayError> {
        for order in self.live() {
            if !order.state()?.is_terminal()
                && order.state != "INTENT"
                && let Err(error) = self.ask_about(&order).instrument(order.span("order.ask")).await
            {
                tracing::debug!(client_order_id = %order.client_order_id, %error, "what the stream missed is not known yet");
                // The resolver goes on asking, whatever state it was in.
                self.mark_fills_missing(&order.client_order_id);
            }
        }
        Ok(())
    }
}

/// At the start: orders that the last run had written down and perhaps sent are in doubt. They were signed before it
/// ended, so no later than now, by the latest that the exchange's clock can show.
pub(crate) async fn doubt_leftovers(engine: &Arc<Engine>) -> Result<usize, GatewayError> {
    let estimate = engine.time_estimate().ok_or(GatewayError::ClockUnknown)?;
    let latest = estimate.exchange_ms(clock::boot_us()) + estimate.uncertainty_ms();
    let mut doubts = 0;
    for leftover in store::live_orders(&engine.database.pool).await? {
        let turn = engine.turn(&leftover.client_order_id);
        let _mine = turn.lock().await;
        let mut tx = begin_write(&engine.database.pool).await?;
        let Some(mut order) = store::find_order(&mut tx, &leftover.client_order_id).await? else {
            continue;
        };
        if order.state()?.is_unknown() {
            doubts += 1;
            let news = order.state()? == OrderState::Intent;
            if order.signed_timestamp_ms == 0 {
                order.signed_timestamp_ms = latest;
            }
            order.state = OrderState::InDoubt.as_str().to_owned();
            order.reason_code = ReasonCode::OrderInDoubt.to_string();
            order.reason = "the gateway ended before it knew the exchange's answer".into();
            order.updated_at_ms = clock::now_ms();
            store::update_order(&mut tx, &order).await?;
            if news {
                engine
                    .outbox
                    .add(&mut tx, &order_event(&order, "ORDER_IN_DOUBT", &[]))
                    .await?;
            }
            failpoint::pass("gateway.leftover.before_commit");
            tx.commit().await.map_err(StoreError::from)?;
            failpoint::pass("gateway.leftover.after_commit");
        }
        engine.keep_live(&order);
    }
    engine.outbox.wake();
    Ok(doubts)
}
