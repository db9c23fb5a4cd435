//! P4: one client_order_id makes at most one order, and an order whose fate is unknown is in doubt until the exchange
//! itself has said what became of it.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use thunes_proto::gateway::v1::{Order, OrderState, ReconcileVerdict};
use thunes_supervisor::embedded::{Plan, Service};
use thunes_testkit::{Cluster, Seed, assert_book_is_the_fold, buy, sell, until_ok};
use tonic::Code;

use crate::THUNES;

const LONG: Duration = Duration::from_secs(25);

/// Short windows, so that a test sees doubts end: "the exchange does not know it" counts 10 s after the window.
fn short_windows(plan: Plan) -> Plan {
    plan.setting(Service::Risk, "risk.lease_ms", "600")
        .setting(Service::Risk, "risk.recv_window_ms", "600")
        .setting(Service::ExchangeGateway, "gateway.recv_window_ms", "600")
        .setting(Service::ExchangeGateway, "gateway.closing_recv_window_ms", "1000")
        .setting(Service::ExchangeGateway, "gateway.exchange.order_timeout_ms", "800")
}

/// Waits until the order is known, and gives it.
pub(crate) async fn until_known(cluster: &Cluster, id: &str) -> Order {
    until_ok(&format!("the fate of {id} is known"), LONG, async || {
        let order = cluster.calls.order(id).await.map_err(|s| s.to_string())?;
        match order.state() {
            OrderState::Intent | OrderState::InDoubt | OrderState::Unspecified => Err(format!("{:?}", order.state())),
            OrderState::Denied
            | OrderState::New
            | OrderState::PartiallyFilled
            | OrderState::Filled
            | OrderState::Canceled
            | OrderState::Rejected
            | OrderState::Expired
            | OrderState::NeverArrived => Ok(order),
        }
    })
    .await
}

/// Both sides tell the same of an order.
async fn assert_agrees(cluster: &Cluster, order: &Order) {
    let ledger = cluster.sim.ledger().await;
    match (order.state(), ledger.order(&order.client_order_id)) {
        (OrderState::Filled, Some(at_exchange)) => assert_eq!(at_exchange.status, "FILLED"),
        (OrderState::NeverArrived | OrderState::Denied | OrderState::Rejected, None) => {}
        (state, at_exchange) => panic!("P4: we say {state:?}, the exchange has {at_exchange:?}: {order:?}"),
    }
}

