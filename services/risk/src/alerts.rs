//! Alerts to people. They never delay the switch: raising one only puts it into a queue.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use thunes_proto::risk::v1::AlertStatus;
use thunes_runtime::clock;
use thunes_store::{OutboxEvent, begin_write, failpoint};
use thunes_telegram::{SendOutcome, TelegramClient};
use thunes_types::TEXT_ALERT_LATE;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::error::RiskError;
use crate::store::{self, AlertRow};

/// Alerts that wait in memory; more than that stay on disk until the next start.
const QUEUE_MAX: usize = 1000;
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Somebody who reads an older alert must not take it for what happens now.
const LATE_AFTER_MS: i64 = 5000;

/// Where alerts are raised, and what became of them.
#[derive(Debug)]
pub(crate) struct Alerts {
    queue: Option<mpsc::Sender<AlertRow>>,
    status: Mutex<AlertStatus>,
}

impl Alerts {
    /// `receiver` is "none" where no bot is configured.
    pub(crate) fn new(
        receiver: &str,
        delivered: i64,
        last: Option<(i64, i64, String)>,
    ) -> (Self, mpsc::Receiver<AlertRow>) {
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        let (last_delay_ms, last_accepted_at_ms, last_text) = last
            .map_or((-1, 0, String::new()), |(raised, accepted, text)| {
                (accepted - raised, accepted, text)
            });
        let status = AlertStatus {
            receiver: receiver.to_owned(),
            delivered,
            last_delay_ms,
            last_text,
            last_accepted_at_ms,
            ..Default::default()
        };
        let queue_in = (receiver != "none").then_some(sender);
        (
            Self {
                queue: queue_in,
                status: Mutex::new(status),
            },
            queue,
        )
    }

    pub(crate) fn enabled(&self) -> bool {
        self.queue.is_some()
    }

    pub(crate) fn status(&self) -> AlertStatus {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, AlertStatus> {
        self.status.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Queues an alert. A full queue is logged: the alert is on disk and goes out after the next start.
    pub(crate) fn raise(&self, alert: AlertRow) {
        let Some(queue) = &self.queue else { return };
        match queue.try_send(alert) {
            Ok(()) => self.lock().pending += 1,
            Err(error) => {
                tracing::error!(%error, "the alert queue is full; the alert waits on disk until the next start")
            }
        }
    }

    fn failed(&self, why: String) {
        let mut status = self.lock();
        status.failed_attempts += 1;
        status.last_error = why;
    }

    fn delivered(&self, alert: &AlertRow, accepted_at_ms: i64) {
        let mut status = self.lock();
        status.pending -= 1;
        status.delivered += 1;
        if alert.kill_switch {
            status.last_delay_ms = accepted_at_ms - alert.raised_at_ms;
            status.last_text = alert.text.clone();
            status.last_accepted_at_ms = accepted_at_ms;
        }
    }
}

/// Sends alerts one after the other, each until the Bot API accepts it.
pub(crate) async fn run_alerts(
    engine: Arc<Engine>,
    client: TelegramClient,
    mut queue: mpsc::Receiver<AlertRow>,
    shutdown: CancellationToken,
) {
    let mut sent = HashSet::new();
    loop {
        let alert = tokio::select! {
            () = shutdown.cancelled() => return,
            alert = queue.recv() => match alert { Some(alert) => alert, None => return },
        };
        // An alert can be in the queue and on disk at a start.
        if !sent.insert(alert.alert_id.clone()) {
            engine.alerts.lock().pending -= 1;
            continue;
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = deliver(&engine, &client, &alert) => {}
        }
    }
}

/// The alert as it is sent at `now_ms`: one that is late says so, and since when it waits.
fn text_at(alert: &AlertRow, now_ms: i64) -> String {
    let waited_ms = now_ms - alert.raised_at_ms;
    if waited_ms < LATE_AFTER_MS {
        return alert.text.clone();
    }
    format!(
        "{}\n{TEXT_ALERT_LATE} it was raised {} s ago, at {}.",
        alert.text,
        waited_ms / 1000,
        clock::iso_utc(alert.raised_at_ms)
    )
}

async fn deliver(engine: &Arc<Engine>, client: &TelegramClient, alert: &AlertRow) {
    let mut pause = RETRY_MIN;
    loop {
        let text = text_at(alert, clock::now_ms());
        let (why, wait) = match client.send_message(&engine.config.telegram.chat_id, &text).await {
            SendOutcome::Accepted { .. } => break,
            SendOutcome::RetryAfter { ms } => (
                "the Bot API asks to wait".to_owned(),
                Duration::from_millis(u64::try_from(ms).unwrap_or(0)),
            ),
            // Repeating changes nothing until a person mends the settings; meanwhile the alerts behind it get their turn.
            SendOutcome::Refused { description } => {
                let why = format!("the Bot API refused: {description}; the alert waits on disk until the next start");
                tracing::error!(alert_id = %alert.alert_id, why, "alert not delivered");
                engine.alerts.failed(why);
                engine.changed();
                return;
            }
            SendOutcome::Unreachable { why } => (format!("the Bot API is unreachable: {why}"), pause),
        };
        tracing::warn!(why, "alert not delivered yet");
        engine.alerts.failed(why);
        engine.changed();
        pause = (pause * 2).min(RETRY_MAX);
        tokio::time::sleep(wait).await;
    }
    let accepted_at_ms = clock::now_ms();
    engine.alerts.delivered(alert, accepted_at_ms);
    engine.changed();
    if let Err(error) = record_delivery(engine, alert, accepted_at_ms).await {
        tracing::warn!(%error, "a delivered alert could not be marked; it may be sent again after a restart");
    }
}

async fn record_delivery(engine: &Engine, alert: &AlertRow, accepted_at_ms: i64) -> Result<(), RiskError> {
    let mut tx = begin_write(&engine.database.pool).await?;
    store::mark_alert_accepted(&mut tx, alert, accepted_at_ms).await?;
    let payload = serde_json::json!({
        "alert_id": alert.alert_id,
        "receiver": engine.config.telegram.receiver,
        "delay_ms": accepted_at_ms - alert.raised_at_ms,
        "text": alert.text,
    });
    engine
        .outbox
        .add(&mut tx, &OutboxEvent::now("ALERT_DELIVERED", "", "risk", payload))
        .await?;
    failpoint::pass("risk.alert.before_commit");
    tx.commit().await?;
    failpoint::pass("risk.alert.after_commit");
    engine.outbox.wake();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_that_waited_says_since_when_and_one_that_did_not_is_as_it_was() {
        let alert = AlertRow {
            alert_id: "a".into(),
            text: "the switch".into(),
            raised_at_ms: 1_764_000_694_120,
            kill_switch: true,
        };
        assert_eq!(text_at(&alert, alert.raised_at_ms + LATE_AFTER_MS - 1), "the switch");
        assert_eq!(
            text_at(&alert, alert.raised_at_ms + 61_900),
            "the switch\n⏰ This alert is late: it was raised 61 s ago, at 2025-11-24T16:11:34.120Z."
        );
    }
}
