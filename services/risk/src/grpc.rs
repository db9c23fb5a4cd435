//! Decode, call, encode.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use thunes_proto::risk::v1::risk_service_server::RiskService;
use thunes_proto::risk::v1::*;
use thunes_proto::types::v1 as types;
use thunes_rpc::{actor_of, invalid_fields};
use thunes_runtime::clock;
use thunes_types::{ClientOrderId, FieldError, StrategyId, Symbol, parse_positive};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::domain::decide::{Check, Side, Trade};
use crate::domain::limits::Limits as DomainLimits;
use crate::engine::Engine;
use crate::error::RiskError;
use crate::lease_stream::hold_lease;
use crate::stops::halts_to_wire;
use crate::triggering::triggers_to_wire;

/// Answers that wait for a slow gateway or watcher; then the stream ends.
const STREAM_QUEUE_MAX: usize = 64;
const HEARTBEAT: Duration = Duration::from_secs(1);

type Stream_<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The gRPC face of the engine.
#[derive(Debug)]
pub(crate) struct RiskGrpc {
    pub engine: Arc<Engine>,
    pub shutdown: CancellationToken,
}

#[tonic::async_trait]
impl RiskService for RiskGrpc {
    async fn activate_kill_switch(
        &self,
        request: Request<ActivateKillSwitchRequest>,
    ) -> Result<Response<ActivateKillSwitchResponse>, Status> {
        let actor = actor_of(request.metadata());
        let engine = Arc::clone(&self.engine);
        let request = request.into_inner();
        // A task of its own: a caller that hangs up must not leave an activation half done.
        let activation = tokio::spawn(tracing::Instrument::in_current_span(async move {
            engine.activate(request, &actor).await
        }));
        let answer = activation
            .await
            .map_err(|e| Status::internal(format!("the activation ended early: {e}")))??;
        Ok(Response::new(answer))
    }

    async fn deactivate_kill_switch(
        &self,
        request: Request<DeactivateKillSwitchRequest>,
    ) -> Result<Response<DeactivateKillSwitchResponse>, Status> {
        let actor = actor_of(request.metadata());
        let engine = Arc::clone(&self.engine);
        let request = request.into_inner();
        let deactivation = tokio::spawn(tracing::Instrument::in_current_span(async move {
            engine.deactivate(request, &actor).await
        }));
        let answer = deactivation
            .await
            .map_err(|e| Status::internal(format!("the deactivation ended early: {e}")))??;
        Ok(Response::new(answer))
    }

    async fn get_risk_status(
        &self,
        _: Request<GetRiskStatusRequest>,
    ) -> Result<Response<GetRiskStatusResponse>, Status> {
        Ok(Response::new(self.engine.status().await?))
    }

    async fn validate_trade(
        &self,
        request: Request<ValidateTradeRequest>,
    ) -> Result<Response<ValidateTradeResponse>, Status> {
        let request = request.into_inner();
        let fields = TradeFields {
            symbol: &request.symbol,
            side: request.side,
            amount: ("quote_amount", &request.quote_amount),
            limit_price: "",
            strategy_id: &request.strategy_id,
        };
        let trade = fields.parse().map_err(invalid_fields)?;
        let (decision, epoch) = self.engine.judge(&trade).map_err(RiskError::from)?;
        Ok(Response::new(ValidateTradeResponse {
            valid: decision.approved,
            reason: decision.reason,
            reason_code: decision.code.to_string(),
            checks: decision.checks.into_iter().map(check_to_wire).collect(),
            epoch,
        }))
    }

    async fn authorize_order(
        &self,
        request: Request<AuthorizeOrderRequest>,
    ) -> Result<Response<AuthorizeOrderResponse>, Status> {
        let request = request.into_inner();
        let fields = TradeFields {
            symbol: &request.symbol,
            side: request.side,
            amount: ("notional", &request.notional),
            limit_price: &request.limit_price,
            strategy_id: &request.strategy_id,
        };
        let trade = match (fields.parse(), ClientOrderId::parse(&request.client_order_id)) {
            (Ok(trade), Ok(_)) => trade,
            (Ok(_), Err(fault)) => return Err(invalid_fields(vec![fault])),
            (Err(mut faults), id) => {
                faults.extend(id.err());
                return Err(invalid_fields(faults));
            }
        };
        let (decision, epoch) = self
            .engine
            .authorize(&request.account, &request.client_order_id, &trade)
            .map_err(RiskError::from)?;
        Ok(Response::new(AuthorizeOrderResponse {
            approved: decision.approved,
            reason: decision.reason,
            reason_code: decision.code.to_string(),
            checks: decision.checks.into_iter().map(check_to_wire).collect(),
            epoch,
            incarnation: self.engine.incarnation.clone(),
            expires_in_ms: self.engine.config.approval_ttl_ms,
        }))
    }

