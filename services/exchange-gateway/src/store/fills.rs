use std::collections::BTreeMap;

use prost::Message;
use sqlx::{Sqlite, SqlitePool, Transaction};
use thunes_proto::types::v1::Fill;
use thunes_store::StoreError;
use thunes_types::{Decimal, checked_add};

/// A fill in the journal.
#[derive(Debug, Clone)]
pub(crate) struct FillRow {
    pub id: i64,
    pub fill: Fill,
    pub delivered_revision: Option<i64>,
}

/// A fill on its way to position, with the trace of its order's submission; empty when it is not known.
#[derive(Debug, Clone)]
pub(crate) struct WaitingFill {
    pub id: i64,
    pub fill: Fill,
    pub traceparent: String,
}

fn decode(row: (i64, Vec<u8>, Option<i64>)) -> Result<FillRow, StoreError> {
    let (id, body, delivered_revision) = row;
    let fill = Fill::decode(body.as_slice()).map_err(|e| StoreError::Corrupt(format!("fill {id}: {e}")))?;
    Ok(FillRow {
        id,
        fill,
        delivered_revision,
    })
}

/// Writes a fill; says whether it is new. (symbol, trade_id) is its identity, whoever told of it first.
/// One that was adopted before its order was known gets its order here.
pub(crate) async fn insert_fill(tx: &mut Transaction<'_, Sqlite>, fill: &Fill) -> Result<bool, StoreError> {
    sqlx::query("UPDATE fills SET client_order_id = ? WHERE symbol = ? AND trade_id = ? AND client_order_id = ''")
        .bind(&fill.client_order_id)
        .bind(&fill.symbol)
        .bind(fill.trade_id)
        .execute(&mut **tx)
        .await?;
    let done = sqlx::query(
        "INSERT INTO fills (symbol, trade_id, client_order_id, quantity, body) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(&fill.symbol)
    .bind(fill.trade_id)
    .bind(&fill.client_order_id)
    .bind(&fill.quantity)
    .bind(fill.encode_to_vec())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(crate) async fn fill(
    tx: &mut Transaction<'_, Sqlite>,
    symbol: &str,
    trade_id: i64,
) -> Result<Option<FillRow>, StoreError> {
    let row = sqlx::query_as("SELECT id, body, delivered_revision FROM fills WHERE symbol = ? AND trade_id = ?")
        .bind(symbol)
        .bind(trade_id)
        .fetch_optional(&mut **tx)
        .await?;
    row.map(decode).transpose()
}

/// Those of these trades that the journal has, by id.
pub(crate) async fn fills_by_ids(
    pool: &SqlitePool,
    symbol: &str,
    trade_ids: &[i64],
) -> Result<BTreeMap<i64, Fill>, StoreError> {
    if trade_ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let asked = serde_json::to_string(trade_ids).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    let rows: Vec<_> = sqlx::query_as(
        "SELECT id, body, delivered_revision FROM fills WHERE symbol = ? AND trade_id IN (SELECT value FROM json_each(?))",
    )
    .bind(symbol)
    .bind(asked)
    .fetch_all(pool)
    .await?;
    let read = |row| decode(row).map(|row| (row.fill.trade_id, row.fill));
    rows.into_iter().map(read).collect()
}

/// Whether a symbol has a fill after the one of that number. It looks at the newer ones alone, whatever came before.
pub(crate) async fn filled_since(
    tx: &mut Transaction<'_, Sqlite>,
    symbol: &str,
    last_id: i64,
) -> Result<bool, StoreError> {
    let row: Option<i64> = sqlx::query_scalar("SELECT 1 FROM fills WHERE id > ? AND +symbol = ? LIMIT 1")
        .bind(last_id)
        .bind(symbol)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(row.is_some())
}

pub(crate) async fn fills_of_order(pool: &SqlitePool, client_order_id: &str) -> Result<Vec<FillRow>, StoreError> {
    let rows: Vec<_> =
        sqlx::query_as("SELECT id, body, delivered_revision FROM fills WHERE client_order_id = ? ORDER BY trade_id")
            .bind(client_order_id)
            .fetch_all(pool)
            .await?;
    rows.into_iter().map(decode).collect()
}

/// The oldest fills that position does not have.
pub(crate) async fn undelivered(pool: &SqlitePool, limit: i64) -> Result<Vec<WaitingFill>, StoreError> {
    let rows: Vec<(i64, Vec<u8>, String)> = sqlx::query_as(
        "SELECT fills.id, fills.body, COALESCE(orders.traceparent, '') FROM fills \
         LEFT JOIN orders ON orders.client_order_id = fills.client_order_id \
         WHERE fills.delivered_revision IS NULL ORDER BY fills.id LIMIT ?",
    )
    .bind(limit)
    .fetch_all(pool)
    .await?;
    let waiting = |(id, body, traceparent)| {
        let row = decode((id, body, None))?;
        Ok(WaitingFill {
            id,
            fill: row.fill,
            traceparent,
        })
    };
    rows.into_iter().map(waiting).collect()
}

pub(crate) async fn undelivered_count(pool: &SqlitePool) -> Result<i64, StoreError> {
    Ok(
        sqlx::query_scalar("SELECT COUNT(*) FROM fills WHERE delivered_revision IS NULL")
            .fetch_one(pool)
            .await?,
    )
}

pub(crate) async fn has_undelivered(pool: &SqlitePool, client_order_id: &str) -> Result<bool, StoreError> {
    let row: Option<i64> =
        sqlx::query_scalar("SELECT 1 FROM fills WHERE client_order_id = ? AND delivered_revision IS NULL LIMIT 1")
            .bind(client_order_id)
            .fetch_optional(pool)
            .await?;
    Ok(row.is_some())
}

/// Position has these: the book of `revision` holds them.
pub(crate) async fn mark_delivered(
    tx: &mut Transaction<'_, Sqlite>,
    ids: &[i64],
    revision: i64,
) -> Result<(), StoreError> {
    for id in ids {
        sqlx::query("UPDATE fills SET delivered_revision = ? WHERE id = ?")
            .bind(revision)
            .bind(*id)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// Position turned out not to have it: it is delivered again.
pub(crate) async fn mark_undelivered(tx: &mut Transaction<'_, Sqlite>, id: i64) -> Result<(), StoreError> {
    sqlx::query("UPDATE fills SET delivered_revision = NULL WHERE id = ?")
        .bind(id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Base that the fills of an order add up to.
pub(crate) async fn filled_quantity(
    tx: &mut Transaction<'_, Sqlite>,
    client_order_id: &str,
) -> Result<Decimal, StoreError> {
    let texts: Vec<String> = sqlx::query_scalar("SELECT quantity FROM fills WHERE client_order_id = ?")
        .bind(client_order_id)
        .fetch_all(&mut **tx)
        .await?;
    let mut sum = Decimal::ZERO;
    for text in texts {
        let quantity = super::orders::stored_decimal("fills.quantity", &text)?;
        sum =
            checked_add(sum, quantity).map_err(|e| StoreError::Corrupt(format!("fills of {client_order_id}: {e}")))?;
    }
    Ok(sum)
}
