use std::time::Duration;

use thunes_proto::position::v1::*;
use thunes_proto::types::v1::{Fill, Side};
use thunes_rpc::reason_of;
use thunes_runtime::clock;
use thunes_types::ReasonCode;
use tokio::time::timeout;
use tonic::Streaming;

use crate::running::*;

/// No test waits longer for a message.
const PATIENCE: Duration = Duration::from_secs(20);

async fn watch(service: &mut Running) -> Streaming<WatchPositionsResponse> {
    service
        .client
        .watch_positions(WatchPositionsRequest {})
        .await
        .expect("watches")
        .into_inner()
}

async fn message(stream: &mut Streaming<WatchPositionsResponse>) -> WatchPositionsResponse {
    timeout(PATIENCE, stream.message())
        .await
        .expect("in time")
        .expect("no error")
        .expect("not ended")
}

/// Reads on until a message says what is waited for; revisions must never go back.
async fn until(
    stream: &mut Streaming<WatchPositionsResponse>,
    holds: impl Fn(&WatchPositionsResponse) -> bool,
) -> WatchPositionsResponse {
    let mut revision = 0;
    loop {
        let next = message(stream).await;
        assert!(next.revision >= revision, "{revision} came before {}", next.revision);
        assert_eq!(next.heartbeat, next.daily_pnl.is_none());
        revision = next.revision;
        if holds(&next) {
            return next;
        }
    }
}

fn today_fill(trade_id: i64, side: Side, quantity: &str, price: &str, quote: &str) -> Fill {
    Fill {
        executed_at_ms: clock::now_ms(),
        ..fill(trade_id, side, quantity, price, quote)
    }
}

#[tokio::test]
async fn a_watcher_sees_the_book_then_every_state_in_order_then_heartbeats() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut service = Running::start(dir.path()).await;
    service
        .record(&[fill(1, Side::Buy, "1", "100", "100")])
        .await
        .expect("recorded");
    let mut stream = watch(&mut service).await;
    let snapshot = message(&mut stream).await;
    assert_eq!(
        (snapshot.revision, snapshot.heartbeat, snapshot.positions.len()),
        (1, false, 1)
    );
    assert!(snapshot.daily_pnl.is_some());
    for trade_id in 2..=40 {
        service
            .record(&[fill(trade_id, Side::Buy, "1", "100", "100")])
            .await
            .expect("recorded");
    }
    let last = until(&mut stream, |message| message.revision == 40 && !message.heartbeat).await;
    assert_eq!(last.positions[0].quantity, "40");
    let beat = until(&mut stream, |message| message.heartbeat).await;
    assert_eq!((beat.revision, beat.positions.len()), (40, 0));
    service.stop().await;
}

#[tokio::test]
async fn a_price_moves_unrealised_pnl_for_long_and_short_and_reaches_watchers() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut service = Running::start(dir.path()).await;
    let mut short = today_fill(1, Side::Sell, "2", "50", "100");
    (short.symbol, short.base_asset) = ("ETHUSDT".into(), "ETH".into());
    service
        .record(&[today_fill(1, Side::Buy, "2", "100", "200"), short])
        .await
        .expect("recorded");
    let mut stream = watch(&mut service).await;
    let now_ms = clock::now_ms();
    service.price("BTCUSDT", "90.5", now_ms).await.expect("taken");
    service.price("ETHUSDT", "40", now_ms).await.expect("taken");
    service
        .price("BTCUSDT", "1", now_ms - 1)
        .await
        .expect("an older price is not an error");
    let seen = until(&mut stream, |message| {
        message.positions.len() == 2
            && message
                .positions
                .iter()
                .all(|position| !position.unrealized_pnl.is_empty())
    })
    .await;
    let shown: Vec<_> = seen
        .positions
        .iter()
        .map(|p| [&p.unrealized_pnl, &p.notional, &p.last_price].map(String::as_str))
        .collect();
    assert_eq!(shown, [["-19", "181", "90.5"], ["20", "80", "40"]]);
    let daily = seen.daily_pnl.expect("present");
    assert_eq!(
        (daily.realized.as_str(), daily.unrealized.as_str(), daily.total.as_str()),
        ("0", "1", "1")
    );
    assert_eq!(service.daily("").await, daily);
    assert_eq!(seen.revision, 1, "a price is no change of the book");
    service.stop().await;
}

#[tokio::test]
async fn prices_reach_a_watcher_at_most_about_four_times_a_second_and_the_last_one_wins() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut service = Running::start(dir.path()).await;
    service
        .record(&[today_fill(1, Side::Buy, "1", "100", "100")])
        .await
        .expect("recorded");
    let mut stream = watch(&mut service).await;
    message(&mut stream).await;
    let start = clock::instant();
    for step in 1..=200 {
        service
            .price("BTCUSDT", &step.to_string(), clock::now_ms())
            .await
            .expect("taken");
    }
    let mut messages = 0;
    loop {
        let next = message(&mut stream).await;
        messages += i64::from(!next.heartbeat);
        if next
            .positions
            .first()
            .is_some_and(|position| position.last_price == "200")
        {
            break;
        }
    }
    let allowed = clock::elapsed_ms(start) / 250 + 2;
    assert!(messages <= allowed, "{messages} messages, {allowed} allowed");
    service.stop().await;
}

#[tokio::test]
async fn a_watcher_who_does_not_read_holds_nobody_up_and_then_gets_the_latest_state() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut service = Running::start(dir.path()).await;
    // A wide book, so that what is not read fills every buffer on the way.
    for batch in 0..4 {
        let fills: Vec<_> = (0..250)
            .map(|n| Fill {
                symbol: format!("S{}USDT", batch * 250 + n),
                ..fill(1, Side::Buy, "1", "1", "1")
            })
            .collect();
        service.record(&fills).await.expect("recorded");
    }
    let mut stream = watch(&mut service).await;
    for trade_id in 2..=60 {
        let recording = [fill(trade_id, Side::Buy, "1", "1", "1")];
        timeout(PATIENCE, service.record(&recording))
            .await
            .expect("nobody waits")
            .expect("recorded");
    }
    let messages = std::cell::Cell::new(0);
    let last = until(&mut stream, |message| {
        messages.set(messages.get() + 1);
        message.revision == 63 && !message.heartbeat
    })
    .await;
    assert_eq!(last.positions.len(), 1001);
    assert!(
        messages.get() < 50,
        "states in between are skipped, but {} arrived",
        messages.get()
    );
    service.stop().await;
}

#[tokio::test]
async fn a_watcher_is_told_of_the_shutdown() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut service = Running::start(dir.path()).await;
    let mut stream = watch(&mut service).await;
    message(&mut stream).await;
    let stopping = tokio::spawn(service.stop());
    let error = loop {
        match timeout(PATIENCE, stream.message()).await.expect("in time") {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended without a word"),
            Err(error) => break error,
        }
    };
    assert_eq!(reason_of(&error), Some(ReasonCode::ShuttingDown), "{error:?}");
    drop(stream);
    stopping.await.expect("an orderly end");
}
