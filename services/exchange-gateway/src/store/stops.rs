use prost::Message;
use sqlx::{Sqlite, SqlitePool, Transaction};
use thunes_proto::types::v1::Fill;
use thunes_runtime::clock;
use thunes_store::StoreError;
use thunes_types::{HaltLevel, Scope};

use super::orders::OrderRow;

/// The state of a halt's stop, as it was written last; None when it never began.
pub(crate) async fn stop_state(pool: &SqlitePool, halt_epoch: i64) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar("SELECT state FROM stops WHERE halt_epoch = ?")
        .bind(halt_epoch)
        .fetch_optional(pool)
        .await?)
}

pub(crate) async fn insert_stop(
    tx: &mut Transaction<'_, Sqlite>,
    halt_epoch: i64,
    scope: &Scope,
    level: HaltLevel,
) -> Result<(), StoreError> {
    let now_ms = clock::now_ms();
    sqlx::query(
        "INSERT INTO stops (halt_epoch, strategy_id, symbol, level, state, begun_at_ms, updated_at_ms) \
         VALUES (?, ?, ?, ?, 'RUNNING', ?, ?)",
    )
    .bind(halt_epoch)
    .bind(scope.strategy_id())
    .bind(scope.symbol())
    .bind(level.as_str())
    .bind(now_ms)
    .bind(now_ms)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(crate) async fn set_stop_state(
    tx: &mut Transaction<'_, Sqlite>,
    halt_epoch: i64,
    state: &str,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE stops SET state = ?, updated_at_ms = ? WHERE halt_epoch = ?")
        .bind(state)
        .bind(clock::now_ms())
        .bind(halt_epoch)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Stops that are not over: the epoch of each halt.
pub(crate) async fn stops_under_way(pool: &SqlitePool) -> Result<Vec<i64>, StoreError> {
    Ok(
        sqlx::query_scalar("SELECT halt_epoch FROM stops WHERE state != 'ENDED' ORDER BY halt_epoch")
            .fetch_all(pool)
            .await?,
    )
}

/// Orders that have not ended, oldest first.
pub(crate) async fn open_orders(tx: &mut Transaction<'_, Sqlite>) -> Result<Vec<OrderRow>, StoreError> {
    Ok(sqlx::query_as(
        "SELECT * FROM orders WHERE state IN ('INTENT', 'IN_DOUBT', 'NEW', 'PARTIALLY_FILLED') ORDER BY created_at_ms",
    )
    .fetch_all(&mut **tx)
    .await?)
}

/// An order that this halt cancels; one that is known already stays as it is.
pub(crate) async fn add_stop_order(
    tx: &mut Transaction<'_, Sqlite>,
    halt_epoch: i64,
    client_order_id: &str,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO stop_orders (halt_epoch, client_order_id, confirmed) VALUES (?, ?, 0) ON CONFLICT DO NOTHING",
    )
    .bind(halt_epoch)
    .bind(client_order_id)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(crate) async fn confirm_stop_order(
    tx: &mut Transaction<'_, Sqlite>,
    halt_epoch: i64,
    client_order_id: &str,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE stop_orders SET confirmed = 1 WHERE halt_epoch = ? AND client_order_id = ?")
        .bind(halt_epoch)
        .bind(client_order_id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Orders of this halt, by whether the exchange has confirmed that they are not open; oldest first.
pub(crate) async fn stop_orders(
    pool: &SqlitePool,
    halt_epoch: i64,
    confirmed: bool,
) -> Result<Vec<OrderRow>, StoreError> {
    Ok(sqlx::query_as(
        "SELECT orders.* FROM stop_orders JOIN orders ON orders.client_order_id = stop_orders.client_order_id \
         WHERE stop_orders.halt_epoch = ? AND stop_orders.confirmed = ? ORDER BY orders.created_at_ms",
    )
    .bind(halt_epoch)
    .bind(confirmed)
    .fetch_all(pool)
    .await?)
}

/// Orders whose id begins so, oldest first. The beginning holds no wildcard.
pub(crate) async fn orders_with_prefix(pool: &SqlitePool, prefix: &str) -> Result<Vec<OrderRow>, StoreError> {
    Ok(sqlx::query_as(
        "SELECT * FROM orders WHERE client_order_id >= ?1 AND client_order_id < ?1 || '~' ORDER BY created_at_ms",
    )
    .bind(prefix)
    .fetch_all(pool)
    .await?)
}

/// A fill after one that is known: its number, whose it is (None: not ours), and itself.
pub(crate) type LaterFill = (i64, Option<String>, Fill);

/// The fills after `id`, oldest first.
pub(crate) async fn fills_after(pool: &SqlitePool, id: i64, limit: i64) -> Result<Vec<LaterFill>, StoreError> {
    let rows: Vec<(i64, Option<String>, Vec<u8>)> = sqlx::query_as(
        "SELECT fills.id, orders.strategy_id, fills.body FROM fills \
         LEFT JOIN orders ON orders.client_order_id = fills.client_order_id WHERE fills.id > ? ORDER BY fills.id LIMIT ?",
    )
    .bind(id)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    let read = |(id, strategy_id, body): (i64, Option<String>, Vec<u8>)| {
        let fill = Fill::decode(body.as_slice()).map_err(|e| StoreError::Corrupt(format!("fill {id}: {e}")))?;
        Ok((id, strategy_id, fill))
    };
    rows.into_iter().map(read).collect()
}
