use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::Digest;
use sqlx::{Sqlite, Transaction};
use thunes_proto::audit::v1::audit_service_client::AuditServiceClient;
use thunes_proto::audit::v1::{AppendEventsRequest, NewEvent};
use thunes_rpc::{Client, deadline};
use thunes_runtime::{clock, current_trace_id, current_traceparent, gauge, seconds, whole};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{Database, StoreError, failpoint};

/// Most events in one delivery.
const BATCH_MAX: i64 = 200;
/// Most bytes of events in one delivery; audit takes more in a request, but not without bound.
const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Audit refuses longer lines; an event that can never be delivered must not get into the outbox.
const EVENT_BYTES_MAX: usize = 48 * 1024;
/// As audit bounds it, in characters.
const REASON_MAX: usize = 512;
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// How often metrics learn how much waits.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// An audit event that waits in the outbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OutboxEvent {
    pub event_type: String,
    pub reason: String,
    pub actor: String,
    pub trace_id: String,
    /// Of the span in which it happened; absent in rows of older versions.
    #[serde(default)]
    pub traceparent: String,
    pub payload: serde_json::Value,
    pub occurred_at_ms: i64,
}

impl OutboxEvent {
    /// An event that happens now, in the present trace. What happens outside every trace begins one.
    pub fn now(event_type: &str, reason: &str, actor: &str, payload: serde_json::Value) -> Self {
        let span = if current_trace_id().is_empty() {
            tracing::info_span!(parent: None, "event", otel.name = event_type)
        } else {
            tracing::Span::none()
        };
        let _happening = span.enter();
        Self {
            event_type: event_type.to_owned(),
            reason: reason.to_owned(),
            actor: actor.to_owned(),
            trace_id: current_trace_id(),
            traceparent: current_traceparent(),
            payload,
            occurred_at_ms: clock::now_ms(),
        }
    }
}

/// An event that audit would never take would hold up all behind it: its payload is replaced by its size and hash.
fn bounded(event: OutboxEvent) -> OutboxEvent {
    let payload = event.payload.to_string();
    if payload.len() <= EVENT_BYTES_MAX {
        return event;
    }
    let hash = hex::encode(sha2::Sha256::digest(&payload));
    let short = serde_json::json!({ "too_large": true, "bytes": payload.len(), "sha256": hash });
    OutboxEvent {
        payload: short,
        ..event
    }
}

/// How much audit does not have yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboxStatus {
    pub depth: i64,
    /// 0 when the outbox is empty.
    pub oldest_age_ms: i64,
}

/// The events of one database that audit does not have yet, in their order.
#[derive(Debug, Clone)]
pub struct Outbox {
    database: Database,
    /// The service's name, as audit's lines show it.
    producer: &'static str,
    wake: Arc<Notify>,
    /// How much waited when it was last counted, for metrics: they must not ask the database.
    level: Arc<Mutex<Option<Level>>>,
}

/// What waits in the outbox.
#[derive(Debug, Clone, Copy)]
struct Level {
    depth: i64,
    /// UTC, milliseconds; None when nothing waits.
    oldest_ms: Option<i64>,
}

impl Outbox {
    pub fn new(database: Database, producer: &'static str) -> Self {
        Self {
            database,
            producer,
            wake: Arc::new(Notify::new()),
            level: Arc::default(),
        }
    }

    /// Writes an event in the transaction of the change that it tells of. Call [`Outbox::wake`] after the commit.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add(&self, tx: &mut Transaction<'_, Sqlite>, event: &OutboxEvent) -> Result<(), StoreError> {
        let event = OutboxEvent {
            reason: event.reason.chars().take(REASON_MAX).collect(),
            ..event.clone()
        };
        let event = bounded(event);
        let text = serde_json::to_string(&event).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        sqlx::query("INSERT INTO outbox (event, created_ms) VALUES (?, ?)")
            .bind(text)
            .bind(clock::now_ms())
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Says that something was committed.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Depth and age.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn status(&self) -> Result<OutboxStatus, StoreError> {
        let (depth, oldest_ms): (i64, Option<i64>) = sqlx::query_as("SELECT COUNT(*), MIN(created_ms) FROM outbox")
            .fetch_one(&self.database.pool)
            .await?;
        let level = Level { depth, oldest_ms };
        *self.level() = Some(level);
        Ok(OutboxStatus {
            depth,
            oldest_age_ms: level.oldest_age_ms(),
        })
    }

