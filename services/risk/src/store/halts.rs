use sqlx::{Sqlite, SqlitePool, Transaction};
use thunes_store::StoreError;
use thunes_types::{HaltLevel, Scope};

use crate::domain::halts::{Author, Halt, Halts, Quiet};

#[derive(Debug, sqlx::FromRow)]
struct SwitchRow {
    active: bool,
    epoch: i64,
    reason: String,
    actor: String,
    changed_at_ms: i64,
    level: String,
    since_ms: i64,
    last_epoch: i64,
}

#[derive(Debug, sqlx::FromRow)]
struct ScopedRow {
    strategy_id: String,
    symbol: String,
    level: String,
    epoch: i64,
    reason: String,
    actor: String,
    changed_at_ms: i64,
    since_ms: i64,
}

fn level(text: &str) -> Result<HaltLevel, StoreError> {
    HaltLevel::parse(text).ok_or_else(|| StoreError::Corrupt(format!("level of a halt: {text:?}")))
}

/// Everything that is halted; None before the first change.
pub(crate) async fn load_halts(pool: &SqlitePool) -> Result<Option<Halts>, StoreError> {
    let row: Option<SwitchRow> = sqlx::query_as(
        "SELECT active, epoch, reason, actor, changed_at_ms, level, since_ms, last_epoch FROM kill_switch WHERE id = 1",
    )
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let mut held = Vec::new();
    if row.active {
        held.push(Halt {
            scope: Scope::All,
            level: level(&row.level)?,
            epoch: row.epoch,
            author: author(&row.reason, &row.actor, row.changed_at_ms),
            // Rows of older versions do not know it.
            since_ms: if row.since_ms == 0 {
                row.changed_at_ms
            } else {
                row.since_ms
            },
            durable: true,
        });
    }
    let scoped: Vec<ScopedRow> = sqlx::query_as("SELECT * FROM scoped_halts").fetch_all(pool).await?;
    for row in scoped {
        let scope = Scope::parse(&row.strategy_id, &row.symbol);
        held.push(Halt {
            scope: scope.map_err(|e| StoreError::Corrupt(format!("scope of a halt: {e}")))?,
            level: level(&row.level)?,
            epoch: row.epoch,
            author: author(&row.reason, &row.actor, row.changed_at_ms),
            since_ms: row.since_ms,
            durable: true,
        });
    }
    let quiet = Quiet {
        epoch: row.epoch,
        reason: row.reason,
        actor: row.actor,
        changed_at_ms: row.changed_at_ms,
    };
    Ok(Some(Halts::restored(row.last_epoch, quiet, held)))
}

fn author(reason: &str, actor: &str, at_ms: i64) -> Author {
    Author {
        reason: reason.to_owned(),
        actor: actor.to_owned(),
        at_ms,
        cause: None,
    }
}

/// Writes a halt that holds; `quiet` stands for everything while nothing halts it.
pub(crate) async fn save_halt(tx: &mut Transaction<'_, Sqlite>, halt: &Halt, quiet: &Quiet) -> Result<(), StoreError> {
    let author = &halt.author;
    match &halt.scope {
        Scope::All => {
            let row = SwitchRow {
                active: true,
                epoch: halt.epoch,
                reason: author.reason.clone(),
                actor: author.actor.clone(),
                changed_at_ms: author.at_ms,
                level: halt.level.as_str().to_owned(),
                since_ms: halt.since_ms,
                last_epoch: halt.epoch,
            };
            save_switch(tx, &row).await
        }
        Scope::Strategy(_) | Scope::Symbol(_) => {
            ensure_switch(tx, quiet).await?;
            sqlx::query(
                "INSERT INTO scoped_halts (strategy_id, symbol, level, epoch, reason, actor, changed_at_ms, since_ms) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (strategy_id, symbol) DO UPDATE SET \
                 level = excluded.level, epoch = excluded.epoch, reason = excluded.reason, actor = excluded.actor, \
                 changed_at_ms = excluded.changed_at_ms, since_ms = excluded.since_ms",
            )
            .bind(halt.scope.strategy_id())
            .bind(halt.scope.symbol())
            .bind(halt.level.as_str())
            .bind(halt.epoch)
            .bind(&author.reason)
            .bind(&author.actor)
            .bind(author.at_ms)
            .bind(halt.since_ms)
            .execute(&mut **tx)
            .await?;
            count(tx, halt.epoch).await
        }
    }
}

/// Writes that everything is halted no more.
pub(crate) async fn save_quiet(tx: &mut Transaction<'_, Sqlite>, quiet: &Quiet) -> Result<(), StoreError> {
    let row = SwitchRow {
        active: false,
        epoch: quiet.epoch,
        reason: quiet.reason.clone(),
        actor: quiet.actor.clone(),
        changed_at_ms: quiet.changed_at_ms,
        level: HaltLevel::HaltNew.as_str().to_owned(),
        since_ms: quiet.changed_at_ms,
        last_epoch: quiet.epoch,
    };
    save_switch(tx, &row).await
}

/// The halt of one strategy or symbol ended at `epoch`.
pub(crate) async fn delete_scoped_halt(
    tx: &mut Transaction<'_, Sqlite>,
    scope: &Scope,
    epoch: i64,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM scoped_halts WHERE strategy_id = ? AND symbol = ?")
        .bind(scope.strategy_id())
        .bind(scope.symbol())
        .execute(&mut **tx)
        .await?;
    count(tx, epoch).await
}

async fn save_switch(tx: &mut Transaction<'_, Sqlite>, row: &SwitchRow) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO kill_switch (id, active, epoch, reason, actor, changed_at_ms, level, since_ms, last_epoch) \
         VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET active = excluded.active, \
         epoch = excluded.epoch, reason = excluded.reason, actor = excluded.actor, \
         changed_at_ms = excluded.changed_at_ms, level = excluded.level, since_ms = excluded.since_ms, \
         last_epoch = max(last_epoch, excluded.last_epoch)",
    )
    .bind(row.active)
    .bind(row.epoch)
    .bind(&row.reason)
    .bind(&row.actor)
    .bind(row.changed_at_ms)
    .bind(&row.level)
    .bind(row.since_ms)
    .bind(row.last_epoch)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn ensure_switch(tx: &mut Transaction<'_, Sqlite>, quiet: &Quiet) -> Result<(), StoreError> {
    let there: Option<i64> = sqlx::query_scalar("SELECT 1 FROM kill_switch WHERE id = 1")
        .fetch_optional(&mut **tx)
        .await?;
    if there.is_none() {
        save_quiet(tx, quiet).await?;
    }
    Ok(())
}

async fn count(tx: &mut Transaction<'_, Sqlite>, epoch: i64) -> Result<(), StoreError> {
    sqlx::query("UPDATE kill_switch SET last_epoch = max(last_epoch, ?) WHERE id = 1")
        .bind(epoch)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
