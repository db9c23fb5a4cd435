//! Background loops: the book, and writing what could not be written.

use std::sync::Arc;
use std::time::Duration;

use thunes_proto::position::v1::position_service_client::PositionServiceClient;
use thunes_proto::position::v1::{WatchPositionsRequest, WatchPositionsResponse};
use thunes_rpc::Client;
use thunes_runtime::clock;
use thunes_types::{Decimal, parse_decimal};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::engine::Engine;

const RECONNECT_PAUSE: Duration = Duration::from_millis(200);
/// Position sends a heartbeat each second; silence for this long means that the stream is dead.
const SILENCE_MAX: Duration = Duration::from_secs(3);
const SAVE_PAUSE: Duration = Duration::from_secs(1);

/// Follows the book until `shutdown`, connecting again after every loss.
pub(crate) async fn follow_positions(engine: Arc<Engine>, position: Client, shutdown: CancellationToken) {
    let mut client = PositionServiceClient::new(position);
    let mut lost = false;
    while !shutdown.is_cancelled() {
        let result = tokio::select! {
            () = shutdown.cancelled() => return,
            result = follow_once(&engine, &mut client) => result,
        };
        if let Err(status) = result
            && !lost
        {
            tracing::warn!(
                message = status.message(),
                "position cannot be followed; opening is denied once the book is stale"
            );
            lost = true;
        } else {
            lost = false;
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(RECONNECT_PAUSE) => {}
        }
    }
}

async fn follow_once(engine: &Arc<Engine>, client: &mut PositionServiceClient<Client>) -> Result<(), Status> {
    let open = client.watch_positions(WatchPositionsRequest {});
    let mut stream = tokio::time::timeout(SILENCE_MAX, open)
        .await
        .map_err(|_| Status::deadline_exceeded("position did not open the stream"))??
        .into_inner();
    loop {
        let message = tokio::time::timeout(SILENCE_MAX, stream.message())
            .await
            .map_err(|_| Status::deadline_exceeded("position is silent"))??;
        let Some(message) = message else { return Ok(()) };
        take_over(engine, &message).map_err(|e| Status::internal(format!("the book cannot be read: {e}")))?;
    }
}

fn take_over(engine: &Arc<Engine>, message: &WatchPositionsResponse) -> Result<(), thunes_types::FieldError> {
    // All of it is read before any of it counts: half a book is no book.
    let total = message
        .daily_pnl
        .as_ref()
        .map(|pnl| parse_decimal("daily_pnl.total", &pnl.total))
        .transpose()?;
    let mut open = std::collections::BTreeMap::new();
    for position in &message.positions {
        if parse_decimal("quantity", &position.quantity)?.is_zero() {
            continue;
        }
        let unknown = position.notional.is_empty();
        let notional = if unknown {
            Decimal::ZERO
        } else {
            parse_decimal("notional", &position.notional)?.abs()
        };
        open.insert(position.symbol.clone(), notional);
    }
    let day = message.daily_pnl.as_ref().map_or("", |pnl| pnl.day.as_str());
    {
        let mut state = engine.state();
        if let Some(total) = total {
            state.book.daily_pnl = Some(total);
            state.triggers.hear_pnl(day, total);
        }
        if !message.heartbeat {
            state.book.open = open;
        }
        state.book.heard_at_boot_ms = Some(clock::boot_ms());
        state.book.revision = message.revision;
        state.reservations.book_arrived(message.revision);
    }
    engine.pull_triggers();
    engine.changed();
    Ok(())
}

/// Writes an activation that the disk did not take, until it does.
pub(crate) async fn save_until_saved(engine: Arc<Engine>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = engine.unsaved.notified() => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(SAVE_PAUSE) => {}
        }
        engine.save_unsaved().await;
    }
}
