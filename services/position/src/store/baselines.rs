use std::collections::BTreeMap;

use sqlx::SqliteConnection;
use thunes_store::StoreError;
use thunes_types::Symbol;

use super::{corrupt, read_decimal};
use crate::domain::{Asset, Baseline, HeldBalance};

/// The baseline of an account.
pub(crate) async fn load_baseline(
    connection: &mut SqliteConnection,
    account: &str,
) -> Result<Option<Baseline>, StoreError> {
    let taken_at_ms: Option<i64> = sqlx::query_scalar("SELECT taken_at_ms FROM baselines WHERE account = ?")
        .bind(account)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(taken_at_ms) = taken_at_ms else {
        return Ok(None);
    };
    let mut baseline = Baseline {
        account: account.to_owned(),
        balances: BTreeMap::new(),
        cursors: BTreeMap::new(),
        taken_at_ms,
    };
    let rows: Vec<(String, String, String)> =
        sqlx::query_as("SELECT asset, free, locked FROM baseline_balances WHERE account = ?")
            .bind(account)
            .fetch_all(&mut *connection)
            .await?;
    for (name, free, locked) in rows {
        let place = format!("baseline_balances of {account}");
        let asset = Asset::parse_as("asset", &name).map_err(|_| corrupt(&place, &name))?;
        let held = HeldBalance {
            free: read_decimal(&place, &free)?,
            locked: read_decimal(&place, &locked)?,
        };
        baseline.balances.insert(asset, held);
    }
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT symbol, last_trade_id FROM baseline_cursors WHERE account = ?")
            .bind(account)
            .fetch_all(&mut *connection)
            .await?;
    for (name, last_trade_id) in rows {
        let symbol = Symbol::parse(&name).map_err(|_| corrupt(&format!("baseline_cursors of {account}"), &name))?;
        baseline.cursors.insert(symbol, last_trade_id);
    }
    Ok(Some(baseline))
}

/// Stores a baseline in the place of any other of its account.
pub(crate) async fn save_baseline(
    connection: &mut SqliteConnection,
    baseline: &Baseline,
    reason: &str,
    actor: &str,
    now_ms: i64,
) -> Result<(), StoreError> {
    let account = baseline.account.as_str();
    for statement in [
        "DELETE FROM baseline_balances WHERE account = ?",
        "DELETE FROM baseline_cursors WHERE account = ?",
        "DELETE FROM baselines WHERE account = ?",
    ] {
        sqlx::query(statement).bind(account).execute(&mut *connection).await?;
    }
    sqlx::query("INSERT INTO baselines (account, taken_at_ms, reason, actor, recorded_at_ms) VALUES (?, ?, ?, ?, ?)")
        .bind(account)
        .bind(baseline.taken_at_ms)
        .bind(reason)
        .bind(actor)
        .bind(now_ms)
        .execute(&mut *connection)
        .await?;
    for (asset, held) in &baseline.balances {
        sqlx::query("INSERT INTO baseline_balances (account, asset, free, locked) VALUES (?, ?, ?, ?)")
            .bind(account)
            .bind(asset.as_str())
            .bind(held.free.to_string())
            .bind(held.locked.to_string())
            .execute(&mut *connection)
            .await?;
    }
    for (symbol, last_trade_id) in &baseline.cursors {
        sqlx::query("INSERT INTO baseline_cursors (account, symbol, last_trade_id) VALUES (?, ?, ?)")
            .bind(account)
            .bind(symbol.as_str())
            .bind(*last_trade_id)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
