//! P1 and P3 for halts of one symbol or one strategy: they stop their scope, all of it, and nothing else.

use std::time::Duration;

use serde_json::json;
use thunes_proto::gateway::v1::{OrderState, SubmitOrderRequest};
use thunes_proto::risk::v1::{FenceOutcome, KillSwitchLevel};
use thunes_runtime::clock;
use thunes_supervisor::embedded::Service;
use thunes_testkit::{Cluster, Flow, Seed, buy, of_strategy, of_symbol, until, until_ok};

use crate::THUNES;

const LONG: Duration = Duration::from_secs(15);
const HALT: KillSwitchLevel = KillSwitchLevel::HaltNew;

fn of(strategy_id: &str, order: SubmitOrderRequest) -> SubmitOrderRequest {
    SubmitOrderRequest {
        strategy_id: strategy_id.to_owned(),
        ..order
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_halt_of_one_scope_denies_its_orders_and_no_others() {
    let seed = Seed::of("p1_a_halt_of_one_scope_denies_its_orders_and_no_others");
    let cluster = Cluster::start(THUNES, seed.number).await;
    let calls = &cluster.calls;
    let symbol = calls.halt(of_symbol("BTCUSDT"), HALT).await.expect("answered");
    assert!(symbol.active && symbol.changed && symbol.durable, "{symbol:?}");
    assert_eq!(symbol.gateways[0].outcome(), FenceOutcome::Confirmed, "{symbol:?}");
    let strategy = calls.halt(of_strategy("s1"), HALT).await.expect("answered");
    assert!(strategy.epoch > symbol.epoch, "each change has its own epoch");
    let denied = calls.order_now(buy("btc", "BTCUSDT", "12")).await;
    assert_eq!(
        (denied.state(), denied.reason_code.as_str()),
        (OrderState::Denied, "KILL_SWITCH_ACTIVE")
    );
    assert!(
        denied.reason.contains("symbol BTCUSDT"),
        "the text names the scope: {}",
        denied.reason
    );
    let denied = calls.order_now(of("s1", buy("eth-s1", "ETHUSDT", "12"))).await;
    assert_eq!(denied.reason_code, "KILL_SWITCH_ACTIVE");
    assert!(denied.reason.contains("strategy s1"), "{}", denied.reason);
    let passed = calls.order_now(of("s2", buy("eth-s2", "ETHUSDT", "12"))).await;
    assert_eq!(passed.state(), OrderState::Filled, "{passed:?}");
    // The switch for everything is another one.
    let status = calls.risk_status().await.expect("risk answers");
    assert!(!status.kill_switch_active && status.halts.len() == 2, "{status:?}");
    let all = calls.activate("everything", "").await.expect("answered");
    assert!(all.active && all.changed);
    assert_eq!(
        calls
            .order_now(of("s2", buy("eth-s3", "ETHUSDT", "12")))
            .await
            .reason_code,
        "KILL_SWITCH_ACTIVE"
    );
    let lifted = calls.lift(None).await.expect("answered");
    assert!(
        !lifted.active && lifted.remaining.len() == 2,
        "the others go on, and are named: {lifted:?}"
    );
    let denied = calls.order_now(buy("btc-2", "BTCUSDT", "12")).await;
    assert_eq!(denied.reason_code, "KILL_SWITCH_ACTIVE", "{denied:?}");
    let lifted = calls.lift(of_symbol("BTCUSDT")).await.expect("answered");
    assert!(lifted.changed && lifted.remaining.len() == 1, "{lifted:?}");
    cluster.until_opening().await;
    let passed = calls.order_now(buy("btc-3", "BTCUSDT", "12")).await;
    assert_eq!(passed.state(), OrderState::Filled, "{passed:?}");
    let both = calls.halt(
        Some(thunes_proto::risk::v1::Scope {
            strategy_id: "s1".into(),
            symbol: "BTCUSDT".into(),
        }),
        HALT,
    );
    let refused = both.await.expect_err("one scope at a time");
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
}

// Orders of both symbols never stop coming. The judge is the exchange's own ledger.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_halt_of_one_symbol_fences_it_under_load_while_the_others_trade_on() {
    let mut seed = Seed::of("p1_a_halt_of_one_symbol_fences_it_under_load_while_the_others_trade_on");
    let cluster = Cluster::start(THUNES, seed.number).await;
    cluster
        .sim
        .fault(json!({ "kind": "latency", "count": 0, "ms": 150 }))
        .await;
    let flow = Flow::start(&cluster.calls, 6, |caller, number| {
        let symbol = if caller % 2 == 0 { "BTCUSDT" } else { "ETHUSDT" };
        buy(&format!("s-{caller}-{number}"), symbol, "12")
    });
    let mut answered = 0;
    for round in 0..3 {
        let before = cluster.sim.ledger().await.buys().count();
        until("orders flow", LONG, async || {
            cluster.sim.ledger().await.buys().count() >= before + 6
        })
        .await;
        seed.moment(0, 300).await;
        let halt = cluster.calls.halt(of_symbol("BTCUSDT"), HALT).await.expect("answered");
        answered = clock::now_ms();
        assert_eq!(halt.gateways[0].outcome(), FenceOutcome::Confirmed, "{halt:?}");
        let (symbol, after) = ("ETHUSDT", answered);
        until("the other symbol trades on", LONG, async || {
            let ledger = cluster.sim.ledger().await;
            ledger
                .buys()
                .filter(|o| o.symbol == symbol && o.accepted_at_ms > after)
                .count()
                >= 6
        })
        .await;
        let ledger = cluster.sim.ledger().await;
        let late: Vec<_> = ledger
            .buys()
            .filter(|o| o.symbol == "BTCUSDT" && o.accepted_at_ms > answered)
            .collect();
        assert!(
            late.is_empty(),
            "P1: accepted after the halt had answered at {answered}: {late:#?}"
        );
        if round < 2 {
            cluster.calls.lift(of_symbol("BTCUSDT")).await.expect("deactivated");
        }
    }
    let sent = flow.stop().await;
    let ledger = cluster.sim.ledger().await;
    assert!(
        !ledger
            .buys()
            .any(|o| o.symbol == "BTCUSDT" && o.accepted_at_ms > answered)
    );
    // The epochs that come and go do not cost the other symbol its orders.
    let stale = sent
        .iter()
        .filter_map(|sent| sent.answer.as_ref().ok()?.order.clone())
        .filter(|order| order.symbol == "ETHUSDT" && order.state() == OrderState::Denied);
    let stale: Vec<_> = stale.map(|order| (order.client_order_id, order.reason_code)).collect();
    println!("{} orders, of the other symbol denied: {stale:?}", sent.len());
    assert!(stale.len() <= sent.len() / 20, "{stale:?}");
}

// A gateway that sleeps cannot confirm. Its leases from before the halt are waited for, and those that it gets later are
// not, since they carry the halt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_paused_gateway_opens_nothing_in_a_halted_symbol_after_the_answer() {
    let mut seed = Seed::of("p1_a_paused_gateway_opens_nothing_in_a_halted_symbol_after_the_answer");
    let cluster = Cluster::start(THUNES, seed.number).await;
    cluster
        .sim
        .fault(json!({ "kind": "latency", "count": 0, "ms": 1200 }))
        .await;
    let flow = Flow::start(&cluster.calls, 4, |caller, number| {
        buy(&format!("p-{caller}-{number}"), "BTCUSDT", "12")
    });
    until("orders flow", LONG, async || {
        cluster.sim.ledger().await.buys().count() >= 4
    })
    .await;
    seed.moment(0, 300).await;
    cluster.target(Service::ExchangeGateway).pause().await.expect("paused");
    let asked = clock::instant();
    let halt = cluster.calls.halt(of_symbol("BTCUSDT"), HALT).await.expect("answered");
    let answered = clock::now_ms();
    assert_eq!(halt.gateways[0].outcome(), FenceOutcome::LeaseExpired, "{halt:?}");
    assert!(clock::elapsed_ms(asked) < 5000, "in bounded time");
    cluster
        .target(Service::ExchangeGateway)
        .resume()
        .await
        .expect("resumed");
    until_ok("the gateway confirms afterwards", LONG, async || {
        let again = cluster
            .calls
            .halt(of_symbol("BTCUSDT"), HALT)
            .await
            .map_err(|s| s.to_string())?;
        let confirmed = again.gateways[0].outcome() == FenceOutcome::Confirmed;
        if confirmed { Ok(()) } else { Err(format!("{again:?}")) }
    })
    .await;
    flow.stop().await;
    let ledger = cluster.sim.ledger().await;
    let late: Vec<_> = ledger.buys().filter(|order| order.accepted_at_ms > answered).collect();
    assert!(late.is_empty(), "P1: {late:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_halts_of_single_scopes_survive_sigkill_of_risk_and_of_everything() {
    let seed = Seed::of("p3_halts_of_single_scopes_survive_sigkill_of_risk_and_of_everything");
    let cluster = Cluster::start(THUNES, seed.number).await;
    let first = cluster.calls.halt(of_symbol("BTCUSDT"), HALT).await.expect("answered");
    cluster.kill(Service::Risk).await;
    cluster
        .restart_with(Service::Risk, "risk.activate.before_answer=kill")
        .await;
    until("risk knows its gateway again", LONG, async || {
        cluster
            .calls
            .risk_status()
            .await
            .is_ok_and(|s| s.gateways.iter().any(|g| g.connected))
    })
    .await;
    let unanswered = cluster.calls.halt(of_strategy("s1"), HALT).await;
    assert!(unanswered.is_err(), "risk died before its answer: {unanswered:?}");
    cluster.until_killed_by_itself(Service::Risk).await;
    cluster.restart_with(Service::Risk, "").await;
    cluster.restart_all().await;
    cluster.until_opening().await;
    let status = cluster.calls.risk_status().await.expect("risk answers");
    assert!(!status.kill_switch_active, "nobody halted everything: {status:?}");
    let halted: Vec<_> = status.halts.iter().map(|h| (h.scope.clone(), h.durable)).collect();
    assert_eq!(halted, [(of_strategy("s1"), true), (of_symbol("BTCUSDT"), true)]);
    assert!(status.epoch > first.epoch, "{status:?}");
    let denied = cluster.calls.order_now(buy("btc", "BTCUSDT", "12")).await;
    assert_eq!(denied.reason_code, "KILL_SWITCH_ACTIVE");
    let passed = cluster.calls.order_now(buy("eth", "ETHUSDT", "12")).await;
    assert_eq!(passed.state(), OrderState::Filled, "{passed:?}");
    // Each change has its event, written with it.
    until_ok("the trail tells of both halts", LONG, async || {
        let trail = cluster.trail();
        let of_scope: Vec<_> = trail
            .of_type("KILL_SWITCH_ACTIVATED")
            .map(|line| (line.payload["symbol"].clone(), line.payload["strategy_id"].clone()))
            .collect();
        let both = of_scope == [(json!("BTCUSDT"), json!(null)), (json!(null), json!("s1"))];
        if both { Ok(()) } else { Err(format!("{of_scope:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_a_risk_that_lost_its_database_halts_everything_when_a_symbol_was_halted() {
    let seed = Seed::of("p3_a_risk_that_lost_its_database_halts_everything_when_a_symbol_was_halted");
    let cluster = Cluster::start(THUNES, seed.number).await;
    let halt = cluster.calls.halt(of_symbol("BTCUSDT"), HALT).await.expect("answered");
    until("the gateway has it on its disk", LONG, async || {
        let again = cluster.calls.halt(of_symbol("BTCUSDT"), HALT).await;
        again.is_ok_and(|answer| answer.gateways.iter().all(|gateway| gateway.persisted))
    })
    .await;
    cluster.kill(Service::ExchangeGateway).await;
    cluster.kill(Service::Risk).await;
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(cluster.data_dir().join(format!("risk.db{suffix}")));
    }
    cluster.restart(Service::Risk).await;
    cluster.restart(Service::ExchangeGateway).await;
    until_ok("risk learns of the halt", LONG, async || {
        let status = cluster.calls.risk_status().await.map_err(|s| s.to_string())?;
        let learnt = status.kill_switch_active && status.epoch > halt.epoch;
        if learnt { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await;
    let denied = cluster.calls.order_now(buy("eth", "ETHUSDT", "12")).await;
    assert_eq!(denied.state(), OrderState::Denied, "{denied:?}");
}
