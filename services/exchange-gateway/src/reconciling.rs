//! Reconciliation: taking a snapshot that holds still, comparing, repairing what is safe.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use thunes_binance::{CallError, ErrorKind};
use thunes_proto::gateway::v1 as pb;
use thunes_proto::position::v1::{GetBaselineRequest, ListFillsRequest, ListOpenPositionsRequest};
use thunes_proto::types::v1::{Fill, FillSource, Side as WireSide};
use thunes_rpc::deadline;
use thunes_runtime::clock;
use thunes_store::{OutboxEvent, Repeated, begin_write, failpoint, remember_answer, repeated_answer};
use thunes_types::{Decimal, FieldError, Reason, RequestId, Symbol, checked_add, parse_decimal};

use crate::domain::order::Side;
use crate::domain::reconcile::{Class, Comparison, Difference, OpenOrderFact, Snapshot, TradeFact, compare};
use crate::engine::Engine;
use crate::error::GatewayError;
use crate::questions::NO_TRADE;
use crate::store;
use crate::wire::trade_fill;

/// Keeps request ids of different methods apart.
const METHOD: &str = "Reconcile";
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Fills on their way to position get this long to arrive before both sides are compared.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(3);
/// A snapshot is taken again while trading goes on in between.
const TRIES: u32 = 8;
const BETWEEN_TRIES: Duration = Duration::from_millis(150);
const FILLS_PAGE: i32 = 1000;

/// A snapshot that held still, and the book revision that it stands on.
struct Held {
    snapshot: Snapshot,
    revision: i64,
}

impl Engine {
    /// Compares the exchange with the journal and the book; with `repair`, adopts what the exchange has and we lack.
    ///
    /// # Errors
    /// For a request that is wrong. A side that cannot be read makes the verdict UNDETERMINED, not an error.
    pub(crate) async fn reconcile(
        self: &Arc<Self>,
        request: &pb::ReconcileRequest,
        actor: &str,
    ) -> Result<pb::ReconcileResponse, GatewayError> {
        if request.repair || !request.reason.is_empty() {
            Reason::parse(&request.reason)?;
        }
        if !request.request_id.is_empty() {
            RequestId::parse(&request.request_id)?;
        }
        // Of two requests under one id the second waits for the first one's answer.
        let turn = self.turn(&format!("reconcile:{}", request.request_id));
        let _mine = if request.request_id.is_empty() {
            None
        } else {
            Some(turn.lock().await)
        };
        if let Some(answer) = self.answered_before(request).await? {
            return Ok(answer);
        }
        let started_at_ms = clock::now_ms();
        let start = clock::instant();
        let mut answer = match self.settled_comparison().await {
            Ok((comparison, held)) => self.report(comparison, &held, request.repair).await,
            Err(error) => undetermined(&error),
        };
        answer.started_at_ms = started_at_ms;
        answer.duration_ms = clock::elapsed_ms(start);
        self.record_outcome(request, actor, &answer).await?;
        Ok(answer)
    }

    async fn answered_before(
        &self,
        request: &pb::ReconcileRequest,
    ) -> Result<Option<pb::ReconcileResponse>, GatewayError> {
        if request.request_id.is_empty() {
            return Ok(None);
        }
        let mut tx = begin_write(&self.database.pool).await?;
        match repeated_answer(&mut tx, METHOD, &request.request_id, request).await? {
            Repeated::No => Ok(None),
            Repeated::Same(answer) => Ok(Some(answer)),
            Repeated::Other => Err(GatewayError::RequestIdReused(request.request_id.clone())),
        }
    }

    /// A difference counts when it is seen twice at the same book revision.
    async fn settled_comparison(self: &Arc<Self>) -> Result<(Comparison, Held), GatewayError> {
        let mut last: Option<(Comparison, i64)> = None;
        for _ in 0..TRIES {
            let held = self.held_snapshot().await?;
            let comparison = compare(&held.snapshot)?;
            if comparison.differences.is_empty() {
                return Ok((comparison, held));
            }
            let again = last.as_ref().is_some_and(|(before, revision)| {
                *revision == held.revision && identities(before) == identities(&comparison)
            });
            if again {
                return Ok((comparison, held));
            }
            last = Some((comparison, held.revision));
            tokio::time::sleep(BETWEEN_TRIES).await;
        }
        Err(GatewayError::Dependency(
            "the comparison",
            "it does not hold still while trading goes on".into(),
        ))
    }

