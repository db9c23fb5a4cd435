//! P5: no fill is lost or counted twice. The exchange's own fills are folded here, and the book must say the same.

use std::time::Duration;

use serde_json::json;
use thunes_proto::gateway::v1::{DiscrepancyClass, OrderState, ReconcileVerdict};
use thunes_supervisor::embedded::Service;
use thunes_testkit::{Cluster, Flow, Seed, assert_book_is_the_fold, buy, limit_buy, sell, until_ok};

use crate::THUNES;
use crate::p4_sent_once::until_known;

const LONG: Duration = Duration::from_secs(15);

async fn assert_clean(cluster: &Cluster) {
    assert_book_is_the_fold(cluster, LONG).await;
    let answer = cluster.calls.reconcile(false).await.expect("answered");
    assert_eq!(answer.verdict(), ReconcileVerdict::Clean, "{answer:#?}");
}

fn trades(cluster: &Cluster, prefix: &str) -> Flow {
    let prefix = prefix.to_owned();
    Flow::start(&cluster.calls, 3, move |caller, number| {
        let id = format!("{prefix}-{caller}-{number}");
        if number % 3 == 2 {
            sell(&id, "BTCUSDT", "0.00015")
        } else {
            buy(&id, "BTCUSDT", "12")
        }
    })
}

