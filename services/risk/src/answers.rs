use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use prost::Message;
use sqlx::{Sqlite, Transaction};
use thunes_runtime::clock;
use thunes_store::StoreError;

use crate::error::RiskError;

/// Answers of the switch's own methods, by request id. They are looked up in memory, because a hung disk must not delay
/// an activation.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    by_id: Mutex<Kept>,
    /// Requests that are being answered: one of the same id waits for the other's answer.
    under_way: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

#[derive(Debug, Default)]
struct Kept {
    map: HashMap<String, Vec<u8>>,
    /// Oldest first.
    order: VecDeque<String>,
}

/// How many are kept in memory; the oldest go first.
const KEPT_MAX: usize = 20_000;

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
        let order = rows.iter().rev().map(|(id, _)| id.clone()).collect();
        Ok(Self {
            by_id: Mutex::new(Kept {
                map: rows.into_iter().collect(),
                order,
            }),
            ..Self::default()
        })
    }

    /// The turn of a request id; an empty id has no turn to wait for.
    pub(crate) async fn turn(&self, request_id: &str) -> Option<tokio::sync::OwnedMutexGuard<()>> {
        if request_id.is_empty() {
            return None;
        }
        let turn = {
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            under_way.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(under_way.entry(request_id.to_owned()).or_default())
        };
        Some(turn.lock_owned().await)
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
        let by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bytes) = by_id.map.get(request_id) else {
            return Ok(None);
        };
        let stored = Stored::decode(bytes.as_slice()).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        if stored.method != method || stored.request != request.encode_to_vec() {
            return Err(RiskError::RequestIdReused(request_id.to_owned()));
        }
        Ok(Some(
            A::decode(stored.answer.as_slice()).map_err(|e| StoreError::Corrupt(e.to_string()))?,
        ))
    }

    /// An answer with what it answers, as it is kept and written.
    pub(crate) fn encode(method: &str, request: &impl Message, answer: &impl Message) -> Vec<u8> {
        Stored {
            method: method.to_owned(),
            request: request.encode_to_vec(),
            answer: answer.encode_to_vec(),
        }
        .encode_to_vec()
    }

    /// Keeps an answer in memory, once it is on disk (or stands for a disk that does not work).
    pub(crate) fn keep(&self, request_id: &str, bytes: Vec<u8>) {
        if request_id.is_empty() {
            return;
        }
        let mut by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        if by_id.map.insert(request_id.to_owned(), bytes).is_none() {
            by_id.order.push_back(request_id.to_owned());
        }
        while by_id.order.len() > KEPT_MAX {
            if let Some(oldest) = by_id.order.pop_front() {
                by_id.map.remove(&oldest);
            }
        }
    }

    /// Takes an answer back that did not come true.
    pub(crate) async fn withdraw(tx: &mut Transaction<'_, Sqlite>, request_id: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM requests WHERE request_id = ? AND payload_hash = 'switch'")
            .bind(request_id)
            .execute(&mut **tx)
            .await?;
        Ok(())
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
