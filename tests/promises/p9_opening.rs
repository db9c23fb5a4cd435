//! P9, P12: after a start nothing opens before the account is known, and an operator's override is bound to what it saw.

use std::time::Duration;

use serde_json::json;
use thunes_proto::gateway::v1::{GetGatewayStatusResponse, OrderState, ReconcileVerdict, ReconciliationStatus};
use thunes_supervisor::embedded::Service;
use thunes_testkit::{Cluster, Seed, buy, sell, until_ok};
use tonic::Code;

use crate::THUNES;

const LONG: Duration = Duration::from_secs(15);
const NOT_CLEAN: &str = "RECONCILIATION_NOT_CLEAN";

fn known(status: &GetGatewayStatusResponse) -> ReconciliationStatus {
    status
        .reconciliation
        .clone()
        .expect("a gateway tells of its reconciliation")
}

async fn until_status(cluster: &Cluster, what: &str, holds: impl Fn(&GetGatewayStatusResponse) -> bool) {
    until_ok(what, LONG, async || {
        let status = cluster.calls.gateway_status().await.map_err(|s| s.to_string())?;
        if holds(&status) {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_opening_waits_for_a_clean_reconciliation_or_an_override() {
    let seed = Seed::of("p9_opening_waits_for_a_clean_reconciliation_or_an_override");
    let cluster = Cluster::start_with(THUNES, seed.number, |plan| {
        plan.setting(Service::ExchangeGateway, "gateway.reconcile.interval_ms", "300")
    })
    .await;
    let bought = cluster.calls.order_now(buy("first", "BTCUSDT", "600")).await;
    assert_eq!(bought.state(), OrderState::Filled);
    let nothing = cluster
        .calls
        .override_reconciliation("nothing is wrong", "")
        .await
        .expect("answered");
    assert!(!nothing.overridden, "{nothing:?}");

    // Found in the background, while it runs: reported, and a matter for the switch.
    cluster
        .sim
        .fault(json!({ "kind": "drop_stream_event", "count": 0, "event": "balanceUpdate" }))
        .await;
    cluster.sim.withdraw("USDT", "7").await;
    until_status(&cluster, "the background sees what nothing explains", |status| {
        known(status).unexplained_above_tolerance
    })
    .await;
    let status = cluster.calls.gateway_status().await.expect("answered");
    assert_eq!(
        (known(&status).unexplained.as_str(), known(&status).mismatches),
        ("7", 1),
        "{status:?}"
    );
    assert!(status.opening_allowed && known(&status).clean_since_start, "{status:?}");

    cluster.kill(Service::ExchangeGateway).await;
    cluster.restart(Service::ExchangeGateway).await;
    until_status(&cluster, "opening waits", |status| {
        status.opening_refused_reason_code == NOT_CLEAN && known(status).verdict() == ReconcileVerdict::Discrepancies
    })
    .await;
    let denied = cluster.calls.order_now(buy("denied", "BTCUSDT", "12")).await;
    assert_eq!(
        (denied.state(), denied.reason_code.as_str()),
        (OrderState::Denied, NOT_CLEAN),
        "{denied:?}"
    );
    let sold = cluster.calls.order_now(sell("closing", "BTCUSDT", "0.001")).await;
    assert_eq!(sold.state(), OrderState::Filled, "P2: closing passes: {sold:?}");

    let reason = "7 USDT went to cold storage";
    let given = cluster
        .calls
        .override_reconciliation(reason, "ov-1")
        .await
        .expect("answered");
    assert!(given.overridden && given.discrepancies == 1, "{given:?}");
    assert_eq!(
        cluster
            .calls
            .override_reconciliation(reason, "ov-1")
            .await
            .expect("answered"),
        given
    );
    let other = cluster
        .calls
        .override_reconciliation("another", "ov-1")
        .await
        .expect_err("another payload");
    assert_eq!(other.code(), Code::AlreadyExists);
    cluster.until_opening().await;
    assert_eq!(
        cluster
            .calls
            .order_now(buy("overridden", "BTCUSDT", "12"))
            .await
            .state(),
        OrderState::Filled
    );
    let status = cluster.calls.gateway_status().await.expect("answered");
    assert!(
        known(&status).overridden && !known(&status).clean_since_start,
        "{status:?}"
    );
    assert_eq!(known(&status).override_reason, reason);

    // It outlives a restart, as long as nothing else is found.
    cluster.kill(Service::ExchangeGateway).await;
    cluster.restart(Service::ExchangeGateway).await;
    cluster.until_opening().await;
    assert_eq!(
        cluster.calls.order_now(buy("again", "BTCUSDT", "12")).await.state(),
        OrderState::Filled
    );

    // Another discrepancy ends it.
    cluster.sim.deposit("BNB", "1").await;
    until_status(&cluster, "the override has ended", |status| {
        status.opening_refused_reason_code == NOT_CLEAN && !known(status).overridden
    })
    .await;
    let denied = cluster.calls.order_now(buy("late", "BTCUSDT", "12")).await;
    assert_eq!(
        (denied.state(), denied.reason_code.as_str()),
        (OrderState::Denied, NOT_CLEAN),
        "{denied:?}"
    );
    until_ok("the trail tells of it", LONG, async || {
        let trail = cluster.trail();
        let (given, ended) = ("RECONCILIATION_OVERRIDDEN", "RECONCILIATION_OVERRIDE_ENDED");
        let counts = (trail.of_type(given).count(), trail.of_type(ended).count());
        if counts == (1, 1) {
            Ok(())
        } else {
            Err(format!("{counts:?}"))
        }
    })
    .await;
    let shown = cluster.thunes(&["reconcile", "status"]).await;
    assert!(
        shown.out.contains(NOT_CLEAN) && shown.out.contains("DISCREPANCIES"),
        "{}",
        shown.out
    );
}

// An order in doubt is listed, and its exposure stays reserved, over restarts of both. A trade that may be its own holds
// up the opening of a gateway that starts: it could as well be a stranger's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_an_order_in_doubt_stays_reserved_over_restarts_and_turns_up_in_spite_of_an_operator() {
    let seed = Seed::of("p4_an_order_in_doubt_stays_reserved_over_restarts_and_turns_up_in_spite_of_an_operator");
    let cluster = Cluster::start_with(THUNES, seed.number, |plan| {
        plan.setting(Service::Risk, "risk.lease_ms", "600")
            .setting(Service::Risk, "risk.recv_window_ms", "600")
            .setting(Service::ExchangeGateway, "gateway.recv_window_ms", "600")
            .setting(Service::ExchangeGateway, "gateway.reconcile.interval_ms", "500")
    })
    .await;
    assert_eq!(
        cluster.calls.order_now(buy("witness", "BTCUSDT", "12")).await.state(),
        OrderState::Filled
    );
    // Executed, and the exchange neither answers, nor tells of it, nor can be asked for it.
    cluster
        .sim
        .fault(json!({ "kind": "drop_stream_event", "count": 0 }))
        .await;
    for path in ["/api/v3/order", "/api/v3/allOrders"] {
        let silent = json!({ "kind": "error_503_before", "count": 0, "path": path, "method": "GET" });
        cluster.sim.fault(silent).await;
    }
    cluster.sim.fault(json!({ "kind": "error_503_after" })).await;
    let order = cluster.calls.order_now(buy("doubt", "BTCUSDT", "90")).await;
    assert_eq!(order.state(), OrderState::InDoubt, "{order:?}");
    for killed in [Service::Risk, Service::ExchangeGateway] {
        cluster.kill(killed).await;
        cluster.restart(killed).await;
        // A gateway that starts does not know yet whose the trade is; one that was clean before goes on.
        let starts = killed == Service::ExchangeGateway;
        until_status(&cluster, "the doubt is seen", |status| {
            let opens = status.opening_allowed;
            let waits = !opens && status.opening_refused_reason_code == NOT_CLEAN;
            let doubted = status.orders_in_doubt == 1 && status.orders_in_doubt_oldest_age_ms > 0;
            doubted && if starts { waits } else { opens }
        })
        .await;
        until_ok("what is in doubt is reserved", LONG, async || {
            let status = cluster.calls.risk_status().await.map_err(|s| s.to_string())?;
            if status.reserved_notional == "90" {
                Ok(())
            } else {
                Err(format!("{status:?}"))
            }
        })
        .await;
    }
    let found = cluster.calls.reconcile(false).await.expect("answered");
    let in_doubt = thunes_proto::gateway::v1::DiscrepancyClass::InDoubt;
    assert!(
        found.discrepancies.iter().all(|d| d.class() == in_doubt),
        "its trade is nobody else's: {found:#?}"
    );
    let shown = cluster.thunes(&["orders", "--in-doubt"]).await;
    assert!(
        shown.out.contains("doubt") && shown.out.contains("AGE"),
        "{}",
        shown.out
    );

    let early = cluster
        .thunes(&[
            "order",
            "resolve",
            "doubt",
            "--outcome",
            "never-arrived",
            "--reason",
            "too early",
        ])
        .await;
    assert!(early.err.contains("RECEIVE_WINDOW_OPEN"), "{early:?}");
    let resolved = until_ok("an operator can speak", Duration::from_secs(25), async || {
        let said = cluster
            .calls
            .resolve("doubt", never_arrived(), "not in the exchange's web page")
            .await;
        said.map_err(|status| status.message().to_owned())
    })
    .await;
    assert_eq!(
        (resolved.state(), resolved.reason_code.as_str()),
        (OrderState::NeverArrived, "RESOLVED_BY_OPERATOR")
    );
    let again = cluster
        .calls
        .resolve("doubt", never_arrived(), "said again")
        .await
        .expect("the same word");
    assert_eq!(again.resolved_at_ms, resolved.resolved_at_ms, "nothing new");
    until_ok("nothing is reserved any more", LONG, async || {
        let status = cluster.calls.risk_status().await.map_err(|s| s.to_string())?;
        if status.reservations == 0 {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await;

    // The exchange finds it again: its word goes above the operator's.
    cluster.sim.clear_faults().await;
    let known = until_ok("the order turned up", LONG, async || {
        let order = cluster.calls.order("doubt").await.map_err(|s| s.to_string())?;
        if order.state() == OrderState::Filled {
            Ok(order)
        } else {
            Err(format!("{order:?}"))
        }
    })
    .await;
    assert!(
        known.turned_up_at_ms > 0 && known.resolved_by.is_empty() && !known.fills.is_empty(),
        "{known:?}"
    );
    thunes_testkit::assert_book_is_the_fold(&cluster, LONG).await;
    let found = cluster.calls.reconcile_in_full().await.expect("answered");
    assert_eq!(found.verdict(), ReconcileVerdict::Clean, "{found:#?}");
    crate::p9_reconciliation::of_class(&found, thunes_proto::gateway::v1::DiscrepancyClass::TurnedUp);
    until_ok("the trail tells of both", LONG, async || {
        let trail = cluster.trail();
        let counts = ["ORDER_RESOLVED_BY_OPERATOR", "ORDER_TURNED_UP"].map(|event| trail.of_type(event).count());
        if counts == [1, 1] {
            Ok(())
        } else {
            Err(format!("{counts:?}"))
        }
    })
    .await;
}

fn never_arrived() -> thunes_proto::gateway::v1::ResolvedOutcome {
    thunes_proto::gateway::v1::ResolvedOutcome::NeverArrived
}
