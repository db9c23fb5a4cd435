use serde::{Deserialize, Serialize};
use sqlx::{Sqlite, SqlitePool, Transaction};
use thunes_store::StoreError;

use crate::domain::triggers::{Peak, Trigger, Triggers};

#[derive(Debug, Serialize, Deserialize)]
struct Body {
    fired: Vec<String>,
    peak: Option<Peak>,
}

pub(crate) async fn load_triggers(pool: &SqlitePool) -> Result<Triggers, StoreError> {
    let body: Option<String> = sqlx::query_scalar("SELECT body FROM triggers WHERE id = 1")
        .fetch_optional(pool)
        .await?;
    let Some(text) = body else {
        return Ok(Triggers::default());
    };
    let body: Body = serde_json::from_str(&text).map_err(|e| StoreError::Corrupt(format!("triggers: {e}")))?;
    // A trigger that this version does not know cannot fire either.
    let fired = body.fired.iter().filter_map(|name| Trigger::parse(name)).collect();
    Ok(Triggers::restored(fired, body.peak))
}

pub(crate) async fn save_triggers(tx: &mut Transaction<'_, Sqlite>, triggers: &Triggers) -> Result<(), StoreError> {
    let body = Body {
        fired: triggers.fired().map(|trigger| trigger.name().to_owned()).collect(),
        peak: triggers.peak().cloned(),
    };
    let text = serde_json::to_string(&body).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    sqlx::query("INSERT INTO triggers (id, body) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body")
        .bind(text)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
