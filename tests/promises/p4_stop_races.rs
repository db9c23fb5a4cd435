//! Races of a stop with others: orders of clients, and the end of the halt itself. The judge is the exchange's own ledger.

use std::time::Duration;

use rust_decimal::Decimal;
use serde_json::json;
use thunes_proto::gateway::v1::OrderState;
use thunes_proto::risk::v1::{KillSwitchLevel, StopState};
use thunes_supervisor::embedded::Service;
use thunes_testkit::{
    Cluster, Ledger, Seed, assert_book_is_the_fold, buy, ledger_net, limit_buy, sell, until, until_ok,
};

use crate::THUNES;

const LONG: Duration = Duration::from_secs(20);
const FLATTEN: KillSwitchLevel = KillSwitchLevel::Flatten;

fn net(ledger: &Ledger) -> Decimal {
    ledger_net(ledger).get("BTCUSDT").copied().unwrap_or_default()
}

/// Bought, with an order that rests: a halt cancels that one first, and the exchange is slow to answer.
async fn with_a_slow_cancel(seed: &Seed) -> Cluster {
    let cluster = Cluster::start_with(THUNES, seed.number, |plan| {
        plan.setting(Service::Risk, "risk.stop_wait_ms", "0")
    })
    .await;
    let bought = cluster.calls.order_now(buy("btc", "BTCUSDT", "120")).await;
    assert_eq!(bought.state(), OrderState::Filled, "{bought:?}");
    let rests = cluster
        .calls
        .order_now(limit_buy("rests", "BTCUSDT", "0.001", "59000"))
        .await;
    assert_eq!(rests.state(), OrderState::New, "{rests:?}");
    let slow = json!({ "kind": "latency", "method": "DELETE", "path": "/api/v3/order", "ms": 1000 });
    cluster.sim.fault(slow).await;
    cluster
}

async fn until_canceling(cluster: &Cluster) {
    until("the cancel is on its way", LONG, async || {
        cluster.sim.hits("latency").await >= 1
    })
    .await;
}

// Risk is asked between the planning of a sale and its intent. A client sells the same coins meanwhile; what is held would
// cover both, since somebody else's coins lie on the account.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_a_client_that_sells_while_risk_is_asked_leaves_nothing_to_flatten() {
    let seed = Seed::of("p4_a_client_that_sells_while_risk_is_asked_leaves_nothing_to_flatten");
    let cluster = with_a_slow_cancel(&seed).await;
    cluster.sim.external_trade("BTCUSDT", "BUY", "0.01").await;
    cluster.calls.reconcile(true).await.expect("the trade is adopted");
    let foreign = Decimal::new(999, 5);
    let answer = cluster.calls.halt(None, FLATTEN).await.expect("answered");
    until_canceling(&cluster).await;
    // Both sales wait for a risk that does not answer; the client's began first, and is written first.
    cluster.target(Service::Risk).pause().await.expect("paused");
    let sold = cluster.calls.order_now(sell("by-hand", "BTCUSDT", "0.00198")).await;
    assert_eq!(sold.state(), OrderState::Filled, "{sold:?}");
    let denied = until_ok("the sale of the halt was tried", LONG, async || {
        let orders = cluster.calls.orders().await.map_err(|status| status.to_string())?;
        let first = orders
            .iter()
            .find(|order| order.client_order_id.starts_with("fl") && order.client_order_id.ends_with("-1"));
        first.cloned().ok_or_else(|| format!("{orders:?}"))
    })
    .await;
    cluster.target(Service::Risk).resume().await.expect("resumed");
    assert_eq!(denied.state(), OrderState::Denied, "{denied:?}");
    assert!(denied.reason.contains("planned again"), "{denied:?}");
    let stop = until_ok("the stop gets there", LONG, async || {
        let status = cluster.calls.risk_status().await.map_err(|status| status.to_string())?;
        let halt = status.halts.into_iter().find(|halt| halt.epoch == answer.epoch);
        let stop = halt.and_then(|halt| halt.stop).ok_or("there is no such halt")?;
        let done = stop.state() == StopState::Done;
        if done { Ok(stop) } else { Err(format!("{stop:?}")) }
    })
    .await;
    assert!(stop.sold.is_empty(), "{stop:#?}");
    let ledger = cluster.sim.ledger().await;
    assert!(net(&ledger) >= foreign, "coins of others were sold: {}", net(&ledger));
    assert_book_is_the_fold(&cluster, LONG).await;
}

// The halt is lifted while its first round still cancels: what that round would do next is not wanted any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_a_halt_that_was_lifted_sells_nothing_more() {
    let seed = Seed::of("p4_a_halt_that_was_lifted_sells_nothing_more");
    let cluster = with_a_slow_cancel(&seed).await;
    let before = net(&cluster.sim.ledger().await);
    cluster.calls.halt(None, FLATTEN).await.expect("answered");
    until_canceling(&cluster).await;
    cluster.calls.lift(None).await.expect("lifted");
    until("the journal says that it ended", LONG, async || {
        cluster.trail().of_type("STOP_ENDED").count() >= 1
    })
    .await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(net(&cluster.sim.ledger().await), before, "nothing was sold");
    assert_eq!(
        cluster.trail().of_type("STOP_DONE").count(),
        0,
        "it ended, and was not done"
    );
}
