use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use thunes_proto::gateway::v1::OrderState;
use thunes_proto::types::v1::Side;
use thunes_runtime::clock;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::orders::market;
use crate::environment::Clients;

/// BUY orders that keep coming while the switch flips, since a fence that is only tried afterwards is not tried.
pub(super) struct Storm {
    answers: Arc<Mutex<Vec<Answer>>>,
    accepted: Arc<AtomicUsize>,
    stop: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// What one of them was told.
#[derive(Debug, Clone, serde::Serialize)]
pub(super) struct Answer {
    pub client_order_id: String,
    pub sent_at_ms: i64,
    pub answered_at_ms: i64,
    pub accepted: bool,
    pub said: String,
}

/// More would only fill the report.
const ORDERS_MAX: usize = 200;

impl Storm {
    /// Starts `callers` that each have one order under way at a time.
    pub(super) fn start(clients: &Clients, symbol: &str, callers: usize) -> Self {
        let storm = Self {
            answers: Arc::default(),
            accepted: Arc::default(),
            stop: CancellationToken::new(),
            tasks: Vec::new(),
        };
        let tasks = (0..callers).map(|caller| {
            let (clients, symbol, stop) = (clients.clone(), symbol.to_owned(), storm.stop.clone());
            let (answers, accepted) = (storm.answers.clone(), storm.accepted.clone());
            tokio::spawn(async move {
                for number in 0..ORDERS_MAX / callers.max(1) {
                    if stop.is_cancelled() {
                        return;
                    }
                    let answer = one(&clients, &symbol, caller, number).await;
                    accepted.fetch_add(usize::from(answer.accepted), Ordering::Relaxed);
                    answers.lock().await.push(answer);
                }
            })
        });
        let tasks = tasks.collect();
        Self { tasks, ..storm }
    }

    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    pub(super) async fn sent_after(&self, at_ms: i64) -> usize {
        self.answers
            .lock()
            .await
            .iter()
            .filter(|answer| answer.sent_at_ms > at_ms)
            .count()
    }

    /// Lets what is under way end; returns every answer.
    pub(super) async fn end(self) -> Vec<Answer> {
        self.stop.cancel();
        for task in self.tasks {
            // A caller that panicked has said so on standard error; the others' answers still count.
            let _ = task.await;
        }
        std::mem::take(&mut *self.answers.lock().await)
    }
}

async fn one(clients: &Clients, symbol: &str, caller: usize, number: usize) -> Answer {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let client_order_id = format!("storm-{}", &id[..24]);
    // Each size once, so that no two look like duplicates.
    let amount = format!("{}.{:02}", 10 + caller, number % 100);
    let sent_at_ms = clock::now_ms();
    let result = clients
        .submit(market(&client_order_id, symbol, Side::Buy, &amount))
        .await;
    let (accepted, said) = match result {
        Ok(answer) => {
            let order = answer.order.unwrap_or_default();
            let state = order.state();
            let said = if state == OrderState::Denied {
                order.reason
            } else {
                state.as_str_name().to_owned()
            };
            (answer.accepted, said)
        }
        Err(error) => (false, error.to_string()),
    };
    Answer {
        client_order_id,
        sent_at_ms,
        answered_at_ms: clock::now_ms(),
        accepted,
        said,
    }
}
