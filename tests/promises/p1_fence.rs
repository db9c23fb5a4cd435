//! P1: once the activation has answered, the exchange accepts no opening order.

use std::time::Duration;

use serde_json::json;
use thunes_proto::gateway::v1::{OrderState, SubmitOrderResponse};
use thunes_proto::risk::v1::{ActivateKillSwitchResponse, FenceOutcome};
use thunes_runtime::clock;
use thunes_supervisor::embedded::Service;
use thunes_supervisor::{ProcessState, process_state};
use thunes_testkit::{Cluster, Flow, Refused, Seed, buy, until};
use tokio::task::JoinHandle;
use tonic::Status;

use crate::THUNES;

/// A lease, the receive window and the clock's uncertainty, as they are by default; and what a busy machine adds.
const FENCE_MAX_MS: i64 = 3500;
const SLACK_MS: i64 = 1500;

/// Activates and gives the answer with the moment at which it was in the caller's hands.
pub(crate) async fn activate(cluster: &Cluster, request_id: &str) -> (ActivateKillSwitchResponse, i64) {
    let asked = clock::instant();
    let answer = cluster
        .calls
        .activate("a test closes the fence", request_id)
        .await
        .expect("an activation answers");
    let answered_at_ms = clock::now_ms();
    println!("answered after {} ms: {answer:?}", clock::elapsed_ms(asked));
    assert!(answer.active);
    assert!(
        clock::elapsed_ms(asked) <= FENCE_MAX_MS + SLACK_MS,
        "the fence closes in bounded time: {answer:?}"
    );
    (answer, answered_at_ms)
}

/// The exchange's own ledger decides.
pub(crate) async fn assert_nothing_opened_after(cluster: &Cluster, answered_at_ms: i64) {
    let ledger = cluster.sim.ledger().await;
    let late: Vec<_> = ledger
        .buys()
        .filter(|order| order.accepted_at_ms > answered_at_ms)
        .collect();
    assert!(
        late.is_empty(),
        "P1: accepted after the activation had answered at {answered_at_ms}: {late:#?}"
    );
    assert!(
        ledger.buys().count() > 0,
        "a fence is judged by orders that passed before it"
    );
}

fn buys(cluster: &Cluster, callers: usize, prefix: &str) -> Flow {
    let prefix = prefix.to_owned();
    Flow::start(&cluster.calls, callers, move |caller, number| {
        buy(&format!("{prefix}-{caller}-{number}"), "BTCUSDT", "12")
    })
}