    async fn held_snapshot(self: &Arc<Self>) -> Result<Held, GatewayError> {
        self.ask_about_live().await?;
        self.deliver_all().await;
        for _ in 0..TRIES {
            let revision_before = self.book_revision().await?;
            let (account, cursors) = self.snapshot().await?;
            let snapshot = self.read_both_sides(&account).await?;
            let (_, cursors_after) = self.snapshot().await?;
            let revision = self.book_revision().await?;
            if revision == revision_before && cursors == cursors_after {
                return Ok(Held { snapshot, revision });
            }
            tokio::time::sleep(BETWEEN_TRIES).await;
        }
        Err(GatewayError::Dependency(
            "the snapshot",
            "it does not hold still while trading goes on".into(),
        ))
    }

    async fn deliver_all(&self) {
        self.fills_waiting.notify_one();
        let start = clock::instant();
        while start.elapsed() < DELIVERY_PATIENCE {
            match store::undelivered_count(&self.database.pool).await {
                Ok(0) | Err(_) => return,
                Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    async fn book_revision(&self) -> Result<i64, GatewayError> {
        let request = deadline(ListOpenPositionsRequest { include_closed: false }, CALL_TIMEOUT);
        let answer = self.position.clone().list_open_positions(request).await;
        Ok(answer.map_err(|s| position_away(&s))?.into_inner().revision)
    }

    /// Orders whose end we do not know are asked for first, so that their fills are not taken for somebody else's.
    async fn ask_about_live(self: &Arc<Self>) -> Result<(), GatewayError> {
        for order in store::live_orders(&self.database.pool).await? {
            match self.ask_about(&order).await {
                Ok(()) => {}
                // The exchange does not know it (yet): it stays in doubt, and has no trades.
                Err(GatewayError::Exchange(CallError::Rejected(r))) if r.kind == ErrorKind::NoSuchOrder => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn read_both_sides(self: &Arc<Self>, account: &thunes_binance::Account) -> Result<Snapshot, GatewayError> {
        let request = GetBaselineRequest {
            account: self.config.account.clone(),
        };
        let baseline = self
            .position
            .clone()
            .get_baseline(deadline(request, CALL_TIMEOUT))
            .await;
        let baseline = baseline.map_err(|s| position_away(&s))?.into_inner();
        if !baseline.found {
            return Err(GatewayError::Dependency(
                "the baseline",
                "it is not recorded yet".into(),
            ));
        }
        let mut snapshot = Snapshot::default();
        for balance in &baseline.balances {
            let total = checked_add(
                parse_decimal("free", &balance.free)?,
                parse_decimal("locked", &balance.locked)?,
            )?;
            snapshot.baseline.insert(balance.asset.clone(), total);
        }
        for balance in &account.balances {
            let total = checked_add(balance.free, balance.locked)?.normalize();
            if !total.is_zero() {
                snapshot.balances.insert(balance.asset.clone(), total);
            }
        }
        let cursors: BTreeMap<&str, i64> = baseline
            .cursors
            .iter()
            .map(|c| (c.symbol.as_str(), c.last_trade_id))
            .collect();
        for symbol in &self.config.symbols {
            let from = cursors.get(symbol.as_str()).copied().unwrap_or(NO_TRADE) + 1;
            self.read_trades(symbol, from, &mut snapshot).await?;
        }
        self.read_open_orders(&mut snapshot).await?;
        self.read_book(&mut snapshot).await?;
        Ok(snapshot)
    }

    async fn read_trades(&self, symbol: &Symbol, from: i64, snapshot: &mut Snapshot) -> Result<(), GatewayError> {
        let rules = self.rules(symbol.as_str()).ok_or(GatewayError::ClockUnknown)?;
        for trade in self.trades_from(symbol, from).await? {
            let fill = trade_fill(&trade, &rules.base_asset, &rules.quote_asset, FillSource::Query);
            snapshot.exchange_trades.push(trade_fact(&fill)?);
            let venue_order_id = trade.venue_order_id.to_string();
            let own = store::order_by_venue_id(&self.database.pool, symbol.as_str(), &venue_order_id).await?;
            if own.is_some() {
                snapshot.own_orders.insert((symbol.to_string(), venue_order_id));
            }
        }
        Ok(())
    }

    async fn read_open_orders(&self, snapshot: &mut Snapshot) -> Result<(), GatewayError> {
        let (timestamp_ms, recv_window_ms) = self.stamp()?;
        let request = self.exchange.sign_open_orders(None, timestamp_ms, recv_window_ms);
        for order in self.exchange.send(request).await.into_result()? {
            snapshot.exchange_open.push(OpenOrderFact {
                client_order_id: order.client_order_id,
                venue_order_id: order.venue_order_id.to_string(),
                symbol: order.symbol,
                in_doubt: false,
            });
        }
        for order in store::live_orders(&self.database.pool).await? {
            let state = order.state()?;
            if !state.is_terminal() {
                snapshot.own_open.push(OpenOrderFact {
                    client_order_id: order.client_order_id,
                    venue_order_id: order.venue_order_id,
                    symbol: order.symbol,
                    in_doubt: state.is_unknown(),
                });
            }
        }
        // An order in doubt that the exchange has open is in doubt once, not also unknown.
        Ok(())
    }

    async fn read_book(&self, snapshot: &mut Snapshot) -> Result<(), GatewayError> {
        let mut page_token = String::new();
        loop {
            let request = ListFillsRequest {
                symbol: String::new(),
                page_size: FILLS_PAGE,
                page_token,
            };
            let page = self.position.clone().list_fills(deadline(request, CALL_TIMEOUT)).await;
            let page = page.map_err(|s| position_away(&s))?.into_inner();
            for fill in &page.fills {
                snapshot.book_fills.push(trade_fact(fill)?);
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        let request = deadline(ListOpenPositionsRequest { include_closed: true }, CALL_TIMEOUT);
        let book = self
            .position
            .clone()
            .list_open_positions(request)
            .await
            .map_err(|s| position_away(&s))?
            .into_inner();
        for position in book.positions {
            let quantity = parse_decimal("quantity", &position.quantity)?;
            let signed = if position.side() == WireSide::Sell {
                -quantity
            } else {
                quantity
            };
            snapshot.positions.insert(position.symbol, signed);
        }
        Ok(())
    }

    async fn report(self: &Arc<Self>, comparison: Comparison, held: &Held, repair: bool) -> pb::ReconcileResponse {
        let mut shown: Vec<pb::Discrepancy> = comparison.differences.iter().map(difference_to_wire).collect();
        let mut after = comparison.clone();
        if repair && !comparison.differences.is_empty() {
            let failures = self.adopt(&comparison.differences).await;
            match self.settled_comparison().await {
                Ok((again, _)) => after = again,
                Err(error) => return undetermined(&error),
            }
            let left = identities(&after);
            for (difference, wire) in comparison.differences.iter().zip(&mut shown) {
                wire.repaired = !left.contains(&identity(difference));
                wire.repair_result = match failures.get(&difference.key) {
                    Some(why) => why.clone(),
                    None if wire.repaired => "gone after the repair; both sides agree".into(),
                    None => "not a repair that is safe to do without a person".into(),
                };
            }
        }
        let clean = after.differences.is_empty();
        pb::ReconcileResponse {
            verdict: if clean {
                pb::ReconcileVerdict::Clean
            } else {
                pb::ReconcileVerdict::Discrepancies
            } as i32,
            discrepancies: shown,
            balances: after.balances.iter().map(balance_to_wire).collect(),
            positions: after.positions.iter().map(position_to_wire).collect(),
            fills_compared: count(held.snapshot.exchange_trades.len()),
            open_orders_compared: count(held.snapshot.exchange_open.len().max(held.snapshot.own_open.len())),
            book_revision: held.revision,
            ..Default::default()
        }
    }

    /// Adopts the exchange's trades that the book lacks; gives what failed, by difference.
    async fn adopt(self: &Arc<Self>, differences: &[Difference]) -> BTreeMap<String, String> {
        let mut failures = BTreeMap::new();
        for difference in differences {
            let Some(trade) = &difference.adopt else { continue };
            if let Err(error) = self.adopt_one(trade).await {
                failures.insert(difference.key.clone(), error.to_string());
            }
        }
        self.deliver_all().await;
        failures
    }

    async fn adopt_one(&self, trade: &TradeFact) -> Result<(), GatewayError> {
        let own = store::order_by_venue_id(&self.database.pool, &trade.symbol, &trade.venue_order_id).await?;
        let mut tx = begin_write(&self.database.pool).await?;
        match store::fill(&mut tx, &trade.symbol, trade.trade_id).await? {
            // The journal has it and the book lost it: deliver it again.
            Some(row) => {
                tracing::warn!(symbol = %trade.symbol, trade_id = trade.trade_id, delivered_at = row.delivered_revision, "the book lost a fill; delivering it again");
                store::mark_undelivered(&mut tx, row.id).await?;
            }
            None => {
                let mut fill = adopted_fill(trade);
                if let Some(order) = own {
                    (fill.client_order_id, fill.strategy_id) = (order.client_order_id, order.strategy_id);
                }
                self.write_fill(&mut tx, &fill).await?;
            }
        }
        let payload = serde_json::json!({ "symbol": trade.symbol, "trade_id": trade.trade_id, "venue_order_id": trade.venue_order_id });
        let event = OutboxEvent::now(
            "FILL_ADOPTED",
            "reconciliation with repair",
            "exchange-gateway",
            payload,
        );
        self.outbox.add(&mut tx, &event).await?;
        failpoint::pass("gateway.adopt.before_commit");
        tx.commit().await?;
        failpoint::pass("gateway.adopt.after_commit");
        self.outbox.wake();
        self.fills_waiting.notify_one();
        Ok(())
    }

    async fn record_outcome(
        &self,
        request: &pb::ReconcileRequest,
        actor: &str,
        answer: &pb::ReconcileResponse,
    ) -> Result<(), GatewayError> {
        let classes: Vec<&str> = answer.discrepancies.iter().map(|d| d.class().as_str_name()).collect();
        let payload = serde_json::json!({
            "verdict": answer.verdict().as_str_name(),
            "discrepancies": classes,
            "repair": request.repair,
            "fills_compared": answer.fills_compared,
            "book_revision": answer.book_revision,
            "undetermined_reason": answer.undetermined_reason,
        });
        let mut tx = begin_write(&self.database.pool).await?;
        let event = OutboxEvent::now("RECONCILIATION_FINISHED", &request.reason, actor, payload);
        self.outbox.add(&mut tx, &event).await?;
        self.figures.keep(&mut tx, answer).await?;
        if !request.request_id.is_empty() {
            remember_answer(&mut tx, METHOD, &request.request_id, request, answer).await?;
        }
        failpoint::pass("gateway.reconcile.before_commit");
        tx.commit().await?;
        failpoint::pass("gateway.reconcile.after_commit");
        self.outbox.wake();
        Ok(())
    }
}

fn position_away(status: &tonic::Status) -> GatewayError {
    GatewayError::Dependency("position", status.message().to_owned())
}

fn undetermined(error: &GatewayError) -> pb::ReconcileResponse {
    pb::ReconcileResponse {
        verdict: pb::ReconcileVerdict::Undetermined as i32,
        undetermined_reason: error.to_string(),
        ..Default::default()
    }
}

type Identity = (Class, String, String, Option<Decimal>);

fn identity(difference: &Difference) -> Identity {
    let (class, symbol, key, amount) = difference.identity();
    (class, symbol.to_owned(), key.to_owned(), amount)
}

fn identities(comparison: &Comparison) -> BTreeSet<Identity> {
    comparison.differences.iter().map(identity).collect()
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn trade_fact(fill: &Fill) -> Result<TradeFact, FieldError> {
    Ok(TradeFact {
        symbol: fill.symbol.clone(),
        trade_id: fill.trade_id,
        base_asset: fill.base_asset.clone(),
        quote_asset: fill.quote_asset.clone(),
        side: if fill.side() == WireSide::Sell {
            Side::Sell
        } else {
            Side::Buy
        },
        price: parse_decimal("price", &fill.price)?.normalize(),
        quantity: parse_decimal("quantity", &fill.quantity)?.normalize(),
        quote_quantity: parse_decimal("quote_quantity", &fill.quote_quantity)?.normalize(),
        commission: parse_decimal("commission", &fill.commission)?.normalize(),
        commission_asset: fill.commission_asset.clone(),
        venue_order_id: fill.venue_order_id.clone(),
        executed_at_ms: fill.executed_at_ms,
    })
}

fn adopted_fill(trade: &TradeFact) -> Fill {
    Fill {
        symbol: trade.symbol.clone(),
        trade_id: trade.trade_id,
        base_asset: trade.base_asset.clone(),
        quote_asset: trade.quote_asset.clone(),
        side: match trade.side {
            Side::Buy => WireSide::Buy,
            Side::Sell => WireSide::Sell,
        } as i32,
        price: trade.price.to_string(),
        quantity: trade.quantity.to_string(),
        quote_quantity: trade.quote_quantity.to_string(),
        commission: trade.commission.to_string(),
        commission_asset: trade.commission_asset.clone(),
        executed_at_ms: trade.executed_at_ms,
        venue_order_id: trade.venue_order_id.clone(),
        source: FillSource::Adopted as i32,
        ..Fill::default()
    }
}

fn difference_to_wire(difference: &Difference) -> pb::Discrepancy {
    let class = match difference.class {
        Class::MissedFill => pb::DiscrepancyClass::MissedFill,
        Class::PhantomFill => pb::DiscrepancyClass::PhantomFill,
        Class::ExternalTrade => pb::DiscrepancyClass::ExternalTrade,
        Class::UnknownOpenOrder => pb::DiscrepancyClass::UnknownOpenOrder,
        Class::PhantomOrder => pb::DiscrepancyClass::PhantomOrder,
        Class::FillMismatch => pb::DiscrepancyClass::FillMismatch,
        Class::InDoubt => pb::DiscrepancyClass::InDoubt,
        Class::UnexplainedBalance => pb::DiscrepancyClass::UnexplainedBalance,
        Class::PositionMismatch => pb::DiscrepancyClass::PositionMismatch,
    };
    pb::Discrepancy {
        class: class as i32,
        symbol: difference.symbol.clone(),
        asset: difference.asset.clone(),
        local_json: difference.local.to_string(),
        exchange_json: difference.exchange.to_string(),
        difference: difference.difference.map_or_else(String::new, |v| v.to_string()),
        cause: difference.cause.clone(),
        proposed_repair: difference.proposed_repair.clone(),
        repaired: false,
        repair_result: String::new(),
    }
}

fn balance_to_wire(line: &crate::domain::reconcile::BalanceLine) -> pb::BalanceComparison {
    pb::BalanceComparison {
        asset: line.asset.clone(),
        baseline: line.baseline.to_string(),
        fills: line.trades.to_string(),
        expected: line.expected.to_string(),
        exchange: line.exchange.to_string(),
        difference: line.difference.to_string(),
    }
}

fn position_to_wire(line: &crate::domain::reconcile::PositionLine) -> pb::PositionComparison {
    pb::PositionComparison {
        symbol: line.symbol.clone(),
        book: line.book.to_string(),
        exchange: line.exchange.to_string(),
        difference: line.difference.to_string(),
    }
}
