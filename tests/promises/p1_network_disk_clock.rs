//! P1 against what lies between the machines: a network that holds what it carries, a disk that hangs, clocks that differ.

use std::time::Duration;

use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use thunes_proto::gateway::v1::OrderState;
use thunes_proto::risk::v1::FenceOutcome;
use thunes_runtime::clock;
use thunes_supervisor::embedded::{Link, Plan, Service};
use thunes_testkit::{Cluster, Flow, Seed, buy, http_put, until, until_ok};

use crate::THUNES;
use crate::p1_fence::{activate, assert_nothing_opened_after};

const LONG: Duration = Duration::from_secs(20);

async fn black_hole(cluster: &Cluster, link: Link) {
    let proxy = cluster.env.proxy_admin_url().expect("there is a proxy");
    let url = format!("{proxy}/admin/links/{}/fault", link.name());
    http_put(&url, &json!({ "kind": "black_hole" }))
        .await
        .expect("the proxy takes it");
}

async fn heal(cluster: &Cluster) {
    let proxy = cluster.env.proxy_admin_url().expect("there is a proxy");
    thunes_testkit::http_delete(&format!("{proxy}/admin/faults"))
        .await
        .expect("the proxy heals");
}

// The request has left the gateway and lies somewhere on the way, until long after the activation's answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_request_that_the_network_held_until_after_the_answer_is_refused() {
    let seed = Seed::of("p1_a_request_that_the_network_held_until_after_the_answer_is_refused");
    let cluster = Cluster::start_with(THUNES, seed.number, Plan::with_fault_proxy).await;
    let before = cluster.calls.order_now(buy("before", "BTCUSDT", "12")).await;
    assert_eq!(before.state(), OrderState::Filled, "{before:?}");
    black_hole(&cluster, Link::GatewayExchange).await;
    let calls = cluster.calls.clone();
    let held = tokio::spawn(async move { calls.submit(buy("held", "BTCUSDT", "12")).await });
    until("the order is written down and sent", LONG, async || {
        let order = cluster.calls.order("held").await;
        order.is_ok_and(|order| order.state() == OrderState::Intent)
    })
    .await;
    let (answer, answered_at_ms) = activate(&cluster, "").await;
    assert!(
        answer.gateways[0].waited_us > 500_000,
        "nothing may be called fenced while that order can be accepted: {answer:?}"
    );
    heal(&cluster).await;
    let refused = until_ok("the order has arrived", LONG, async || {
        let ledger = cluster.sim.ledger().await;
        let of_held = |refused: &&thunes_testkit::Refused| refused.client_order_id.as_deref() == Some("held");
        let refused = ledger.refused.iter().find(of_held).cloned();
        refused.ok_or_else(|| format!("{:?}; {:?}", ledger.order("held"), ledger.refused))
    })
    .await;
    assert_eq!(refused.code, -1021, "too late: {refused:?}");
    assert_nothing_opened_after(&cluster, answered_at_ms).await;
    println!("{:?}", held.await.expect("no panic"));
}

// Risk cannot reach the gateway, and the gateway goes on as long as its lease lasts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_gateway_that_risk_cannot_reach_opens_nothing_after_the_answer() {
    let mut seed = Seed::of("p1_a_gateway_that_risk_cannot_reach_opens_nothing_after_the_answer");
    let cluster = Cluster::start_with(THUNES, seed.number, Plan::with_fault_proxy).await;
    let flow = Flow::start(&cluster.calls, 4, |caller, number| {
        buy(&format!("f-{caller}-{number}"), "BTCUSDT", "12")
    });
    until("orders flow", LONG, async || {
        cluster.sim.ledger().await.buys().count() > 5
    })
    .await;
    black_hole(&cluster, Link::GatewayRisk).await;
    seed.moment(0, 200).await;
    let (answer, answered_at_ms) = activate(&cluster, "").await;
    assert_eq!(answer.gateways[0].outcome(), FenceOutcome::LeaseExpired, "{answer:?}");
    seed.moment(0, 500).await;
    heal(&cluster).await;
    until("the gateway knows of the switch", LONG, async || {
        let status = cluster.calls.gateway_status().await;
        status.is_ok_and(|status| status.opening_refused_reason_code == "KILL_SWITCH_ACTIVE")
    })
    .await;
    println!("{} orders were sent", flow.stop().await.len());
    assert_nothing_opened_after(&cluster, answered_at_ms).await;
}

/// A disk that takes no writes and does not say so: somebody else holds the database's lock.
async fn hang(cluster: &Cluster, database: &str) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(cluster.data_dir().join(database));
    let mut connection = options.busy_timeout(LONG).connect().await.expect("the database");
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut connection)
        .await
        .expect("its lock");
    connection
}