async fn assert_clean(cluster: &Cluster) {
    assert_book_is_the_fold(cluster, LONG).await;
    let answer = cluster.calls.reconcile(false).await.expect("answered");
    assert_eq!(answer.verdict(), ReconcileVerdict::Clean, "{answer:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_ten_callers_and_a_lying_exchange_make_one_order() {
    let mut seed = Seed::of("p4_ten_callers_and_a_lying_exchange_make_one_order");
    let cluster = Cluster::start_with(THUNES, seed.number, short_windows).await;
    // The stream would end each doubt before anybody saw it.
    cluster
        .sim
        .fault(json!({ "kind": "drop_stream_event", "count": 0 }))
        .await;
    let mut faults = [
        (json!({ "kind": "error_503_after" }), true),
        (json!({ "kind": "timeout_after", "ms": 1200 }), true),
        (json!({ "kind": "latency_after", "ms": 1200 }), true),
        (json!({ "kind": "error_503_before" }), false),
        (json!({ "kind": "timeout_before", "ms": 1200 }), false),
    ];
    seed.shuffle(&mut faults);
    for (index, (fault, _)) in faults.iter().enumerate() {
        cluster.sim.fault(fault.clone()).await;
        let id = format!("order-{index}");
        let answers = join_all((0..10).map(|_| cluster.calls.order_now(buy(&id, "BTCUSDT", "12")))).await;
        let kind = fault["kind"].as_str().expect("a kind");
        assert_eq!(cluster.sim.hits(kind).await, 1, "the fault struck once");
        for answer in &answers {
            let honest = matches!(answer.state(), OrderState::InDoubt | OrderState::Filled);
            assert!(honest, "P4: {kind}: nobody may be told more than is known: {answer:?}");
        }
        assert!(
            answers.iter().any(|a| a.state() == OrderState::InDoubt),
            "{kind}: it was in doubt first: {answers:#?}"
        );
        let other = cluster
            .calls
            .submit(buy(&id, "BTCUSDT", "13"))
            .await
            .expect_err("another payload under this id");
        assert_eq!(other.code(), Code::AlreadyExists, "{other:?}");
    }
    for (index, (fault, executed)) in faults.iter().enumerate() {
        let id = format!("order-{index}");
        let order = until_known(&cluster, &id).await;
        let wanted = if *executed {
            OrderState::Filled
        } else {
            OrderState::NeverArrived
        };
        assert_eq!(order.state(), wanted, "{fault}: {order:?}");
        assert!(order.resolved_at_ms > 0, "it was in doubt: {order:?}");
        assert_agrees(&cluster, &order).await;
        let again = cluster.calls.order_now(buy(&id, "BTCUSDT", "12")).await;
        assert_eq!(again.state(), wanted, "asking again sends nothing");
    }
    let ledger = cluster.sim.ledger().await;
    assert_eq!(ledger.orders.len(), 3, "three were executed: {:#?}", ledger.orders);
    ledger.assert_no_order_twice();
    assert_clean(&cluster).await;
}

// An exchange that does not find an order which it has: its word counts only when enough of its own time has passed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_an_early_no_from_the_exchange_is_not_believed() {
    let seed = Seed::of("p4_an_early_no_from_the_exchange_is_not_believed");
    let cluster = Cluster::start_with(THUNES, seed.number, short_windows).await;
    cluster
        .sim
        .fault(json!({ "kind": "drop_stream_event", "count": 0 }))
        .await;
    cluster
        .sim
        .fault(json!({ "kind": "hide_order", "count": 8, "method": "GET" }))
        .await;
    cluster.sim.fault(json!({ "kind": "error_503_after" })).await;
    let order = cluster.calls.order_now(buy("hidden", "BTCUSDT", "12")).await;
    assert_eq!(order.state(), OrderState::InDoubt, "{order:?}");
    let order = until_known(&cluster, "hidden").await;
    assert_eq!(cluster.sim.hits("hide_order").await, 8, "the exchange did deny it");
    assert_eq!(order.state(), OrderState::Filled, "P4: {order:?}");
    assert_agrees(&cluster, &order).await;
    assert_clean(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_a_crash_at_each_step_of_an_order_makes_no_second_order() {
    let mut seed = Seed::of("p4_a_crash_at_each_step_of_an_order_makes_no_second_order");
    let cluster = Cluster::start_with(THUNES, seed.number, short_windows).await;
    let first = cluster.calls.order_now(buy("first", "BTCUSDT", "120")).await;
    assert_eq!(first.state(), OrderState::Filled);
    let mut places = [
        // Nothing is written and nothing sent: the caller who asks again makes the order.
        ("gateway.intent.before_commit", OrderState::Filled),
        ("gateway.intent.after_commit", OrderState::NeverArrived),
        ("gateway.submit.before_send", OrderState::NeverArrived),
        ("gateway.submit.after_send", OrderState::Filled),
        ("gateway.hear.before_commit", OrderState::Filled),
        ("gateway.hear.after_commit", OrderState::Filled),
    ];
    seed.shuffle(&mut places);
    for (place, _) in places {
        cluster.kill(Service::ExchangeGateway).await;
        cluster
            .restart_with(Service::ExchangeGateway, &format!("{place}=kill"))
            .await;
        cluster.until_opening().await;
        let id = place.replace('.', "-");
        let order = if seed.between(0, 2) == 0 {
            buy(&id, "BTCUSDT", "12")
        } else {
            sell(&id, "BTCUSDT", "0.0002")
        };
        let answer = cluster.calls.submit(order.clone()).await;
        cluster.until_killed_by_itself(Service::ExchangeGateway).await;
        assert!(answer.is_err(), "{place}: it died before it could answer: {answer:?}");
        cluster.restart_with(Service::ExchangeGateway, "").await;
        cluster.until_opening().await;
        // The caller, who knows nothing, asks again.
        let again = cluster.calls.order_now(order).await;
        println!("{place}: {:?} {}", again.state(), again.reason);
    }
    for (place, wanted) in places {
        let order = until_known(&cluster, &place.replace('.', "-")).await;
        assert_eq!(order.state(), wanted, "P4: killed at {place}: {order:?}");
        assert_agrees(&cluster, &order).await;
    }
    until_ok("no order is in doubt", LONG, async || {
        let status = cluster.calls.gateway_status().await.map_err(|s| s.to_string())?;
        if status.orders_in_doubt == 0 && status.resolved_since_start {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await;
    cluster.sim.ledger().await.assert_no_order_twice();
    assert_clean(&cluster).await;
}

// SIGKILL at random moments while many callers trade.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_sigkill_at_random_moments_loses_and_doubles_no_order() {
    let mut seed = Seed::of("p4_sigkill_at_random_moments_loses_and_doubles_no_order");
    let cluster = Cluster::start_with(THUNES, seed.number, short_windows).await;
    let mut told = Vec::new();
    for round in 0..3 {
        cluster.until_opening().await;
        let flow = thunes_testkit::Flow::start(&cluster.calls, 4, move |caller, number| {
            buy(&format!("r{round}-{caller}-{number}"), "BTCUSDT", "12")
        });
        seed.moment(100, 500).await;
        cluster.kill(Service::ExchangeGateway).await;
        let sent = flow.stop().await;
        cluster.restart(Service::ExchangeGateway).await;
        told.extend(sent);
    }
    let mut answered = 0;
    for sent in &told {
        let known = match cluster.calls.order(&sent.client_order_id).await {
            Ok(_) => until_known(&cluster, &sent.client_order_id).await,
            Err(status) if status.code() == Code::NotFound => {
                assert!(sent.answer.is_err(), "P4: what was answered is forgotten: {sent:?}");
                assert!(
                    cluster.sim.ledger().await.order(&sent.client_order_id).is_none(),
                    "P4: unknown to us: {sent:?}"
                );
                continue;
            }
            Err(status) => panic!("{status:?}"),
        };
        if let Ok(answer) = &sent.answer {
            answered += 1;
            let told = answer.order.as_ref().expect("an order");
            assert_eq!(told.state(), known.state(), "P4: what was answered still holds");
        }
        assert_agrees(&cluster, &known).await;
    }
    println!("{} orders, {answered} answered", told.len());
    assert!(answered > 0, "orders flowed");
    assert_clean(&cluster).await;
}
