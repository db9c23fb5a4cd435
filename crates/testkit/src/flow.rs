use thunes_proto::gateway::v1::{SubmitOrderRequest, SubmitOrderResponse};
use thunes_runtime::clock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::Calls;

/// Orders that never stop coming, from several callers at once.
#[derive(Debug)]
pub struct Flow {
    stop: CancellationToken,
    callers: Vec<JoinHandle<Vec<Sent>>>,
}

/// One submission, and what its caller was told.
#[derive(Debug)]
pub struct Sent {
    pub client_order_id: String,
    pub sent_at_ms: i64,
    pub answered_at_ms: i64,
    pub answer: Result<SubmitOrderResponse, Status>,
}

impl Flow {
    /// Starts `callers`; each sends `order(its number, the order's number)` again and again, the next one as soon as
    /// the one before is answered.
    pub fn start<F>(calls: &Calls, callers: usize, order: F) -> Self
    where
        F: Fn(usize, usize) -> SubmitOrderRequest + Clone + Send + 'static,
    {
        let stop = CancellationToken::new();
        let caller = |caller| {
            let (calls, order, stop) = (calls.clone(), order.clone(), stop.clone());
            tokio::spawn(async move {
                let mut all = Vec::new();
                while !stop.is_cancelled() {
                    let request = order(caller, all.len());
                    let (client_order_id, sent_at_ms) = (request.client_order_id.clone(), clock::now_ms());
                    let answer = calls.submit(request).await;
                    let failed = answer.is_err();
                    let answered_at_ms = clock::now_ms();
                    all.push(Sent {
                        client_order_id,
                        sent_at_ms,
                        answered_at_ms,
                        answer,
                    });
                    if failed {
                        // A service that is down is not to be hammered.
                        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                    }
                }
                all
            })
        };
        let callers = (0..callers).map(caller).collect();
        Self { stop, callers }
    }

    /// Sends no more, waits for what is under way, and gives everything that was sent.
    ///
    /// # Panics
    /// When a caller panicked.
    pub async fn stop(self) -> Vec<Sent> {
        self.stop.cancel();
        let mut all = Vec::new();
        for caller in self.callers {
            all.extend(caller.await.expect("a caller does not panic"));
        }
        all
    }
}
