//! The user data stream: fills and ends of orders as the exchange tells of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use thunes_binance::{ExecutionReport, StreamEvent, UserStreamConfig, run_user_stream};
use thunes_runtime::clock;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::error::GatewayError;
use crate::wire::{report_fill, word_of_report};

/// Events that wait for the journal; a full queue slows the reading of the socket.
const QUEUE_MAX: usize = 1024;

/// Follows the stream until `shutdown`. After every (re)connect: subscribe first, then ask for what was missed.
pub(crate) async fn follow_stream(engine: Arc<Engine>, shutdown: CancellationToken) {
    let (tx, mut events) = mpsc::channel(QUEUE_MAX);
    let mut config = UserStreamConfig::new(engine.config.ws_url.clone(), engine.config.credentials.clone());
    config.subscribe = engine.config.subscribe;
    config.budget = Some(engine.exchange.shared_budget());
    let clock_engine = Arc::clone(&engine);
    let now_exchange_ms = move || {
        clock_engine
            .time_estimate()
            .map_or_else(clock::now_ms, |e| e.exchange_ms(clock::boot_us()))
    };
    tokio::spawn(run_user_stream(config, now_exchange_ms, tx, shutdown.clone()));
    loop {
        let event = tokio::select! {
            () = shutdown.cancelled() => return,
            event = events.recv() => match event { Some(event) => event, None => return },
        };
        match event {
            StreamEvent::Connected => {}
            StreamEvent::Subscribed { .. } => {
                engine.stream_connected.store(true, Ordering::SeqCst);
                engine.health.stream_connected();
                tracing::info!("user data stream subscribed");
                let catching_up = Arc::clone(&engine);
                tokio::spawn(async move {
                    catching_up.catch_up_on_intents();
                    if let Err(error) = catching_up.catch_up().await {
                        tracing::warn!(%error, "what the stream missed is not all known yet");
                        catching_up.doubts_waiting.notify_one();
                    }
                });
            }
            StreamEvent::ExecutionReport(report) => {
                engine.health.stream_told(report.order_client_id());
                if let Err(error) = engine.hear_report(&report).await {
                    tracing::error!(%error, venue_order_id = report.venue_order_id, "an execution report could not be written; asking for it later");
                    engine.mark_fills_missing(report.order_client_id());
                }
            }
            StreamEvent::BalanceUpdate(update) => {
                if let Err(error) = engine.hear_transfer(&update).await {
                    engine.reconciling.stream_gap.store(true, Ordering::SeqCst);
                    tracing::error!(%error, asset = %update.asset, delta = %update.delta, "a transfer could not be written; reconciliation will not be able to explain it");
                }
            }
            StreamEvent::AccountPosition(_) => {}
            StreamEvent::Other(name) => tracing::debug!(name, "stream event without meaning here"),
            StreamEvent::Disconnected { why } => {
                engine.reconciling.stream_gap.store(true, Ordering::SeqCst);
                engine.health.stream_lost();
                if engine.stream_connected.swap(false, Ordering::SeqCst) {
                    tracing::warn!(%why, "user data stream lost");
                }
            }
        }
    }
}

impl Engine {
    async fn hear_report(self: &Arc<Self>, report: &ExecutionReport) -> Result<(), GatewayError> {
        let id = report.order_client_id();
        let fills: Vec<_> = report_fill(report).into_iter().collect();
        if self.hear(id, &word_of_report(report), &fills, None).await?.is_none() {
            tracing::warn!(client_order_id = id, symbol = %report.symbol, "an order that is not ours moved on this account; the next reconciliation will name it");
        }
        Ok(())
    }

    /// An order that is on its way while the stream comes back can have filled before, unheard of, and be answered as
    /// it was before it filled. Each is asked for as soon as its own answer is here.
    fn catch_up_on_intents(self: &Arc<Self>) {
        let intents = self.live().into_iter().filter(|order| order.state == "INTENT");
        for intent in intents {
            let engine = Arc::clone(self);
            tokio::spawn(async move {
                // Submitting holds the turn until the answer is written down.
                drop(engine.turn(&intent.client_order_id).lock().await);
                let order = match engine.order(&intent.client_order_id).await {
                    Ok(order) if order.state().is_ok_and(|state| !state.is_terminal()) => order,
                    Ok(_) => return,
                    Err(_) => intent,
                };
                if let Err(error) = engine.ask_about(&order).await {
                    tracing::debug!(client_order_id = %order.client_order_id, %error, "what the stream missed is not known yet");
                    engine.mark_fills_missing(&order.client_order_id);
                }
            });
        }
    }

    /// Makes the resolver ask for an order, whatever its state.
    pub(crate) fn mark_fills_missing(&self, client_order_id: &str) {
        if let Some(mut order) = self.live().into_iter().find(|o| o.client_order_id == client_order_id) {
            order.fills_missing = true;
            self.keep_live(&order);
            self.doubts_waiting.notify_one();
        }
    }
}
