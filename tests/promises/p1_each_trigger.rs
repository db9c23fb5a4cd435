//! Every trigger pulls at its threshold, says why, and pulls once.

use std::time::Duration;

use serde_json::json;
use thunes_proto::gateway::v1::OrderState;
use thunes_proto::risk::v1::{
    GatewayHealth, GetRiskStatusResponse, HoldLeaseRequest, HoldLeaseResponse, ReconciliationHealth, TriggerStatus,
};
use thunes_runtime::clock;
use thunes_supervisor::embedded::{Plan, Service};
use thunes_testkit::{Cluster, Seed, buy, limit_buy, sell, until_ok};

use crate::THUNES;

const LONG: Duration = Duration::from_secs(25);

async fn cluster(name: &str, key: &str, value: &str) -> Cluster {
    let seed = Seed::of(name);
    Cluster::start_with(THUNES, seed.number, |plan: Plan| {
        plan.setting(Service::Risk, format!("risk.triggers.{key}"), value)
            // A fault that lets a request hang must not outlast the test.
            .setting(Service::ExchangeGateway, "gateway.exchange.order_timeout_ms", "1000")
    })
    .await
}

fn trigger<'a>(status: &'a GetRiskStatusResponse, name: &str) -> &'a TriggerStatus {
    let found = status.triggers.iter().find(|trigger| trigger.name == name);
    found.unwrap_or_else(|| panic!("no trigger {name}: {status:?}"))
}

async fn status(cluster: &Cluster) -> GetRiskStatusResponse {
    cluster.calls.risk_status().await.expect("risk answers")
}

/// Waits until the trigger has pulled, and checks what its event and its reason say.
async fn until_pulled(cluster: &Cluster, name: &str, actor: &str, threshold: &str) -> GetRiskStatusResponse {
    let status = until_ok("the trigger pulls", LONG, async || {
        let status = cluster.calls.risk_status().await.map_err(|s| s.to_string())?;
        if status.kill_switch_active {
            Ok(status)
        } else {
            Err(format!("{:?}", status.triggers))
        }
    })
    .await;
    assert_eq!(status.kill_switch_actor, actor, "{}", status.kill_switch_reason);
    assert!(
        status.kill_switch_reason.contains(threshold),
        "{}",
        status.kill_switch_reason
    );
    assert!(trigger(&status, name).fired);
    let payload = until_ok("its event is in the trail", LONG, async || {
        let trail = cluster.trail();
        let line = trail.of_type("KILL_SWITCH_ACTIVATED").last();
        line.map(|line| line.payload.clone())
            .ok_or_else(|| "no event".to_owned())
    })
    .await;
    assert_eq!(
        (&payload["trigger"], &payload["threshold"]),
        (&json!(name), &json!(threshold)),
        "{payload}"
    );
    let measured = payload["measured"].as_str().expect("a text");
    assert!(
        !measured.is_empty() && status.kill_switch_reason.contains(measured),
        "{payload}"
    );
    status
}

async fn filled(cluster: &Cluster, order: thunes_proto::gateway::v1::SubmitOrderRequest) {
    let order = cluster.calls.order_now(order).await;
    assert_eq!(order.state(), OrderState::Filled, "{order:?}");
}