    fn level(&self) -> MutexGuard<'_, Option<Level>> {
        self.level.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show_metrics(&self) {
        let level = self.clone();
        gauge(
            "thunes_outbox_depth",
            "{event}",
            "Events that audit does not have yet",
            move || (*level.level()).map(|level| whole(level.depth)),
        );
        let level = self.clone();
        let meaning = "Age of the oldest event that audit does not have yet; 0 when there is none";
        gauge("thunes_outbox_oldest_age_seconds", "s", meaning, move || {
            (*level.level()).map(|level| seconds(level.oldest_age_ms()))
        });
    }

    async fn waiting(&self) -> Result<Vec<(i64, OutboxEvent)>, StoreError> {
        let rows: Vec<(i64, String)> = sqlx::query_as("SELECT seq, event FROM outbox ORDER BY seq LIMIT ?")
            .bind(BATCH_MAX)
            .fetch_all(&self.database.pool)
            .await?;
        let mut bytes = 0;
        let mut batch = Vec::new();
        for (seq, text) in rows {
            bytes += text.len();
            if bytes > BATCH_BYTES_MAX && !batch.is_empty() {
                break;
            }
            let event =
                serde_json::from_str(&text).map_err(|e| StoreError::Corrupt(format!("outbox event {seq}: {e}")))?;
            batch.push((seq, event));
        }
        Ok(batch)
    }

    fn request(&self, batch: &[(i64, OutboxEvent)]) -> AppendEventsRequest {
        let event = |(seq, event): &(i64, OutboxEvent)| NewEvent {
            event_type: event.event_type.clone(),
            reason: event.reason.clone(),
            actor: event.actor.clone(),
            service: self.producer.to_owned(),
            trace_id: event.trace_id.clone(),
            payload_json: event.payload.to_string(),
            occurred_at_ms: event.occurred_at_ms,
            producer_seq: *seq,
            traceparent: event.traceparent.clone(),
        };
        AppendEventsRequest {
            producer: self.producer.to_owned(),
            incarnation: self.database.incarnation.clone(),
            events: batch.iter().map(event).collect(),
            request_id: String::new(),
        }
    }

    /// Delivers one batch; says whether there was any.
    async fn deliver(&self, audit: &mut AuditServiceClient<Client>) -> Result<bool, DeliveryError> {
        let batch = self.waiting().await?;
        let Some((last, _)) = batch.last() else {
            return Ok(false);
        };
        audit
            .append_events(deadline(self.request(&batch), DELIVERY_TIMEOUT))
            .await?;
        failpoint::pass("outbox.delivery.before_delete");
        sqlx::query("DELETE FROM outbox WHERE seq <= ?")
            .bind(*last)
            .execute(&self.database.pool)
            .await
            .map_err(StoreError::from)?;
        failpoint::pass("outbox.delivery.after_delete");
        Ok(true)
    }
}

impl Level {
    fn oldest_age_ms(self) -> i64 {
        self.oldest_ms.map_or(0, |at| (clock::now_ms() - at).max(0))
    }
}

#[derive(Debug, thiserror::Error)]
enum DeliveryError {
    #[error("audit did not take the events: {0}")]
    Audit(#[from] tonic::Status),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Delivers the outbox to audit, in order and again until audit has it, until `shutdown`.
pub async fn run_outbox(outbox: Outbox, audit: Client, shutdown: CancellationToken) {
    let mut audit = AuditServiceClient::new(audit);
    let mut pause = RETRY_MIN;
    let mut failing = false;
    let mut counted: Option<std::time::Instant> = None;
    outbox.show_metrics();
    loop {
        // Not after each batch: under load there is one every few milliseconds.
        if counted.is_none_or(|at| at.elapsed() >= COUNT_INTERVAL) {
            counted = outbox.status().await.ok().map(|_| clock::instant());
        }
        let wait = match outbox.deliver(&mut audit).await {
            Ok(delivered) => {
                if failing {
                    tracing::info!(producer = outbox.producer, "audit takes events again");
                }
                (failing, pause) = (false, RETRY_MIN);
                if delivered { Duration::ZERO } else { COUNT_INTERVAL }
            }
            Err(error) => {
                if !failing {
                    tracing::warn!(producer = outbox.producer, %error, "audit events wait in the outbox");
                }
                failing = true;
                pause = (pause * 2).min(RETRY_MAX);
                pause
            }
        };
        // After a failure a new event must not cut the pause short: a down service is not to be hammered.
        let woken = async {
            if failing {
                std::future::pending().await
            } else {
                outbox.wake.notified().await
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
            () = woken => {}
        }
    }
}