async fn until_buys(cluster: &Cluster, count: usize) {
    until("orders flow", Duration::from_secs(10), async || {
        cluster.sim.ledger().await.buys().count() >= count
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_paused_gateway_opens_nothing_after_the_answer() {
    let mut seed = Seed::of("p1_a_paused_gateway_opens_nothing_after_the_answer");
    let cluster = Cluster::start(THUNES, seed.number).await;
    // The way to the exchange is long: requests are on it when the gateway stops, and are accepted after that.
    cluster
        .sim
        .fault(json!({ "kind": "latency", "count": 0, "ms": 1200 }))
        .await;
    let flow = buys(&cluster, 6, "p");
    until_buys(&cluster, 6).await;
    seed.moment(0, 300).await;
    cluster.target(Service::ExchangeGateway).pause().await.expect("paused");
    seed.moment(0, 200).await;
    let (answer, answered_at_ms) = activate(&cluster, "").await;
    assert_eq!(answer.gateways.len(), 1, "{answer:?}");
    assert_eq!(
        answer.gateways[0].outcome(),
        FenceOutcome::LeaseExpired,
        "a gateway that is stopped confirms nothing"
    );
    assert!(answer.durable, "risk's own disk works");
    cluster
        .target(Service::ExchangeGateway)
        .resume()
        .await
        .expect("resumed");
    until("the gateway knows of the switch", Duration::from_secs(10), async || {
        let status = cluster.calls.gateway_status().await;
        status.is_ok_and(|s| s.opening_refused_reason_code == "KILL_SWITCH_ACTIVE" && s.epoch == answer.epoch)
    })
    .await;
    // What was frozen on its way has been let go by now, and more was tried.
    let denied = cluster.calls.order_now(buy("after", "BTCUSDT", "12")).await;
    assert_eq!(
        (denied.state(), denied.reason_code.as_str()),
        (OrderState::Denied, "KILL_SWITCH_ACTIVE")
    );
    let sent = flow.stop().await;
    println!("{} orders were sent", sent.len());
    assert_nothing_opened_after(&cluster, answered_at_ms).await;
}

/// A gateway that has checked its lease, signed an order and stopped itself before it writes to the socket.
async fn frozen_before_its_socket(seed: u64) -> (Cluster, JoinHandle<Result<SubmitOrderResponse, Status>>) {
    let cluster = Cluster::start_with(THUNES, seed, |plan| {
        plan.failpoints(Service::ExchangeGateway, "gateway.submit.before_send=stop@3")
    })
    .await;
    for id in ["first", "second"] {
        let order = cluster.calls.order_now(buy(id, "BTCUSDT", "12")).await;
        assert_eq!(order.state(), OrderState::Filled, "{order:?}");
    }
    let calls = cluster.calls.clone();
    let frozen = tokio::spawn(async move { calls.submit(buy("frozen", "BTCUSDT", "12")).await });
    let pid = cluster.target(Service::ExchangeGateway).pid().expect("it runs");
    until("the gateway has stopped itself", Duration::from_secs(10), async || {
        process_state(pid) == ProcessState::Stopped
    })
    .await;
    (cluster, frozen)
}

// The classic schedule: the lease was checked, the request is signed, the process freezes, the fence closes, the process
// wakes up and writes to the socket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_an_order_frozen_between_its_check_and_its_socket_dies_at_the_exchange() {
    let seed = Seed::of("p1_an_order_frozen_between_its_check_and_its_socket_dies_at_the_exchange");
    for attempt in 1.. {
        let (cluster, frozen) = frozen_before_its_socket(seed.number).await;
        let (answer, answered_at_ms) = activate(&cluster, "").await;
        assert_eq!(answer.gateways[0].outcome(), FenceOutcome::LeaseExpired, "{answer:?}");
        // A process that stops itself runs on for a moment on another core: then this was not the schedule.
        let slipped_out = cluster.sim.ledger().await.order("frozen").is_some();
        let gateway = cluster.target(Service::ExchangeGateway);
        gateway.resume().await.expect("resumed");
        let answer = frozen.await.expect("no panic").expect("it answers when it is awake");
        assert_nothing_opened_after(&cluster, answered_at_ms).await;
        if slipped_out && attempt < 4 {
            println!("attempt {attempt}: the order had left before the gateway stood still");
            continue;
        }
        let ledger = cluster.sim.ledger().await;
        assert!(
            ledger.order("frozen").is_none(),
            "the gateway cannot be stopped in time"
        );
        let of_frozen = |r: &&Refused| r.client_order_id.as_deref() == Some("frozen");
        let refused = ledger
            .refused
            .iter()
            .find(of_frozen)
            .expect("the order did leave, and was refused");
        assert_eq!(
            (refused.stage.as_str(), refused.code),
            ("arrival", -1021),
            "{refused:?}"
        );
        assert_eq!(answer.order.expect("an order").state(), OrderState::Rejected);
        return;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_an_order_that_the_exchange_sits_on_is_waited_for_or_refused() {
    let mut seed = Seed::of("p1_an_order_that_the_exchange_sits_on_is_waited_for_or_refused");
    let cluster = Cluster::start(THUNES, seed.number).await;
    let before = cluster.calls.order_now(buy("before", "BTCUSDT", "12")).await;
    assert_eq!(before.state(), OrderState::Filled);
    // Within the receive window, about its end, and beyond it.
    for (round, base_ms) in [1500u64, 1900, 2400].into_iter().enumerate() {
        let ms = base_ms + seed.between(0, 100);
        let fault = json!({ "kind": "latency", "count": 1, "ms": ms });
        cluster.sim.fault(fault).await;
        let hits = cluster.sim.hits("latency").await;
        let (calls, id) = (cluster.calls.clone(), format!("slow-{round}"));
        let order = tokio::spawn(async move { calls.order_now(buy(&id, "BTCUSDT", "12")).await });
        until("the exchange has the order", Duration::from_secs(5), async || {
            cluster.sim.hits("latency").await > hits
        })
        .await;
        seed.moment(0, 300).await;
        let (answer, answered_at_ms) = activate(&cluster, "").await;
        let order = order.await.expect("no panic");
        println!("latency {ms} ms: {:?} {}", order.state(), order.reason);
        assert_nothing_opened_after(&cluster, answered_at_ms).await;
        let gateway = &answer.gateways[0];
        assert!(
            gateway.waited_us > 500_000,
            "nothing may be called fenced while that order can be accepted: {answer:?}"
        );
        cluster.calls.deactivate("next round", "").await.expect("deactivated");
        cluster.until_opening().await;
    }
}
