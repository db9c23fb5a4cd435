//! What the gateway is asked: orders from the journal, account and trades from the exchange, its own state.

use std::sync::atomic::Ordering;

use thunes_binance::{Account, Trade, TradesFilter};
use thunes_proto::gateway::v1 as pb;
use thunes_proto::types::v1::{Balance, FillSource};
use thunes_runtime::clock;
use thunes_types::{FieldError, ReasonCode, Symbol};

use crate::engine::Engine;
use crate::error::GatewayError;
use crate::store::{self, OrderRow};
use crate::wire::{order_to_wire, state_from_wire, trade_fill};

/// Most trades in one question.
const TRADES_PAGE_MAX: u32 = 1000;

impl Engine {
    /// The order of this id.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn order(&self, client_order_id: &str) -> Result<OrderRow, GatewayError> {
        let mut connection = self.database.pool.acquire().await?;
        let found = store::find_order(&mut connection, client_order_id).await?;
        found.ok_or_else(|| GatewayError::NoSuchOrder(client_order_id.to_owned()))
    }

    /// The order with its fills, as the API shows it.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(crate) async fn shown(&self, order: &OrderRow) -> Result<pb::Order, GatewayError> {
        let fills = store::fills_of_order(&self.database.pool, &order.client_order_id).await?;
        Ok(order_to_wire(order, &fills))
    }

    /// A page of orders, newest first.
    ///
    /// # Errors
    /// For a wrong page size or token.
    pub(crate) async fn orders(&self, request: &pb::ListOrdersRequest) -> Result<pb::ListOrdersResponse, GatewayError> {
        if !(0..=500).contains(&request.page_size) {
            return Err(FieldError::new("page_size", &request.page_size.to_string(), "0 to 500").into());
        }
        let limit = if request.page_size == 0 {
            100
        } else {
            i64::from(request.page_size)
        };
        let before = if request.page_token.is_empty() {
            None
        } else {
            Some(read_token(&request.page_token)?)
        };
        let mut states = Vec::new();
        for state in &request.states {
            let known = state_from_wire(*state);
            states.push(known.ok_or_else(|| FieldError::new("states", &state.to_string(), "a known order state"))?);
        }
        let rows = store::list_orders(&self.database.pool, &request.symbol, &states, before, limit).await?;
        let full = i64::try_from(rows.len()).unwrap_or(0) == limit;
        let next_page_token = rows.last().filter(|_| full).map_or_else(String::new, |last| {
            format!("{}.{}", last.created_at_ms, last.client_order_id)
        });
        let mut orders = Vec::new();
        for row in &rows {
            orders.push(self.shown(row).await?);
        }
        Ok(pb::ListOrdersResponse {
            orders,
            next_page_token,
        })
    }

    /// The exchange's balances.
    ///
    /// # Errors
    /// When the exchange gives no clear answer.
    pub(crate) async fn account(&self) -> Result<Account, GatewayError> {
        let (timestamp_ms, recv_window_ms) = self.stamp()?;
        Ok(self
            .exchange
            .send(self.exchange.sign_account(timestamp_ms, recv_window_ms))
            .await
            .into_result()?)
    }

    /// The exchange's trades of one symbol from an id on, all pages.
    ///
    /// # Errors
    /// When the exchange gives no clear answer.
    pub(crate) async fn trades_from(&self, symbol: &Symbol, from_trade_id: i64) -> Result<Vec<Trade>, GatewayError> {
        let mut all: Vec<Trade> = Vec::new();
        let mut from = from_trade_id;
        loop {
            let page = self.trades_page(symbol, from, TRADES_PAGE_MAX).await?;
            let full = page.len() >= TRADES_PAGE_MAX as usize;
            let last = page.iter().map(|t| t.trade_id).max();
            all.extend(page);
            match last {
                Some(last) if full => from = last + 1,
                Some(_) | None => return Ok(all),
            }
        }
    }

    async fn trades_page(&self, symbol: &Symbol, from: i64, limit: u32) -> Result<Vec<Trade>, GatewayError> {
        let (timestamp_ms, recv_window_ms) = self.stamp()?;
        let filter = TradesFilter::FromTradeId(from);
        let request = self
            .exchange
            .sign_my_trades(symbol, filter, limit, timestamp_ms, recv_window_ms);
        Ok(self.exchange.send(request).await.into_result()?)
    }

    /// The newest trade id of a symbol on this account; 0 when there is none.
    ///
    /// # Errors
    /// When the exchange gives no clear answer.
    pub(crate) async fn last_trade_id(&self, symbol: &Symbol) -> Result<i64, GatewayError> {
        let (timestamp_ms, recv_window_ms) = self.stamp()?;
        let request = self
            .exchange
            .sign_my_trades(symbol, TradesFilter::Recent, 1, timestamp_ms, recv_window_ms);
        let trades = self.exchange.send(request).await.into_result()?;
        Ok(trades.iter().map(|t| t.trade_id).max().unwrap_or(NO_TRADE))
    }

    /// One page of the exchange's trades as the API shows them.
    ///
    /// # Errors
    /// For an unknown symbol or a wrong limit, and when the exchange gives no clear answer.
    pub(crate) async fn shown_trades(
        &self,
        request: &pb::ListTradesRequest,
    ) -> Result<pb::ListTradesResponse, GatewayError> {
        let symbol = Symbol::parse(&request.symbol)?;
        let Some(rules) = self.rules(symbol.as_str()) else {
            return Err(FieldError::new("symbol", &request.symbol, "one of the symbols of gateway.symbols").into());
        };
        if !(0..=1000).contains(&request.limit) {
            return Err(FieldError::new("limit", &request.limit.to_string(), "0 to 1000").into());
        }
        let limit = if request.limit == 0 {
            500
        } else {
            u32::try_from(request.limit).unwrap_or(500)
        };
        let trades = self.trades_page(&symbol, request.from_trade_id.max(0), limit).await?;
        let shown = |trade| trade_fill(trade, &rules.base_asset, &rules.quote_asset, FillSource::Query);
        Ok(pb::ListTradesResponse {
            trades: trades.iter().map(shown).collect(),
        })
    }

    /// The gateway's own state.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(crate) async fn status(&self) -> Result<pb::GetGatewayStatusResponse, GatewayError> {
        let outbox = self.outbox.status().await?;
        let now = clock::boot_ms();
        let estimate = self.time_estimate();
        let live = self.live();
        let in_doubt = live.iter().filter(|o| o.state == "IN_DOUBT").count();
        let oldest_doubt = live
            .iter()
            .filter(|o| o.state == "IN_DOUBT")
            .map(|o| o.created_at_ms)
            .min();
        let ended = |o: &&OrderRow| o.state().is_ok_and(crate::domain::order::OrderState::is_terminal);
        let waiting = live.iter().filter(ended).count();
        let refused = self.opening_refused();
        let budget = self.exchange.budget_status();
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let until = |wait_ms: i64| if wait_ms > 0 { clock::now_ms() + wait_ms } else { 0 };
        Ok(pb::GetGatewayStatusResponse {
            gateway_id: self.config.id.clone(),
            account: self.config.account.clone(),
            exchange_base_url: self.config.base_url.clone(),
            environment: self.config.environment.as_str().to_owned(),
            opening_allowed: refused.is_none(),
            opening_refused_reason_code: refused.map_or_else(String::new, |code| code.to_string()),
            lease_remaining_ms: self.gate(|gate| gate.lease_remaining_ms(now)),
            epoch: self.gate(|gate| gate.epoch()),
            stream_connected: self.stream_connected.load(Ordering::SeqCst),
            orders_live: i64::try_from(live.len() - waiting).unwrap_or(0),
            orders_in_doubt: i64::try_from(in_doubt).unwrap_or(0),
            fills_undelivered: store::undelivered_count(&self.database.pool).await?,
            audit_outbox_depth: outbox.depth,
            audit_outbox_oldest_age_ms: outbox.oldest_age_ms,
            clock_offset_ms: estimate.map_or(0, |e| e.exchange_ms(clock::boot_us()) - clock::now_ms()),
            clock_uncertainty_ms: estimate.map_or(-1, |e| e.uncertainty_ms()),
            resolved_since_start: self.resolved_since_start.load(Ordering::SeqCst),
            exchange_weight_used: count(budget.weight_used),
            exchange_weight_limit: count(budget.weight_limit),
            exchange_weight_reserve: count(budget.weight_reserve),
            exchange_blocked_until_ms: until(budget.blocked_ms),
            exchange_orders_blocked_until_ms: until(budget.orders_blocked_ms),
            orders_in_doubt_oldest_age_ms: oldest_doubt.map_or(0, |since| (clock::now_ms() - since).max(0)),
            reconciliation: Some(self.reconciliation_status()),
        })
    }
}

