//! P1 under schedules of people and machines: a caller who repeats himself, a risk that dies in the middle, two gateways.

use std::time::Duration;

use serde_json::json;
use thunes_proto::gateway::v1::OrderState;
use thunes_proto::risk::v1::{ActivateKillSwitchResponse, FenceOutcome};
use thunes_runtime::{Settings, clock};
use thunes_supervisor::Target;
use thunes_supervisor::embedded::Service;
use thunes_testkit::{Calls, Cluster, Seed, buy, limit_buy, until, until_ok};

use crate::THUNES;
use crate::p1_fence::{activate, assert_nothing_opened_after};

/// An order that the exchange has and does not match for a while: the gateway cannot confirm a halt meanwhile.
async fn order_on_the_way(cluster: &Cluster, id: &str, ms: u64) -> tokio::task::JoinHandle<()> {
    let hits = cluster.sim.hits("latency").await;
    cluster
        .sim
        .fault(json!({ "kind": "latency", "count": 1, "ms": ms }))
        .await;
    let (calls, order) = (cluster.calls.clone(), buy(id, "BTCUSDT", "12"));
    let submitted = tokio::spawn(async move { println!("{:?}", calls.submit(order).await) });
    until("the exchange has the order", Duration::from_secs(5), async || {
        cluster.sim.hits("latency").await > hits
    })
    .await;
    submitted
}

// A caller whose first request timed out asks again under the same id. The second answer is worth as much as the first:
// it must not come before the fence is closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_repeated_request_is_not_answered_before_the_fence_is_closed() {
    let seed = Seed::of("p1_a_repeated_request_is_not_answered_before_the_fence_is_closed");
    let cluster = Cluster::start(THUNES, seed.number).await;
    assert_eq!(
        cluster.calls.order_now(buy("before", "BTCUSDT", "12")).await.state(),
        OrderState::Filled
    );
    let order = order_on_the_way(&cluster, "on-the-way", 1800).await;
    let calls = cluster.calls.clone();
    let first = tokio::spawn(async move { calls.activate("a test closes the fence", "once").await });
    until(
        "the activation is in force and written",
        Duration::from_secs(5),
        async || {
            cluster
                .calls
                .risk_status()
                .await
                .is_ok_and(|s| s.kill_switch_active && s.kill_switch_durable)
        },
    )
    .await;
    let (again, answered_at_ms) = activate(&cluster, "once").await;
    order.await.expect("no panic");
    let first = first.await.expect("no panic").expect("answered");
    assert_nothing_opened_after(&cluster, answered_at_ms).await;
    let told = |answer: &ActivateKillSwitchResponse| {
        let gateways: Vec<_> = answer.gateways.iter().map(|g| (g.id.clone(), g.outcome)).collect();
        (answer.epoch, answer.changed, answer.reason.clone(), gateways)
    };
    assert_eq!(told(&first), told(&again), "the same id gives the same answer");
}

// What is named as resting can still fill; what has filled cannot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_the_answer_names_the_opening_orders_that_rest_and_no_others() {
    let seed = Seed::of("p1_the_answer_names_the_opening_orders_that_rest_and_no_others");
    let cluster = Cluster::start(THUNES, seed.number).await;
    let rests = cluster
        .calls
        .order_now(limit_buy("rests", "BTCUSDT", "0.001", "59000"))
        .await;
    assert_eq!(rests.state(), OrderState::New, "{rests:?}");
    // Its fill cannot be delivered, so that the gateway still keeps it among the orders that risk must know of.
    cluster.kill(Service::Position).await;
    assert_eq!(
        cluster.calls.order_now(buy("filled", "BTCUSDT", "12")).await.state(),
        OrderState::Filled
    );
    let (answer, _) = activate(&cluster, "").await;
    let named: Vec<_> = answer
        .resting_orders
        .iter()
        .map(|order| order.client_order_id.as_str())
        .collect();
    assert_eq!(named, ["rests"], "{answer:#?}");
    assert_eq!(answer.resting_orders[0].remaining_quantity, "0.001");
}