    async fn settle_order(
        &self,
        request: Request<SettleOrderRequest>,
    ) -> Result<Response<SettleOrderResponse>, Status> {
        let request = request.into_inner();
        let released = self.engine.settle(&request.client_order_id, request.book_revision);
        Ok(Response::new(SettleOrderResponse { released }))
    }

    async fn update_limits(
        &self,
        request: Request<UpdateLimitsRequest>,
    ) -> Result<Response<UpdateLimitsResponse>, Status> {
        let actor = actor_of(request.metadata());
        let engine = Arc::clone(&self.engine);
        let request = request.into_inner();
        // A task of its own: a caller that hangs up must not leave new limits on disk and old ones in force.
        let change = tokio::spawn(tracing::Instrument::in_current_span(async move {
            engine.update_limits(request, &actor).await
        }));
        let answer = change
            .await
            .map_err(|e| Status::internal(format!("the change ended early: {e}")))??;
        Ok(Response::new(answer))
    }

    type HoldLeaseStream = Stream_<HoldLeaseResponse>;

    async fn hold_lease(
        &self,
        request: Request<Streaming<HoldLeaseRequest>>,
    ) -> Result<Response<Self::HoldLeaseStream>, Status> {
        let (out, stream) = mpsc::channel(STREAM_QUEUE_MAX);
        let (engine, shutdown) = (Arc::clone(&self.engine), self.shutdown.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = hold_lease(engine, request.into_inner(), out) => {}
                () = shutdown.cancelled() => {}
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    type WatchRiskStatusStream = Stream_<WatchRiskStatusResponse>;

    async fn watch_risk_status(
        &self,
        _: Request<WatchRiskStatusRequest>,
    ) -> Result<Response<Self::WatchRiskStatusStream>, Status> {
        let (out, stream) = mpsc::channel(STREAM_QUEUE_MAX);
        let (engine, shutdown) = (Arc::clone(&self.engine), self.shutdown.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = send_status(engine, out) => {}
                () = shutdown.cancelled() => {}
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

/// Sends the status at once, with every change, and a heartbeat when nothing happens.
async fn send_status(engine: Arc<Engine>, out: mpsc::Sender<Result<WatchRiskStatusResponse, Status>>) {
    let mut changes = engine.watch_changes();
    let mut heartbeat = false;
    loop {
        let revision = *changes.borrow_and_update();
        let message = if heartbeat {
            Ok(WatchRiskStatusResponse {
                revision,
                heartbeat,
                status: None,
            })
        } else {
            let status = engine.status().await.map_err(Status::from);
            status.map(|status| WatchRiskStatusResponse {
                revision,
                heartbeat,
                status: Some(status),
            })
        };
        if out.send(message).await.is_err() {
            return;
        }
        heartbeat = match tokio::time::timeout(HEARTBEAT, changes.changed()).await {
            Ok(Ok(())) => false,
            Ok(Err(_)) => return,
            Err(_) => true,
        };
    }
}

impl Engine {
    /// Everything an operator wants to see; works without position and without the disk.
    pub(crate) async fn status(&self) -> Result<GetRiskStatusResponse, RiskError> {
        let outbox = match tokio::time::timeout(Duration::from_secs(1), self.outbox.status()).await {
            Ok(Ok(status)) => Some(OutboxStatus {
                depth: status.depth,
                oldest_age_ms: status.oldest_age_ms,
            }),
            Ok(Err(_)) | Err(_) => None,
        };
        let (now_boot, now) = (clock::boot_ms(), clock::now_ms());
        let state = self.state();
        let (all, quiet) = (state.halts.all(), state.halts.quiet());
        let heard = state.book.heard_at_boot_ms;
        let gateways = state.leases.all().map(|(account, holder)| {
            let live = state.live.get(account);
            let in_doubt = live.map_or(0, |l| l.iter().filter(|o| o.state == "IN_DOUBT").count());
            GatewayLease {
                id: holder.gateway_id.clone(),
                connected: holder.connected,
                lease_end_ms: now + holder.lease_end_boot_ms - now_boot,
                confirmed_epoch: holder.confirmed_epoch,
                live_orders: count(live.map_or(0, Vec::len)),
                in_doubt_orders: count(in_doubt),
            }
        });
        let prices = state.prices.iter().map(|((_, symbol), (price, at_ms))| MarketPrice {
            symbol: symbol.clone(),
            price: price.to_string(),
            at_ms: *at_ms,
        });
        Ok(GetRiskStatusResponse {
            kill_switch_active: all.is_some(),
            epoch: state.halts.epoch(),
            daily_pnl: state.book.daily_pnl.map_or_else(String::new, |pnl| pnl.to_string()),
            open_positions: count(state.book.open.len()),
            limits: Some(limits_to_wire(&state.limits)),
            kill_switch_reason: all.map_or(&quiet.reason, |halt| &halt.author.reason).clone(),
            kill_switch_changed_at_ms: all.map_or(quiet.changed_at_ms, |halt| halt.author.at_ms),
            kill_switch_durable: all.is_none_or(|halt| halt.durable),
            kill_switch_actor: all.map_or(&quiet.actor, |halt| &halt.author.actor).clone(),
            gateways: gateways.collect(),
            reservations: count(state.reservations.len()),
            reserved_notional: state.reservations.notional()?.to_string(),
            positions_fresh: state.book.fresh(now_boot, self.config.positions_stale_ms),
            positions_age_ms: heard.map_or(-1, |at| now_boot - at),
            positions_revision: state.book.revision,
            alerts: Some(self.alerts.status()),
            audit_outbox: outbox,
            prices: prices.collect(),
            halts: halts_to_wire(&state),
            triggers: triggers_to_wire(&state, &self.config.triggers),
        })
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

struct TradeFields<'a> {
    symbol: &'a str,
    side: i32,
    amount: (&'static str, &'a str),
    limit_price: &'a str,
    strategy_id: &'a str,
}

impl TradeFields<'_> {
    /// Every fault at once.
    fn parse(&self) -> Result<Trade, Vec<FieldError>> {
        let symbol = Symbol::parse(self.symbol);
        let strategy = StrategyId::parse(self.strategy_id);
        let notional = parse_positive(self.amount.0, self.amount.1);
        let side = match types::Side::try_from(self.side) {
            Ok(types::Side::Buy) => Ok(Side::Buy),
            Ok(types::Side::Sell) => Ok(Side::Sell),
            Ok(types::Side::Unspecified) | Err(_) => {
                Err(FieldError::new("side", &self.side.to_string(), "SIDE_BUY or SIDE_SELL"))
            }
        };
        let limit_price = if self.limit_price.is_empty() {
            Ok(None)
        } else {
            parse_positive("limit_price", self.limit_price).map(Some)
        };
        match (symbol, strategy, notional, side, limit_price) {
            (Ok(symbol), Ok(strategy), Ok(notional), Ok(side), Ok(limit_price)) => Ok(Trade {
                symbol: symbol.to_string(),
                side,
                notional,
                limit_price,
                strategy_id: strategy.to_string(),
            }),
            (symbol, strategy, notional, side, limit_price) => {
                let faults = [
                    symbol.err(),
                    strategy.err(),
                    notional.err(),
                    side.err(),
                    limit_price.err(),
                ];
                Err(faults.into_iter().flatten().collect())
            }
        }
    }
}

fn check_to_wire(check: Check) -> types::Check {
    types::Check {
        name: check.name.to_owned(),
        passed: check.passed,
        value: check.value,
        bound: check.bound,
    }
}

pub(crate) fn limits_to_wire(limits: &DomainLimits) -> Limits {
    Limits {
        order_notional_max: limits.order_notional_max.to_string(),
        position_notional_max: limits.position_notional_max.to_string(),
        open_positions_max: limits.open_positions_max,
        daily_loss_max: limits.daily_loss_max.to_string(),
        orders_per_minute_max: limits.orders_per_minute_max,
        price_collar_bps: limits.price_collar_bps,
        allowed_symbols: limits.allowed_symbols.clone(),
        duplicate_window_ms: limits.duplicate_window_ms,
    }
}
