use std::collections::HashMap;
use std::sync::Mutex;

use prost::Message;
use sqlx::{Sqlite, Transaction};
use thunes_runtime::clock;
use thunes_store::StoreError;

use crate::error::RiskError;

/// Answers of the switch's own methods, by request id. They are looked up in memory, because a hung disk must not delay
/// an activation.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    by_id: Mutex<HashMap<String, Vec<u8>>>,
}

/// How many are loaded at start.
const LOADED_MAX: i64 = 10_000;

#[derive(Clone, PartialEq, Message)]
struct Stored {
    #[prost(string, tag = "1")]
    method: String,
    #[prost(bytes, tag = "2")]
    request: Vec<u8>,
    #[prost(bytes, tag = "3")]
    answer: Vec<u8>,
}

impl Answers {
    pub(crate) async fn load(pool: &sqlx::SqlitePool) -> Result<Self, StoreError> {
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(
            "SELECT request_id, answer FROM requests WHERE payload_hash = 'switch' ORDER BY rowid DESC LIMIT ?",
        )
        .bind(LOADED_MAX)
        .fetch_all(pool)
        .await?;
        Ok(Self { by_id: Mutex::new(rows.into_iter().collect()) })
    }

    /// The answer that was given to this id before, if any.
    ///
    /// # Errors
    /// When the id was used with another payload or method.
    pub(crate) fn find<A: Message + Default>(
        &self,
        method: &str,
        request_id: &str,
        request: &impl Message,
    ) -> Result<Option<A>, RiskError> {
        if request_id.is_empty() {
            return Ok(None);
        }
        let by_id = self.by_id.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(bytes) = by_id.get(request_id) else { return Ok(None) };
        let stored = Stored::decode(bytes.as_slice()).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        if stored.method != method || stored.request != request.encode_to_vec() {
            return Err(RiskError::RequestIdReused(request_id.to_owned()));
        }
        Ok(Some(A::decode(stored.answer.as_slice()).map_err(|e| StoreError::Corrupt(e.to_string()))?))
    }

    /// Keeps an answer in memory; returns what [`Answers::save`] writes.
    pub(crate) fn keep(&self, method: &str, request_id: &str, request: &impl Message, answer: &impl Message) -> Vec<u8> {
        let stored =
            Stored { method: method.to_owned(), request: request.encode_to_vec(), answer: answer.encode_to_vec() };
        let bytes = stored.encode_to_vec();
        if !request_id.is_empty() {
            let mut by_id = self.by_id.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            by_id.insert(request_id.to_owned(), bytes.clone());
        }
        bytes
    }

    /// Writes an answer, in the transaction of the change where there is one.
    pub(crate) async fn save(
        tx: &mut Transaction<'_, Sqlite>,
        request_id: &str,
        bytes: Vec<u8>,
    ) -> Result<(), StoreError> {
        if request_id.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "INSERT INTO requests (request_id, payload_hash, answer, created_ms) VALUES (?, 'switch', ?, ?) \
             ON CONFLICT (request_id) DO UPDATE SET answer = excluded.answer",
        )
        .bind(request_id)
        .bind(bytes)
        .bind(clock::now_ms())
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}
