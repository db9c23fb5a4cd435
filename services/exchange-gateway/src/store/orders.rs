use sqlx::{Sqlite, SqliteConnection, SqlitePool, Transaction};
use thunes_store::StoreError;
use thunes_types::{Decimal, parse_decimal};

use crate::domain::order::{Belief, OrderState, Side};

/// An order as it stands in the journal. Decimals are text; empty where there is none.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct OrderRow {
    pub client_order_id: String,
    pub payload_hash: String,
    pub symbol: String,
    pub base_asset: String,
    pub quote_asset: String,
    pub side: String,
    pub order_type: String,
    pub time_in_force: String,
    pub quantity: String,
    pub quote_amount: String,
    pub limit_price: String,
    pub strategy_id: String,
    pub notional: String,
    pub state: String,
    pub reason: String,
    pub reason_code: String,
    pub checks: String,
    pub venue_order_id: String,
    pub executed_quantity: String,
    pub executed_quote: String,
    pub epoch: i64,
    pub signed_timestamp_ms: i64,
    pub recv_window_ms: i64,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
    pub resolved_at_ms: i64,
    pub fills_missing: bool,
    pub trace_id: String,
    /// Of its submission; empty in rows of older versions.
    pub traceparent: String,
    /// Who resolved it by hand; empty when the exchange's word, or nobody's, made it what it is.
    pub resolved_by: String,
    /// When the exchange told of it after it had been thought to have ended otherwise; 0 when it did not.
    pub turned_up_at_ms: i64,
}

pub(super) fn stored_decimal(what: &str, text: &str) -> Result<Decimal, StoreError> {
    if text.is_empty() {
        return Ok(Decimal::ZERO);
    }
    parse_decimal(what, text).map_err(|e| StoreError::Corrupt(e.to_string()))
}

impl OrderRow {
    pub(crate) fn state(&self) -> Result<OrderState, StoreError> {
        OrderState::parse(&self.state)
            .ok_or_else(|| StoreError::Corrupt(format!("order {}: state {:?}", self.client_order_id, self.state)))
    }

    /// A span for something that happens to it later, in the trace of its submission.
    pub(crate) fn span(&self, what: &'static str) -> tracing::Span {
        let span = tracing::info_span!("order", otel.name = what, client_order_id = %self.client_order_id);
        thunes_runtime::continue_trace(&span, &self.traceparent);
        span
    }

    pub(crate) fn side(&self) -> Side {
        if self.side == "SELL" { Side::Sell } else { Side::Buy }
    }

    pub(crate) fn belief(&self) -> Result<Belief, StoreError> {
        Ok(Belief {
            state: self.state()?,
            venue_order_id: self.venue_order_id.clone(),
            executed_quantity: stored_decimal("executed_quantity", &self.executed_quantity)?,
            executed_quote: stored_decimal("executed_quote", &self.executed_quote)?,
            by_operator: !self.resolved_by.is_empty(),
        })
    }

    pub(crate) fn believe(&mut self, belief: &Belief) {
        self.state = belief.state.as_str().to_owned();
        self.venue_order_id.clone_from(&belief.venue_order_id);
        self.executed_quantity = belief.executed_quantity.to_string();
        self.executed_quote = belief.executed_quote.to_string();
        if !belief.by_operator {
            self.resolved_by.clear();
        }
    }

    /// Base that it can still trade; zero for an order given in quote.
    pub(crate) fn remaining_quantity(&self) -> Result<Decimal, StoreError> {
        let quantity = stored_decimal("quantity", &self.quantity)?;
        let executed = stored_decimal("executed_quantity", &self.executed_quantity)?;
        Ok((quantity - executed).max(Decimal::ZERO))
    }
}

pub(crate) async fn find_order(
    connection: &mut SqliteConnection,
    client_order_id: &str,
) -> Result<Option<OrderRow>, StoreError> {
    Ok(sqlx::query_as("SELECT * FROM orders WHERE client_order_id = ?")
        .bind(client_order_id)
        .fetch_optional(connection)
        .await?)
}

