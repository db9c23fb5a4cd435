use sqlx::{Sqlite, SqliteConnection, SqlitePool, Transaction};
use thunes_store::StoreError;
use thunes_types::{Decimal, checked_add};

pub(crate) async fn fact(pool: &SqlitePool, name: &str) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar("SELECT value FROM facts WHERE name = ?")
        .bind(name)
        .fetch_optional(pool)
        .await?)
}

pub(crate) async fn set_fact(tx: &mut Transaction<'_, Sqlite>, name: &str, value: &str) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(name)
    .bind(value)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Sets a number that only grows: an older write that comes late changes nothing.
pub(crate) async fn raise_fact(tx: &mut Transaction<'_, Sqlite>, name: &str, value: i64) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value \
         WHERE CAST(excluded.value AS INTEGER) > CAST(facts.value AS INTEGER)",
    )
    .bind(name)
    .bind(value.to_string())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn cursor_name(symbol: &str) -> String {
    format!("holding_cursor.{symbol}")
}

/// The newest trade of a symbol that the holdings included when they were read from the exchange. The first word on a symbol
/// stays: holdings are read once.
pub(crate) async fn set_holding_cursor(
    tx: &mut Transaction<'_, Sqlite>,
    symbol: &str,
    trade_id: i64,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING")
        .bind(cursor_name(symbol))
        .bind(trade_id.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Whether the holdings do not include this trade yet.
pub(crate) async fn moves_holdings(
    tx: &mut Transaction<'_, Sqlite>,
    symbol: &str,
    trade_id: i64,
) -> Result<bool, StoreError> {
    let cursor: Option<String> = sqlx::query_scalar("SELECT value FROM facts WHERE name = ?")
        .bind(cursor_name(symbol))
        .fetch_optional(&mut **tx)
        .await?;
    let Some(text) = cursor else { return Ok(true) };
    let cursor: i64 = text
        .parse()
        .map_err(|_| StoreError::Corrupt(format!("holding cursor of {symbol}: {text:?}")))?;
    Ok(trade_id > cursor)
}

/// What is held of an asset by our own count.
pub(crate) async fn holding(connection: &mut SqliteConnection, asset: &str) -> Result<Decimal, StoreError> {
    let text: Option<String> = sqlx::query_scalar("SELECT quantity FROM holdings WHERE asset = ?")
        .bind(asset)
        .fetch_optional(connection)
        .await?;
    text.map_or(Ok(Decimal::ZERO), |text| {
        super::orders::stored_decimal("holdings.quantity", &text)
    })
}

pub(crate) async fn set_holding(
    tx: &mut Transaction<'_, Sqlite>,
    asset: &str,
    quantity: Decimal,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO holdings (asset, quantity) VALUES (?, ?) ON CONFLICT (asset) DO UPDATE SET quantity = excluded.quantity",
    )
    .bind(asset)
    .bind(quantity.to_string())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(crate) async fn add_to_holding(
    tx: &mut Transaction<'_, Sqlite>,
    asset: &str,
    change: Decimal,
) -> Result<(), StoreError> {
    let held = holding(tx, asset).await?;
    let after = checked_add(held, change).map_err(|e| StoreError::Corrupt(format!("holding of {asset}: {e}")))?;
    set_holding(tx, asset, after).await
}
