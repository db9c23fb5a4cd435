use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use thunes_proto::position::v1::WatchPositionsResponse;
use thunes_rpc::refusal;
use thunes_types::ReasonCode;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::domain::View;
use crate::encode;

/// How often a watcher hears that the service is still here.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

struct Watcher {
    views: watch::Receiver<Arc<View>>,
    heartbeat: Interval,
    /// The revision that was sent last; None before the snapshot.
    sent_revision: Option<i64>,
    shutdown: CancellationToken,
    ended: bool,
}

/// The whole book at once, then whenever it changes, with a heartbeat each second. A watcher that is slow to read skips
/// to the latest state; nobody waits for it.
pub(crate) fn watch_positions(
    mut views: watch::Receiver<Arc<View>>,
    shutdown: CancellationToken,
) -> impl Stream<Item = Result<WatchPositionsResponse, Status>> + Send + 'static {
    views.mark_changed();
    let mut heartbeat = interval_at(Instant::now() + HEARTBEAT_INTERVAL, HEARTBEAT_INTERVAL);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watcher = Watcher {
        views,
        heartbeat,
        sent_revision: None,
        shutdown,
        ended: false,
    };
    stream::unfold(watcher, |mut watcher| async move {
        let message = watcher.next().await?;
        Some((message, watcher))
    })
}

impl Watcher {
    async fn next(&mut self) -> Option<Result<WatchPositionsResponse, Status>> {
        if self.ended {
            return None;
        }
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => Some(self.end()),
            changed = self.views.changed() => match changed {
                Ok(()) => Some(Ok(self.latest())),
                // The sender lives as long as the service.
                Err(_) => Some(self.end()),
            },
            _ = self.heartbeat.tick() => Some(Ok(encode::heartbeat(self.sent_revision.unwrap_or_default()))),
        }
    }

    fn latest(&mut self) -> WatchPositionsResponse {
        let view = Arc::clone(&self.views.borrow_and_update());
        self.sent_revision = Some(view.revision);
        encode::watched(&view)
    }

    fn end(&mut self) -> Result<WatchPositionsResponse, Status> {
        self.ended = true;
        Err(refusal(
            Code::Unavailable,
            ReasonCode::ShuttingDown,
            "position is shutting down; watch again",
        ))
    }
}