pub(crate) async fn insert_order(tx: &mut Transaction<'_, Sqlite>, o: &OrderRow) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO orders (client_order_id, payload_hash, symbol, base_asset, quote_asset, side, order_type, \
         time_in_force, quantity, quote_amount, limit_price, strategy_id, notional, state, reason, reason_code, checks, \
         venue_order_id, executed_quantity, executed_quote, epoch, signed_timestamp_ms, recv_window_ms, created_at_ms, \
         updated_at_ms, resolved_at_ms, fills_missing, trace_id, traceparent) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&o.client_order_id)
    .bind(&o.payload_hash)
    .bind(&o.symbol)
    .bind(&o.base_asset)
    .bind(&o.quote_asset)
    .bind(&o.side)
    .bind(&o.order_type)
    .bind(&o.time_in_force)
    .bind(&o.quantity)
    .bind(&o.quote_amount)
    .bind(&o.limit_price)
    .bind(&o.strategy_id)
    .bind(&o.notional)
    .bind(&o.state)
    .bind(&o.reason)
    .bind(&o.reason_code)
    .bind(&o.checks)
    .bind(&o.venue_order_id)
    .bind(&o.executed_quantity)
    .bind(&o.executed_quote)
    .bind(o.epoch)
    .bind(o.signed_timestamp_ms)
    .bind(o.recv_window_ms)
    .bind(o.created_at_ms)
    .bind(o.updated_at_ms)
    .bind(o.resolved_at_ms)
    .bind(o.fills_missing)
    .bind(&o.trace_id)
    .bind(&o.traceparent)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes what can change of an order.
pub(crate) async fn update_order(tx: &mut Transaction<'_, Sqlite>, o: &OrderRow) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE orders SET state = ?, reason = ?, reason_code = ?, venue_order_id = ?, executed_quantity = ?, \
         executed_quote = ?, signed_timestamp_ms = ?, updated_at_ms = ?, resolved_at_ms = ?, fills_missing = ?, \
         resolved_by = ?, turned_up_at_ms = ? WHERE client_order_id = ?",
    )
    .bind(&o.state)
    .bind(&o.reason)
    .bind(&o.reason_code)
    .bind(&o.venue_order_id)
    .bind(&o.executed_quantity)
    .bind(&o.executed_quote)
    .bind(o.signed_timestamp_ms)
    .bind(o.updated_at_ms)
    .bind(o.resolved_at_ms)
    .bind(o.fills_missing)
    .bind(&o.resolved_by)
    .bind(o.turned_up_at_ms)
    .bind(&o.client_order_id)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Orders that have not ended, whose fills are not all here, or whose fills position does not have; oldest first.
pub(crate) async fn live_orders(pool: &SqlitePool) -> Result<Vec<OrderRow>, StoreError> {
    Ok(sqlx::query_as(
        "SELECT * FROM orders WHERE state IN ('INTENT', 'IN_DOUBT', 'NEW', 'PARTIALLY_FILLED') OR fills_missing = 1 \
         OR client_order_id IN (SELECT client_order_id FROM fills WHERE delivered_revision IS NULL) \
         ORDER BY created_at_ms",
    )
    .fetch_all(pool)
    .await?)
}

/// What orders that have not ended may still sell of an asset.
pub(crate) async fn remaining_sells(
    tx: &mut Transaction<'_, Sqlite>,
    base_asset: &str,
) -> Result<Vec<Decimal>, StoreError> {
    let rows: Vec<OrderRow> = sqlx::query_as(
        "SELECT * FROM orders WHERE side = 'SELL' AND base_asset = ? \
         AND (state IN ('INTENT', 'IN_DOUBT', 'NEW', 'PARTIALLY_FILLED') OR fills_missing = 1)",
    )
    .bind(base_asset)
    .fetch_all(&mut **tx)
    .await?;
    let mut pledged = Vec::new();
    for row in rows {
        let ended = row.state()?.is_terminal();
        let most = stored_decimal("quantity", if ended { &row.executed_quantity } else { &row.quantity })?;
        // What its fills took is off the holdings already; what is executed without a fill here is not.
        let filled = super::fills::filled_quantity(tx, &row.client_order_id).await?;
        pledged.push((most - filled).max(Decimal::ZERO));
    }
    Ok(pledged)
}

/// Newest first; `before` is the last order of the page before: its creation and id.
pub(crate) async fn list_orders(
    pool: &SqlitePool,
    symbol: &str,
    states: &[OrderState],
    before: Option<(i64, String)>,
    limit: i64,
) -> Result<Vec<OrderRow>, StoreError> {
    let (before_ms, before_id) = before.unwrap_or((i64::MAX, String::new()));
    let wanted = format!(",{},", states.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(","));
    Ok(sqlx::query_as(
        "SELECT * FROM orders WHERE (?1 = '' OR symbol = ?1) AND (?2 = ',,' OR instr(?2, ',' || state || ',') > 0) \
         AND (created_at_ms < ?3 OR (created_at_ms = ?3 AND client_order_id < ?4)) \
         ORDER BY created_at_ms DESC, client_order_id DESC LIMIT ?5",
    )
    .bind(symbol)
    .bind(wanted)
    .bind(before_ms)
    .bind(before_id)
    .bind(limit)
    .fetch_all(pool)
    .await?)
}
