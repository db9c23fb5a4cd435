//! All of risk's SQL.

mod halts;
mod triggers;

use sqlx::{Sqlite, SqlitePool, Transaction};
use thunes_store::StoreError;

use crate::domain::limits::Limits;

pub(crate) use halts::{delete_scoped_halt, load_halts, save_halt, save_quiet};
pub(crate) use triggers::{load_triggers, save_triggers};

/// An alert as it stands on disk.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct AlertRow {
    pub alert_id: String,
    pub text: String,
    /// When the thing that it tells of happened.
    pub raised_at_ms: i64,
    /// Whether it tells of an activation.
    pub kill_switch: bool,
}

pub(crate) async fn load_limits(pool: &SqlitePool) -> Result<Option<Limits>, StoreError> {
    let body: Option<String> = sqlx::query_scalar("SELECT body FROM limits WHERE id = 1")
        .fetch_optional(pool)
        .await?;
    body.map(|text| serde_json::from_str(&text).map_err(|e| StoreError::Corrupt(format!("limits: {e}"))))
        .transpose()
}

pub(crate) async fn save_limits(tx: &mut Transaction<'_, Sqlite>, limits: &Limits) -> Result<(), StoreError> {
    let body = serde_json::to_string(limits).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    sqlx::query("INSERT INTO limits (id, body) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body")
        .bind(body)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Every account's gateway: account, gateway id, incarnation.
pub(crate) async fn load_holders(pool: &SqlitePool) -> Result<Vec<(String, String, String)>, StoreError> {
    Ok(
        sqlx::query_as("SELECT account, gateway_id, incarnation FROM lease_holders")
            .fetch_all(pool)
            .await?,
    )
}

pub(crate) async fn save_holder(
    pool: &SqlitePool,
    account: &str,
    gateway_id: &str,
    incarnation: &str,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO lease_holders (account, gateway_id, incarnation) VALUES (?, ?, ?) \
         ON CONFLICT (account) DO UPDATE SET gateway_id = excluded.gateway_id, incarnation = excluded.incarnation",
    )
    .bind(account)
    .bind(gateway_id)
    .bind(incarnation)
    .execute(pool)
    .await?;
    Ok(())
}

pub(crate) async fn save_alert(tx: &mut Transaction<'_, Sqlite>, alert: &AlertRow) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO alerts (alert_id, text, raised_at_ms, kill_switch) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(&alert.alert_id)
    .bind(&alert.text)
    .bind(alert.raised_at_ms)
    .bind(alert.kill_switch)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(crate) async fn pending_alerts(pool: &SqlitePool) -> Result<Vec<AlertRow>, StoreError> {
    Ok(sqlx::query_as(
        "SELECT alert_id, text, raised_at_ms, kill_switch FROM alerts WHERE accepted_at_ms IS NULL ORDER BY raised_at_ms, rowid",
    )
    .fetch_all(pool)
    .await?)
}

pub(crate) async fn mark_alert_accepted(
    tx: &mut Transaction<'_, Sqlite>,
    alert: &AlertRow,
    accepted_at_ms: i64,
) -> Result<(), StoreError> {
    save_alert(tx, alert).await?;
    sqlx::query("UPDATE alerts SET accepted_at_ms = ? WHERE alert_id = ?")
        .bind(accepted_at_ms)
        .bind(&alert.alert_id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// How many were accepted, and the last accepted activation alert: raised, accepted, text.
pub(crate) async fn accepted_alerts(pool: &SqlitePool) -> Result<(i64, Option<(i64, i64, String)>), StoreError> {
    let count = sqlx::query_scalar("SELECT COUNT(*) FROM alerts WHERE accepted_at_ms IS NOT NULL")
        .fetch_one(pool)
        .await?;
    let last = sqlx::query_as(
        "SELECT raised_at_ms, accepted_at_ms, text FROM alerts WHERE accepted_at_ms IS NOT NULL AND kill_switch = 1 \
         ORDER BY accepted_at_ms DESC LIMIT 1",
    )
    .fetch_optional(pool)
    .await?;
    Ok((count, last))
}