async fn let_go(mut connection: SqliteConnection) {
    sqlx::query("ROLLBACK")
        .execute(&mut connection)
        .await
        .expect("the lock is given back");
    connection.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_p3_disks_that_hang_do_not_delay_the_fence_and_get_the_activation_later() {
    let seed = Seed::of("p1_p3_disks_that_hang_do_not_delay_the_fence_and_get_the_activation_later");
    for databases in [vec!["risk.db"], vec!["gateway.db"], vec!["risk.db", "gateway.db"]] {
        let cluster = Cluster::start(THUNES, seed.number).await;
        let flow = Flow::start(&cluster.calls, 2, |caller, number| {
            buy(&format!("h-{caller}-{number}"), "BTCUSDT", "12")
        });
        until("orders flow", LONG, async || {
            cluster.sim.ledger().await.buys().count() > 3
        })
        .await;
        let mut locks = Vec::new();
        for database in &databases {
            locks.push(hang(&cluster, database).await);
        }
        let (answer, answered_at_ms) = activate(&cluster, "").await;
        // Honest: written by risk, or known to be written by the gateway when the fence was closed.
        let risk_writes = !databases.contains(&"risk.db");
        let gateway_wrote = answer.gateways.iter().any(|gateway| gateway.persisted);
        assert_eq!(
            answer.durable,
            risk_writes || gateway_wrote,
            "{databases:?}: {answer:?}"
        );
        assert!(databases.len() < 2 || !answer.durable, "no disk had it: {answer:?}");
        for lock in locks {
            let_go(lock).await;
        }
        until("the activation is on risk's disk", LONG, async || {
            let status = cluster.calls.risk_status().await;
            status.is_ok_and(|status| status.kill_switch_active && status.kill_switch_durable)
        })
        .await;
        println!("{databases:?}: {} orders were sent", flow.stop().await.len());
        assert_nothing_opened_after(&cluster, answered_at_ms).await;
        // Nothing of it is forgotten, and the trail tells of it once.
        cluster.kill(Service::Risk).await;
        cluster.restart(Service::Risk).await;
        let status = cluster.calls.risk_status().await.expect("it answers");
        assert!(status.kill_switch_active, "{databases:?}: {status:?}");
        until_ok("the trail tells of the activation", LONG, async || {
            match cluster.trail().of_type("KILL_SWITCH_ACTIVATED").count() {
                1 => Ok(()),
                count => Err(format!("{count} times")),
            }
        })
        .await;
    }
}

/// An order that the exchange has and sits on. The lease is short, so it may be over just then: another one is tried.
async fn on_its_way(cluster: &Cluster, round: usize) -> (String, i64, tokio::task::JoinHandle<()>) {
    for attempt in 0..50 {
        cluster.until_opening().await;
        let hits = cluster.sim.hits("latency").await;
        let id = format!("skewed-{round}-{attempt}");
        let (calls, order) = (cluster.calls.clone(), buy(&id, "BTCUSDT", "12"));
        let sent_at_ms = clock::now_ms();
        let sent = tokio::spawn(async move { println!("{:?}", calls.submit(order).await.map(|a| a.accepted)) });
        until("the exchange has the order, or it is denied", LONG, async || {
            cluster.sim.hits("latency").await > hits || sent.is_finished()
        })
        .await;
        if !sent.is_finished() {
            return (id, sent_at_ms, sent);
        }
    }
    panic!("no order gets through");
}

// The exchange's clock falls back by almost what the gateway allows for, after it was measured: the exchange then accepts
// orders longer than the gateway's own clock says. The lease is so short that nothing else hides it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_clock_that_is_off_by_all_that_is_allowed_is_waited_for() {
    const SKEW_MS: i64 = 480;
    let seed = Seed::of("p1_a_clock_that_is_off_by_all_that_is_allowed_is_waited_for");
    let short = |plan: Plan| plan.setting(Service::Risk, "risk.lease_ms", "400");
    let cluster = Cluster::start_with(THUNES, seed.number, short).await;
    let mut stretched = 0;
    for (round, skew_ms) in [-SKEW_MS, -SKEW_MS, -SKEW_MS, SKEW_MS].into_iter().enumerate() {
        cluster.until_opening().await;
        // Past the receive window by the true clock, within it by the exchange's.
        let latency = json!({ "kind": "latency", "count": 1, "ms": 2430 });
        cluster.sim.fault(latency).await;
        cluster.sim.fault(json!({ "kind": "clock_skew", "ms": skew_ms })).await;
        let (id, sent_at_ms, sent) = on_its_way(&cluster, round).await;
        // Asleep, so that only the clock can tell risk that nothing is on its way any more.
        let gateway = cluster.target(Service::ExchangeGateway);
        let asleep = round != 2;
        if asleep {
            gateway.pause().await.expect("paused");
        }
        let (_, answered_at_ms) = activate(&cluster, "").await;
        // Whatever was on its way has been matched or refused.
        let over_at_ms = sent_at_ms + 3500;
        tokio::time::sleep(Duration::from_millis(
            (over_at_ms - clock::now_ms()).max(0).unsigned_abs(),
        ))
        .await;
        if asleep {
            gateway.resume().await.expect("resumed");
        }
        sent.await.expect("no panic");
        let ledger = cluster.sim.ledger().await;
        let late = ledger.buys().find(|order| order.accepted_at_ms > answered_at_ms);
        assert!(
            late.is_none(),
            "P1: accepted after the answer at {answered_at_ms}: {late:?}"
        );
        if let Some(accepted) = ledger.order(&id) {
            stretched += usize::from(accepted.accepted_at_ms - accepted.signed_timestamp_ms > 2000);
        }
        cluster.sim.clear_faults().await;
        cluster.calls.deactivate("next round", "").await.expect("deactivated");
    }
    assert!(
        stretched > 0,
        "no order was accepted beyond the window of the true clock: this tested nothing"
    );
}
