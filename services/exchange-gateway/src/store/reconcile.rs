//! What reconciliation looks up, in one question for many rows.

use std::collections::BTreeSet;

use sqlx::{Sqlite, SqlitePool, Transaction};
use thunes_store::StoreError;

use super::OrderRow;
use super::orders::stored_decimal;
use crate::domain::reconcile::TransferFact;

/// Most orders that are listed as having turned up.
const TURNED_UP_SHOWN: i64 = 100;

fn json_list<T: serde::Serialize>(items: &[T]) -> Result<String, StoreError> {
    serde_json::to_string(items).map_err(|e| StoreError::Corrupt(e.to_string()))
}

/// Which of these venue ids are those of our own orders.
pub(crate) async fn own_venue_ids(
    pool: &SqlitePool,
    symbol: &str,
    venue_order_ids: &BTreeSet<&str>,
) -> Result<BTreeSet<String>, StoreError> {
    if venue_order_ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let asked: Vec<&str> = venue_order_ids.iter().copied().collect();
    let own: Vec<String> = sqlx::query_scalar(
        "SELECT venue_order_id FROM orders WHERE symbol = ? AND venue_order_id <> '' \
         AND venue_order_id IN (SELECT value FROM json_each(?))",
    )
    .bind(symbol)
    .bind(json_list(&asked)?)
    .fetch_all(pool)
    .await?;
    Ok(own.into_iter().collect())
}

/// The order that the exchange knows under this id, if it is ours.
pub(crate) async fn order_by_venue_id(
    pool: &SqlitePool,
    symbol: &str,
    venue_order_id: &str,
) -> Result<Option<OrderRow>, StoreError> {
    Ok(
        sqlx::query_as("SELECT * FROM orders WHERE symbol = ? AND venue_order_id = ? AND venue_order_id <> ''")
            .bind(symbol)
            .bind(venue_order_id)
            .fetch_optional(pool)
            .await?,
    )
}

/// Which of these trades the journal has.
pub(crate) async fn known_trades(
    pool: &SqlitePool,
    symbol: &str,
    trade_ids: &[i64],
) -> Result<BTreeSet<i64>, StoreError> {
    if trade_ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let known: Vec<i64> = sqlx::query_scalar(
        "SELECT trade_id FROM fills WHERE symbol = ? AND trade_id IN (SELECT value FROM json_each(?))",
    )
    .bind(symbol)
    .bind(json_list(trade_ids)?)
    .fetch_all(pool)
    .await?;
    Ok(known.into_iter().collect())
}

/// Keeps a deposit or withdrawal; says whether it is new.
pub(crate) async fn insert_transfer(
    tx: &mut Transaction<'_, Sqlite>,
    transfer: &TransferFact,
    event_time_ms: i64,
    heard_at_ms: i64,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO transfers (asset, delta, event_time_ms, cleared_at_ms, heard_at_ms) VALUES (?, ?, ?, ?, ?) \
         ON CONFLICT DO NOTHING",
    )
    .bind(&transfer.asset)
    .bind(transfer.delta.to_string())
    .bind(event_time_ms)
    .bind(transfer.cleared_at_ms)
    .bind(heard_at_ms)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Transfers that were heard since then, oldest first.
pub(crate) async fn transfers_since(pool: &SqlitePool, heard_from_ms: i64) -> Result<Vec<TransferFact>, StoreError> {
    let rows: Vec<(String, String, i64)> =
        sqlx::query_as("SELECT asset, delta, cleared_at_ms FROM transfers WHERE heard_at_ms >= ? ORDER BY id")
            .bind(heard_from_ms)
            .fetch_all(pool)
            .await?;
    let fact = |(asset, delta, cleared_at_ms): (String, String, i64)| {
        Ok(TransferFact {
            asset,
            delta: stored_decimal("transfers.delta", &delta)?,
            cleared_at_ms,
        })
    };
    rows.into_iter().map(fact).collect()
}

/// Orders that turned up since then, newest first.
pub(crate) async fn turned_up_since(pool: &SqlitePool, since_ms: i64) -> Result<Vec<OrderRow>, StoreError> {
    Ok(
        sqlx::query_as("SELECT * FROM orders WHERE turned_up_at_ms >= ? ORDER BY turned_up_at_ms DESC LIMIT ?")
            .bind(since_ms.max(1))
            .bind(TURNED_UP_SHOWN)
            .fetch_all(pool)
            .await?,
    )
}

/// An order that the exchange had before that time (and after the other): while it knows this one, it has not forgotten
/// what came later. Executed ones first, since an exchange keeps them for ever.
pub(crate) async fn witness_before(
    pool: &SqlitePool,
    before_ms: i64,
    after_ms: i64,
) -> Result<Option<OrderRow>, StoreError> {
    for executed in ["<>", "="] {
        let found = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "SELECT * FROM orders WHERE created_at_ms < ? AND created_at_ms > ? AND venue_order_id <> '' \
             AND state NOT IN ('INTENT', 'IN_DOUBT') AND executed_quantity {executed} '0' \
             ORDER BY created_at_ms DESC LIMIT 1"
        )))
        .bind(before_ms)
        .bind(after_ms)
        .fetch_optional(pool)
        .await?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}