// Risk dies between its commit and its answer; the caller asks the restarted risk again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_risk_that_restarts_in_the_middle_waits_for_leases_that_it_does_not_know() {
    let mut seed = Seed::of("p1_a_risk_that_restarts_in_the_middle_waits_for_leases_that_it_does_not_know");
    for request_id in ["", "once"] {
        let cluster = Cluster::start(THUNES, seed.number).await;
        assert_eq!(
            cluster.calls.order_now(buy("before", "BTCUSDT", "12")).await.state(),
            OrderState::Filled
        );
        cluster.kill(Service::Risk).await;
        cluster
            .restart_with(Service::Risk, "risk.activate.after_commit=kill")
            .await;
        cluster.until_opening().await;
        let order = order_on_the_way(&cluster, "on-the-way", 1700).await;
        // Asleep, so that nobody but the clock can tell risk that this gateway is fenced.
        cluster.target(Service::ExchangeGateway).pause().await.expect("paused");
        let first = cluster.calls.activate("a test closes the fence", request_id).await;
        assert!(first.is_err(), "risk died before its answer: {first:?}");
        cluster.until_killed_by_itself(Service::Risk).await;
        seed.moment(0, 100).await;
        cluster.restart_with(Service::Risk, "").await;
        let (answer, answered_at_ms) = activate(&cluster, request_id).await;
        cluster
            .target(Service::ExchangeGateway)
            .resume()
            .await
            .expect("resumed");
        order.await.expect("no panic");
        assert_nothing_opened_after(&cluster, answered_at_ms).await;
        assert_eq!(answer.gateways.len(), 1, "the answer names the gateway: {answer:?}");
        assert_eq!(answer.gateways[0].outcome(), FenceOutcome::LeaseExpired, "{answer:?}");
    }
}

/// Another gateway on the same account, with a journal of its own.
fn second_gateway(cluster: &Cluster, listen: &str) -> Target {
    let mut spec = cluster.target(Service::ExchangeGateway).spec();
    let folder = cluster.scratch("second");
    spec.name = "second-gateway".to_owned();
    spec.log_file = folder.join("second.log");
    spec.pid_file = folder.join("second.pid");
    for (key, value) in [
        ("gateway.id", "gateway-2"),
        ("gateway.listen", listen),
        ("gateway.data_dir", folder.to_str().expect("a path of text")),
    ] {
        spec.set_env(Settings::env_name(key), value);
    }
    Target::new(spec)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_second_gateway_opens_nothing_while_orders_of_the_first_can_be_accepted() {
    let seed = Seed::of("p1_a_second_gateway_opens_nothing_while_orders_of_the_first_can_be_accepted");
    let cluster = Cluster::start(THUNES, seed.number).await;
    assert_eq!(
        cluster.calls.order_now(buy("first-1", "BTCUSDT", "12")).await.state(),
        OrderState::Filled
    );
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a free port")
        .local_addr()
        .expect("address");
    let second = second_gateway(&cluster, &free.to_string());
    second.start().await.expect("started");
    let url = |service| cluster.env.url(service);
    let calls = Calls::new(
        &url(Service::Risk),
        &url(Service::Position),
        &url(Service::Audit),
        &format!("http://{free}"),
    );
    until_ok(
        "the second gateway is told whose account it is",
        Duration::from_secs(15),
        async || {
            let status = calls.gateway_status().await.map_err(|s| s.to_string())?;
            let told = status.opening_refused_reason_code == "ACCOUNT_HELD_BY_ANOTHER_GATEWAY";
            if told { Ok(()) } else { Err(format!("{status:?}")) }
        },
    )
    .await;
    let denied = calls.order_now(buy("second-1", "BTCUSDT", "12")).await;
    assert_eq!(
        (denied.state(), denied.reason_code.as_str()),
        (OrderState::Denied, "ACCOUNT_HELD_BY_ANOTHER_GATEWAY")
    );

    let died_at_ms = clock::now_ms();
    cluster.kill(Service::ExchangeGateway).await;
    until("the second gateway takes over", Duration::from_secs(15), async || {
        calls.gateway_status().await.is_ok_and(|s| s.opening_allowed)
    })
    .await;
    // Its lease began at most 300 ms before it died, and lasts a second; then the window and the uncertainty.
    assert!(
        clock::now_ms() - died_at_ms > 3000,
        "it took over before the first one's orders were dead"
    );
    assert_eq!(
        calls.order_now(buy("second-2", "BTCUSDT", "12")).await.state(),
        OrderState::Filled
    );
    let (answer, answered_at_ms) = activate(&cluster, "").await;
    let fenced: Vec<_> = answer.gateways.iter().map(|g| (g.id.as_str(), g.outcome())).collect();
    assert_eq!(fenced, [("gateway-2", FenceOutcome::Confirmed)]);
    assert_eq!(
        calls.order_now(buy("second-3", "BTCUSDT", "12")).await.reason_code,
        "KILL_SWITCH_ACTIVE"
    );
    assert_nothing_opened_after(&cluster, answered_at_ms).await;
    second.kill().await.expect("killed");
}