/// A limit order that rests at the exchange, below the last price of 60000, 3000 or 600.
async fn resting(cluster: &Cluster, id: &str, symbol: &str, quantity: &str, price: &str) {
    let order = cluster.calls.order_now(limit_buy(id, symbol, quantity, price)).await;
    assert_eq!(order.state(), OrderState::New, "{order:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_fills_that_come_while_position_is_down_are_in_the_book_when_it_is_back() {
    let mut seed = Seed::of("p5_fills_that_come_while_position_is_down_are_in_the_book_when_it_is_back");
    let cluster = Cluster::start(THUNES, seed.number).await;
    for round in 0..4 {
        let flow = trades(&cluster, &format!("r{round}"));
        seed.moment(50, 400).await;
        cluster.kill(Service::Position).await;
        let before = cluster.sim.ledger().await.fills.len();
        seed.moment(50, 300).await;
        let sent = flow.stop().await;
        let meanwhile = cluster.sim.ledger().await.fills.len() - before;
        println!(
            "round {round}: {} orders, {meanwhile} fills while position was down",
            sent.len()
        );
        cluster.restart(Service::Position).await;
        assert_book_is_the_fold(&cluster, LONG).await;
        cluster.until_opening().await;
    }
    assert!(cluster.sim.ledger().await.fills.len() > 20, "trades flowed");
    assert_clean(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_a_crash_at_each_step_of_a_fills_way_counts_it_once() {
    let mut seed = Seed::of("p5_a_crash_at_each_step_of_a_fills_way_counts_it_once");
    let cluster = Cluster::start(THUNES, seed.number).await;
    let mut places = [
        (Service::Position, "position.record.before_commit"),
        (Service::Position, "position.record.after_commit"),
        (Service::Position, "position.record.before_answer"),
        (Service::ExchangeGateway, "gateway.delivery.before_mark"),
    ];
    seed.shuffle(&mut places);
    for (service, place) in places {
        cluster.kill(service).await;
        cluster.restart_with(service, &format!("{place}=kill")).await;
        cluster.until_opening().await;
        let id = place.replace('.', "-");
        // The gateway may die before it has answered.
        let _ = cluster.calls.submit(buy(&id, "BTCUSDT", "12")).await;
        cluster.until_killed_by_itself(service).await;
        cluster.restart_with(service, "").await;
        assert_eq!(until_known(&cluster, &id).await.state(), OrderState::Filled, "{place}");
        assert_book_is_the_fold(&cluster, LONG).await;
        // Delivered again, and counted once.
        until_ok("the gateway knows that position has the fill", LONG, async || {
            let status = cluster.calls.gateway_status().await.map_err(|s| s.to_string())?;
            if status.fills_undelivered == 0 {
                Ok(())
            } else {
                Err(format!("{status:?}"))
            }
        })
        .await;
        assert_book_is_the_fold(&cluster, LONG).await;
    }
    assert_clean(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_events_that_come_twice_or_out_of_order_change_nothing() {
    let seed = Seed::of("p5_events_that_come_twice_or_out_of_order_change_nothing");
    let cluster = Cluster::start(THUNES, seed.number).await;
    cluster
        .sim
        .fault(json!({ "kind": "duplicate_stream_event", "count": 0 }))
        .await;
    resting(&cluster, "twice", "BTCUSDT", "0.01", "59000").await;
    cluster.sim.price("BTCUSDT", "58900").await;
    assert_eq!(until_known_filled(&cluster, "twice").await, OrderState::Filled);
    assert!(cluster.sim.hits("duplicate_stream_event").await > 0);
    cluster.sim.clear_faults().await;

    cluster
        .sim
        .fault(json!({ "kind": "reorder_stream_event", "count": 0 }))
        .await;
    resting(&cluster, "out-of-order", "ETHUSDT", "0.1", "2950").await;
    cluster.sim.price("ETHUSDT", "2940").await;
    // Many fills, each an event.
    let order = cluster.calls.order_now(buy("many", "BNBUSDT", "20000")).await;
    assert_eq!(order.state(), OrderState::Filled);
    assert!(order.fills.len() > 1, "several fills: {order:?}");
    // The last event waits for a next one.
    cluster.calls.order_now(buy("next", "BNBUSDT", "12")).await;
    cluster.sim.clear_faults().await;
    cluster.calls.order_now(buy("last", "BNBUSDT", "12")).await;
    assert_eq!(until_known_filled(&cluster, "out-of-order").await, OrderState::Filled);
    assert_clean(&cluster).await;
}

async fn until_known_filled(cluster: &Cluster, id: &str) -> OrderState {
    until_ok(&format!("{id} has filled"), LONG, async || {
        let order = cluster.calls.order(id).await.map_err(|s| s.to_string())?;
        let state = order.state();
        if state == OrderState::New {
            Err("it rests".to_owned())
        } else {
            Ok(state)
        }
    })
    .await
}

// The stream loses the fill of a resting order and then breaks, as streams do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_a_fill_that_a_broken_stream_lost_is_asked_for() {
    let seed = Seed::of("p5_a_fill_that_a_broken_stream_lost_is_asked_for");
    let cluster = Cluster::start(THUNES, seed.number).await;
    resting(&cluster, "lost", "BTCUSDT", "0.01", "59000").await;
    cluster
        .sim
        .fault(json!({ "kind": "drop_stream_event", "count": 0 }))
        .await;
    cluster.sim.price("BTCUSDT", "58900").await;
    assert!(cluster.sim.hits("drop_stream_event").await > 0, "the event was lost");
    cluster.sim.clear_faults().await;
    cluster.sim.fault(json!({ "kind": "disconnect_streams" })).await;
    assert_eq!(until_known_filled(&cluster, "lost").await, OrderState::Filled);
    assert_clean(&cluster).await;
}

// After a reconnect the gateway subscribes and then asks. A fill between the two reaches it both ways; a fill after the
// question was carried out, and before its answer came, makes the answer old news.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_a_fill_between_subscribing_and_the_answer_is_counted_once_and_not_undone() {
    let seed = Seed::of("p5_a_fill_between_subscribing_and_the_answer_is_counted_once_and_not_undone");
    let cluster = Cluster::start(THUNES, seed.number).await;
    for (id, held_up) in [("between", "latency"), ("old-news", "latency_after")] {
        cluster.sim.price("BTCUSDT", "60000").await;
        resting(&cluster, id, "BTCUSDT", "0.01", "59000").await;
        let spec = json!({ "kind": held_up, "path": "/api/v3/order", "method": "GET", "ms": 2000, "count": 0 });
        cluster.sim.fault(spec).await;
        cluster.sim.fault(json!({ "kind": "disconnect_streams" })).await;
        until_ok("the gateway has subscribed and asks", LONG, async || {
            let status = cluster.calls.gateway_status().await.map_err(|s| s.to_string())?;
            if status.stream_connected && cluster.sim.hits(held_up).await > 0 {
                Ok(())
            } else {
                Err(format!("{status:?}"))
            }
        })
        .await;
        cluster.sim.price("BTCUSDT", "58900").await;
        assert_eq!(until_known_filled(&cluster, id).await, OrderState::Filled, "{id}");
        cluster.sim.clear_faults().await;
        // Its turn comes once the question that was held up is answered and the answer taken over.
        let again = cluster.calls.order_now(limit_buy(id, "BTCUSDT", "0.01", "59000")).await;
        assert_eq!((again.state(), again.fills.len()), (OrderState::Filled, 1), "{again:?}");
    }
    assert_clean(&cluster).await;
}

// The stream loses the fill and goes on as if nothing had been: reconciliation finds it, says what it is, and repairs it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_a_fill_that_a_healthy_stream_lost_is_found_and_repaired_by_reconciliation() {
    let seed = Seed::of("p5_a_fill_that_a_healthy_stream_lost_is_found_and_repaired_by_reconciliation");
    let cluster = Cluster::start(THUNES, seed.number).await;
    resting(&cluster, "lost", "BTCUSDT", "0.01", "59000").await;
    cluster
        .sim
        .fault(json!({ "kind": "drop_stream_event", "count": 0 }))
        .await;
    cluster.sim.price("BTCUSDT", "58900").await;
    assert!(cluster.sim.hits("drop_stream_event").await > 0, "the event was lost");
    cluster.sim.clear_faults().await;
    let found = cluster.calls.reconcile(false).await.expect("answered");
    let known_meanwhile = cluster.calls.order("lost").await.expect("known").state() == OrderState::Filled;
    if !known_meanwhile {
        assert_eq!(found.verdict(), ReconcileVerdict::Discrepancies, "{found:#?}");
        let missed = found
            .discrepancies
            .iter()
            .find(|d| d.class() == DiscrepancyClass::MissedFill);
        let missed = missed.unwrap_or_else(|| panic!("P9: it is our own order's fill: {found:#?}"));
        assert!(!missed.cause.is_empty() && !missed.proposed_repair.is_empty() && !missed.exchange_json.is_empty());
        let repaired = cluster.calls.reconcile(true).await.expect("answered");
        assert_eq!(repaired.verdict(), ReconcileVerdict::Clean, "P9: {repaired:#?}");
    }
    assert_clean(&cluster).await;
    let order = cluster.calls.order("lost").await.expect("known");
    assert_eq!(order.state(), OrderState::Filled, "the order has ended, too: {order:?}");
    assert_eq!(order.fills.len(), 1, "{order:?}");
    assert_eq!(cluster.calls.gateway_status().await.expect("answered").orders_live, 0);
}

// A resting order fills while the gateway is down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_a_fill_while_the_gateway_was_down_is_found_by_its_next_start() {
    let mut seed = Seed::of("p5_a_fill_while_the_gateway_was_down_is_found_by_its_next_start");
    let cluster = Cluster::start(THUNES, seed.number).await;
    // The start reads the journal and subscribes to the stream at the same time: whichever is first must not matter.
    for (id, symbol, quantity, limit, price) in [
        ("down-1", "BTCUSDT", "0.01", "59000", "58900"),
        ("down-2", "ETHUSDT", "0.1", "2950", "2940"),
        ("down-3", "BNBUSDT", "1", "590", "589"),
    ] {
        resting(&cluster, id, symbol, quantity, limit).await;
        cluster.kill(Service::ExchangeGateway).await;
        cluster.sim.price(symbol, price).await;
        seed.moment(0, 50).await;
        cluster.restart(Service::ExchangeGateway).await;
        assert_eq!(until_known_filled(&cluster, id).await, OrderState::Filled);
        assert_book_is_the_fold(&cluster, LONG).await;
        cluster.until_opening().await;
    }
    assert_clean(&cluster).await;
}
