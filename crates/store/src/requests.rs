use prost::Message;
use sha2::{Digest, Sha256};
use sqlx::{Sqlite, Transaction};
use thunes_runtime::clock;

use crate::StoreError;

/// What is known of a request id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repeated<A> {
    /// Not seen before.
    No,
    /// Seen with the same payload: this was the answer.
    Same(A),
    /// Seen with another payload.
    Other,
}

/// How many answers are kept; the oldest go first.
const ANSWERS_KEPT: i64 = 100_000;

fn payload_hash(method: &str, request: &impl Message) -> String {
    let mut hash = Sha256::new();
    hash.update(method.as_bytes());
    hash.update([0]);
    hash.update(request.encode_to_vec());
    hex::encode(hash.finalize())
}

/// Looks a request id up. `method` keeps the ids of different methods from answering each other.
///
/// # Errors
/// When the database fails or the stored answer cannot be read.
pub async fn repeated_answer<A: Message + Default>(
    tx: &mut Transaction<'_, Sqlite>,
    method: &str,
    request_id: &str,
    request: &impl Message,
) -> Result<Repeated<A>, StoreError> {
    let row: Option<(String, Vec<u8>)> =
        sqlx::query_as("SELECT payload_hash, answer FROM requests WHERE request_id = ?")
            .bind(request_id)
            .fetch_optional(&mut **tx)
            .await?;
    match row {
        None => Ok(Repeated::No),
        Some((hash, _)) if hash != payload_hash(method, request) => Ok(Repeated::Other),
        Some((_, answer)) => {
            let answer = A::decode(answer.as_slice()).map_err(|e| StoreError::Corrupt(e.to_string()))?;
            Ok(Repeated::Same(answer))
        }
    }
}

/// Keeps the answer to a request id, in the transaction of the change itself.
///
/// # Errors
/// When the database fails.
pub async fn remember_answer(
    tx: &mut Transaction<'_, Sqlite>,
    method: &str,
    request_id: &str,
    request: &impl Message,
    answer: &impl Message,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO requests (request_id, payload_hash, answer, created_ms) VALUES (?, ?, ?, ?)")
        .bind(request_id)
        .bind(payload_hash(method, request))
        .bind(answer.encode_to_vec())
        .bind(clock::now_ms())
        .execute(&mut **tx)
        .await?;
    sqlx::query("DELETE FROM requests WHERE rowid <= (SELECT MAX(rowid) FROM requests) - ?")
        .bind(ANSWERS_KEPT)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