impl Engine {
    /// Why no opening order would pass now; None when one would.
    pub(crate) fn opening_refused(&self) -> Option<ReasonCode> {
        if !self.is_ready() {
            return Some(ReasonCode::GatewayStarting);
        }
        if let Err((code, _)) = self.reconciled_enough() {
            return Some(code);
        }
        self.gate(|gate| gate.closed_because(clock::boot_ms()))
    }

    /// Opening waits for the first clean reconciliation of this run, or for an operator.
    ///
    /// # Errors
    /// Says what it waits for. Before the first verdict of a run that is the start itself.
    pub(crate) fn reconciled_enough(&self) -> Result<(), (ReasonCode, String)> {
        let (open, looked) = self
            .reconciling
            .gate(|gate| (gate.is_open(clock::now_ms()), gate.found().is_some()));
        if open {
            return Ok(());
        }
        let code = if looked {
            ReasonCode::ReconciliationNotClean
        } else {
            ReasonCode::GatewayStarting
        };
        let latest = self.reconciling.latest.borrow();
        let why = match (latest.undetermined_reason.as_str(), latest.mismatches) {
            ("", 0) => "it is not done yet".to_owned(),
            ("", mismatches) => format!("{mismatches} discrepancies: thunes reconcile"),
            (undetermined, _) => format!("no verdict yet: {undetermined}"),
        };
        let text =
            format!("❌ No new positions before a reconciliation since the start was clean, or overridden ({why})");
        Err((code, text))
    }
}

/// Below every trade id.
pub(crate) const NO_TRADE: i64 = -1;

/// Balances that are not zero.
pub(crate) fn balances_to_wire(account: &Account) -> Vec<Balance> {
    let held = account
        .balances
        .iter()
        .filter(|b| !(b.free.is_zero() && b.locked.is_zero()));
    let wire = |b: &thunes_binance::Balance| Balance {
        asset: b.asset.clone(),
        free: b.free.normalize().to_string(),
        locked: b.locked.normalize().to_string(),
    };
    held.map(wire).collect()
}

fn read_token(token: &str) -> Result<(i64, String), FieldError> {
    let parts = token
        .split_once('.')
        .and_then(|(ms, id)| Some((ms.parse().ok()?, id.to_owned())));
    parts.ok_or_else(|| FieldError::new("page_token", token, "the next_page_token of an earlier answer"))
}