// The order that is one too few pulls nothing; the next one does. After a deactivation the same minute pulls nothing
// again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_the_order_rate_trigger_counts_what_was_asked_for_and_pulls_once() {
    let name = "p1_the_order_rate_trigger_counts_what_was_asked_for_and_pulls_once";
    let cluster = cluster(name, "order_rate_max", "4").await;
    for id in ["1", "2"] {
        filled(&cluster, buy(id, "BTCUSDT", "12")).await;
    }
    // Denied by risk, and counted all the same.
    let denied = cluster.calls.order_now(buy("3", "BTCUSDT", "2000000")).await;
    assert_eq!(denied.state(), OrderState::Denied);
    until_ok("risk has looked", LONG, async || {
        let status = status(&cluster).await;
        if trigger(&status, "order_rate").measured == "3" {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(!status(&cluster).await.kill_switch_active, "just below");
    // Whether it still passes the fence depends on who is faster, it or the trigger.
    cluster.calls.order_now(buy("4", "BTCUSDT", "12")).await;
    until_pulled(&cluster, "order_rate", "risk:order-rate", "4").await;
    cluster.calls.deactivate("looked at", "").await.expect("deactivated");
    tokio::time::sleep(Duration::from_millis(600)).await;
    let after = status(&cluster).await;
    assert!(
        !after.kill_switch_active && trigger(&after, "order_rate").fired,
        "the same excursion: {after:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_the_reject_rate_trigger_counts_what_the_exchange_rejects() {
    let name = "p1_the_reject_rate_trigger_counts_what_the_exchange_rejects";
    let cluster = cluster(name, "reject_rate_max", "2").await;
    for (id, pulled) in [("1", false), ("2", true)] {
        cluster.sim.fault(json!({ "kind": "insufficient_balance" })).await;
        let order = cluster.calls.order_now(buy(id, "BTCUSDT", "12")).await;
        assert_eq!(order.state(), OrderState::Rejected, "{order:?}");
        if !pulled {
            until_ok("risk has heard of it", LONG, async || {
                let status = status(&cluster).await;
                if trigger(&status, "reject_rate").measured == "1" {
                    Ok(())
                } else {
                    Err(format!("{status:?}"))
                }
            })
            .await;
            tokio::time::sleep(Duration::from_millis(600)).await;
            assert!(!status(&cluster).await.kill_switch_active, "just below");
        }
    }
    until_pulled(&cluster, "reject_rate", "risk:reject-rate", "2").await;
}

// The day's best P&L outlives a SIGKILL of risk; the loss of the day alone would not pull.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_the_drawdown_trigger_counts_from_the_days_best_also_after_a_restart() {
    let name = "p1_the_drawdown_trigger_counts_from_the_days_best_also_after_a_restart";
    let cluster = cluster(name, "drawdown_max", "40").await;
    filled(&cluster, buy("btc", "BTCUSDT", "600")).await;
    cluster.sim.price("BTCUSDT", "66000").await;
    let peak = until_ok("the P&L has risen", LONG, async || {
        let status = status(&cluster).await;
        let pnl: rust_decimal::Decimal = status.daily_pnl.parse().unwrap_or_default();
        if pnl > 50.into() {
            Ok(pnl)
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    // While it falls risk does not look: what it finds then is not the day's best.
    cluster.kill(Service::Risk).await;
    cluster.sim.price("BTCUSDT", "63000").await;
    until_ok("position has the lower price", LONG, async || {
        let book = cluster.calls.positions().await.map_err(|s| s.to_string())?;
        let fallen = book
            .positions
            .iter()
            .any(|position| position.last_price.starts_with("63"));
        if fallen { Ok(()) } else { Err(format!("{book:?}")) }
    })
    .await;
    cluster.restart(Service::Risk).await;
    until_ok("risk has seen the smaller fall", LONG, async || {
        let status = status(&cluster).await;
        let measured: rust_decimal::Decimal = trigger(&status, "drawdown").measured.parse().unwrap_or_default();
        if measured > 20.into() && measured < 40.into() {
            Ok(())
        } else {
            Err(format!("peak {peak}: {:?}", status.triggers))
        }
    })
    .await;
    assert!(!status(&cluster).await.kill_switch_active, "below the threshold");
    cluster.sim.price("BTCUSDT", "61000").await;
    let pulled = until_pulled(&cluster, "drawdown", "risk:drawdown", "40").await;
    let pnl: rust_decimal::Decimal = pulled.daily_pnl.parse().expect("a decimal");
    assert!(
        pnl > rust_decimal::Decimal::ZERO,
        "the day is not even at a loss: {pnl}"
    );
    // That it has pulled outlives a SIGKILL too: the same excursion pulls nothing again.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    cluster.calls.deactivate("looked at", "").await.expect("deactivated");
    cluster.kill(Service::Risk).await;
    cluster.restart(Service::Risk).await;
    let after = until_ok("risk knows the P&L again", LONG, async || {
        let status = status(&cluster).await;
        if status.daily_pnl.is_empty() {
            Err("not yet".to_owned())
        } else {
            Ok(status)
        }
    })
    .await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(trigger(&after, "drawdown").fired, "{:?}", after.triggers);
    assert!(!status(&cluster).await.kill_switch_active, "the same excursion");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_the_account_stream_trigger_pulls_when_the_stream_keeps_an_order_back() {
    let name = "p1_the_account_stream_trigger_pulls_when_the_stream_keeps_an_order_back";
    let cluster = cluster(name, "account_stream_silent_max_ms", "2500").await;
    filled(&cluster, buy("heard", "BTCUSDT", "12")).await;
    // Idle for longer than the threshold: nothing is missed.
    tokio::time::sleep(Duration::from_millis(3200)).await;
    assert!(
        !status(&cluster).await.kill_switch_active,
        "an idle stream is not silent"
    );
    cluster
        .sim
        .fault(json!({ "kind": "drop_stream_event", "count": 0 }))
        .await;
    filled(&cluster, buy("unheard", "BTCUSDT", "12")).await;
    until_pulled(&cluster, "account_stream", "risk:account-stream", "2500").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_the_market_data_trigger_pulls_when_a_held_symbols_price_is_old() {
    let name = "p1_the_market_data_trigger_pulls_when_a_held_symbols_price_is_old";
    let cluster = cluster(name, "market_data_age_max_ms", "2500").await;
    let fault = json!({ "kind": "error_503_before", "count": 0, "path": "/api/v3/ticker/price" });
    cluster.sim.fault(fault.clone()).await;
    tokio::time::sleep(Duration::from_millis(3200)).await;
    assert!(!status(&cluster).await.kill_switch_active, "nothing is held");
    cluster.sim.clear_faults().await;
    until_ok("a new price has come", LONG, async || {
        let status = status(&cluster).await;
        let newest = status.prices.iter().map(|price| price.at_ms).min().unwrap_or(0);
        if clock::now_ms() - newest < 1000 {
            Ok(())
        } else {
            Err(format!("{:?}", status.prices))
        }
    })
    .await;
    filled(&cluster, buy("held", "BTCUSDT", "60")).await;
    tokio::time::sleep(Duration::from_millis(3000)).await;
    assert!(!status(&cluster).await.kill_switch_active, "prices come");
    cluster.sim.fault(fault).await;
    let pulled = until_pulled(&cluster, "market_data", "risk:market-data", "2500").await;
    assert!(
        pulled.kill_switch_reason.contains("BTCUSDT"),
        "{}",
        pulled.kill_switch_reason
    );
    // Closing goes on.
    filled(&cluster, sell("closes", "BTCUSDT", "0.0005")).await;
}

// A clock that jumps less than the threshold pulls nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_the_clock_trigger_pulls_when_the_exchanges_clock_jumps() {
    let name = "p1_the_clock_trigger_pulls_when_the_exchanges_clock_jumps";
    let cluster = cluster(name, "clock_offset_change_max_ms", "3000").await;
    cluster.sim.fault(json!({ "kind": "clock_skew", "ms": 1500 })).await;
    until_ok("the smaller jump is seen", LONG, async || {
        let status = status(&cluster).await;
        let measured: i64 = trigger(&status, "clock_offset").measured.parse().unwrap_or(0);
        if measured > 1000 {
            Ok(())
        } else {
            Err(format!("{:?}", status.triggers))
        }
    })
    .await;
    assert!(!status(&cluster).await.kill_switch_active, "just below");
    cluster.sim.fault(json!({ "kind": "clock_skew", "ms": 4000 })).await;
    until_pulled(&cluster, "clock_offset", "risk:clock-offset", "3000").await;
}

/// A gateway of another account, that says of itself whatever the test wants.
struct Pretender {
    out: tokio::sync::mpsc::Sender<HoldLeaseRequest>,
    answers: tonic::Streaming<HoldLeaseResponse>,
    renew_seq: i64,
}

impl Pretender {
    async fn start(cluster: &Cluster) -> Self {
        let (out, requests) = tokio::sync::mpsc::channel(4);
        let stream = tokio_stream::wrappers::ReceiverStream::new(requests);
        out.send(Self::message(1, GatewayHealth::default()))
            .await
            .expect("sent");
        let mut risk = cluster.calls.risk.clone();
        let answers = risk.hold_lease(stream).await.expect("a stream").into_inner();
        let mut started = Self {
            out,
            answers,
            renew_seq: 1,
        };
        started.heard().await;
        started
    }

    fn message(renew_seq: i64, health: GatewayHealth) -> HoldLeaseRequest {
        HoldLeaseRequest {
            gateway_id: "pretender".into(),
            account: "other".into(),
            incarnation: "one".into(),
            renew_seq,
            health: Some(health),
            ..Default::default()
        }
    }

    async fn heard(&mut self) {
        while let Some(answer) = self.answers.message().await.expect("risk answers") {
            if answer.renew_seq == self.renew_seq {
                return;
            }
        }
        panic!("risk ended the stream");
    }

    async fn says(&mut self, health: GatewayHealth) {
        self.renew_seq += 1;
        self.out
            .send(Self::message(self.renew_seq, health))
            .await
            .expect("sent");
        self.heard().await;
    }
}

fn found(verdict: &str, unexplained_quote: &str, mismatches: i64) -> GatewayHealth {
    GatewayHealth {
        reconciliation: Some(ReconciliationHealth {
            verdict: verdict.into(),
            unexplained_quote: unexplained_quote.into(),
            mismatches,
            finished_at_ms: clock::now_ms(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_the_reconciliation_trigger_pulls_when_too_much_is_unexplained() {
    let name = "p9_the_reconciliation_trigger_pulls_when_too_much_is_unexplained";
    let cluster = cluster(name, "reconciliation_unexplained_max", "12.5").await;
    let mut gateway = Pretender::start(&cluster).await;
    for health in [
        found("CLEAN", "0", 0),
        found("DISCREPANCIES", "12.49999999", 3),
        // What could not be determined is no mismatch.
        found("UNDETERMINED", "1000", 1),
    ] {
        gateway.says(health.clone()).await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert!(!status(&cluster).await.kill_switch_active, "{health:?}");
    }
    gateway.says(found("DISCREPANCIES", "12.5", 2)).await;
    let pulled = until_pulled(&cluster, "reconciliation", "risk:reconciliation", "12.5").await;
    assert!(
        pulled.kill_switch_reason.contains("2 differences"),
        "{}",
        pulled.kill_switch_reason
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_the_clock_trigger_pulls_when_the_exchanges_clock_is_too_uncertain() {
    let name = "p1_the_clock_trigger_pulls_when_the_exchanges_clock_is_too_uncertain";
    let cluster = cluster(name, "clock_uncertainty_max_ms", "700").await;
    let mut gateway = Pretender::start(&cluster).await;
    let uncertain = |clock_uncertainty_ms| GatewayHealth {
        clock_uncertainty_ms,
        ..Default::default()
    };
    gateway.says(uncertain(699)).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(!status(&cluster).await.kill_switch_active, "just below");
    gateway.says(uncertain(700)).await;
    until_pulled(&cluster, "clock_uncertainty", "risk:clock-uncertainty", "700").await;
}

// A trigger with a level of its own goes as far as that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_trigger_goes_as_far_as_its_level_says() {
    let seed = Seed::of("p1_a_trigger_goes_as_far_as_its_level_says");
    let cluster = Cluster::start_with(THUNES, seed.number, |plan| {
        plan.setting(Service::Risk, "risk.triggers.order_rate_max", "3")
            .setting(Service::Risk, "risk.triggers.order_rate_level", "flatten")
    })
    .await;
    let rests = cluster
        .calls
        .order_now(limit_buy("rests", "ETHUSDT", "0.01", "2900"))
        .await;
    assert_eq!(rests.state(), OrderState::New);
    filled(&cluster, buy("btc", "BTCUSDT", "60")).await;
    // Denied by risk, and counted all the same.
    let denied = cluster.calls.order_now(buy("pulls", "BTCUSDT", "2000000")).await;
    assert_eq!(denied.state(), OrderState::Denied);
    until_pulled(&cluster, "order_rate", "risk:order-rate", "3").await;
    until_ok("everything is sold", LONG, async || {
        let status = status(&cluster).await;
        let stop = status.halts[0].stop.clone().ok_or("no stop")?;
        let done = stop.state() == thunes_proto::risk::v1::StopState::Done;
        if done && stop.sold.len() == 1 && stop.canceled_client_order_ids == ["rests"] {
            Ok(())
        } else {
            Err(format!("{stop:?}"))
        }
    })
    .await;
}
