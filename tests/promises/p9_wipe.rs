//! P4, P9: a wiped test account is told apart from a mismatch, and after it the absence of an order proves nothing.

use std::time::Duration;

use serde_json::json;
use thunes_proto::gateway::v1::{DiscrepancyClass as Class, OrderState, ProposedRepair, ResolvedOutcome};
use thunes_supervisor::embedded::Service;
use thunes_testkit::{Cluster, Seed, buy, limit_buy, until_ok};

use crate::THUNES;
use crate::p9_reconciliation::{classes, of_class};

const LONG: Duration = Duration::from_secs(25);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_p9_after_a_wipe_an_absence_proves_nothing_and_an_operator_resolves() {
    let seed = Seed::of("p4_p9_after_a_wipe_an_absence_proves_nothing_and_an_operator_resolves");
    let cluster = Cluster::start_with(THUNES, seed.number, |plan| {
        plan.setting(Service::Risk, "risk.lease_ms", "600")
            .setting(Service::Risk, "risk.recv_window_ms", "600")
            .setting(Service::ExchangeGateway, "gateway.recv_window_ms", "600")
            .setting(Service::ExchangeGateway, "gateway.reconcile.interval_ms", "86400000")
    })
    .await;
    assert_eq!(
        cluster.calls.order_now(buy("bought", "BTCUSDT", "120")).await.state(),
        OrderState::Filled
    );
    let resting = cluster
        .calls
        .order_now(limit_buy("rests", "BTCUSDT", "0.01", "59000"))
        .await;
    assert_eq!(resting.state(), OrderState::New, "{resting:?}");
    let clean = cluster.calls.reconcile(false).await.expect("answered");
    assert!(clean.discrepancies.is_empty(), "{clean:#?}");
    // Executed, not answered, not told, not found: and then the account is wiped, the order with it.
    cluster
        .sim
        .fault(json!({ "kind": "drop_stream_event", "count": 0 }))
        .await;
    let hidden = json!({ "kind": "hide_order", "count": 0, "path": "/api/v3/order", "method": "GET" });
    cluster.sim.fault(hidden).await;
    cluster.sim.fault(json!({ "kind": "error_503_after" })).await;
    let doubt = cluster.calls.order_now(buy("doubt", "BTCUSDT", "90")).await;
    assert_eq!(doubt.state(), OrderState::InDoubt, "{doubt:?}");
    cluster.sim.wipe().await;
    cluster.sim.clear_faults().await;

    // Long after its window it is in doubt still, and says why.
    until_ok("the gateway knows that the account was wiped", LONG, async || {
        let order = cluster.calls.order("doubt").await.map_err(|s| s.to_string())?;
        assert_eq!(
            order.state(),
            OrderState::InDoubt,
            "P4: an absence after a wipe was believed: {order:?}"
        );
        if order.reason.contains("wiped") {
            Ok(())
        } else {
            Err(order.reason)
        }
    })
    .await;
    let found = cluster.calls.reconcile(false).await.expect("answered");
    assert_eq!(classes(&found), [Class::InDoubt, Class::TestnetWipe], "{found:#?}");
    assert_eq!(
        of_class(&found, Class::TestnetWipe).repair(),
        ProposedRepair::Investigate
    );
    let status = cluster.calls.gateway_status().await.expect("answered");
    assert!(status.reconciliation.is_some_and(|r| r.wiped_at_ms > 0));
    assert_eq!(cluster.trail().of_type("ACCOUNT_WIPE_DETECTED").count(), 1);

    let known = cluster
        .calls
        .resolve("bought", ResolvedOutcome::Canceled, "no")
        .await
        .expect_err("it is known");
    assert!(known.message().contains("not in doubt"), "{known:?}");
    let said = cluster
        .calls
        .resolve("doubt", ResolvedOutcome::Canceled, "gone with the wipe")
        .await
        .expect("taken");
    assert_eq!(
        (said.state(), said.reason_code.as_str()),
        (OrderState::Canceled, "RESOLVED_BY_OPERATOR")
    );
    assert!(
        !said.resolved_by.is_empty() && said.reason.contains("gone with the wipe"),
        "{said:?}"
    );
    let never = cluster
        .calls
        .resolve("rests", ResolvedOutcome::NeverArrived, "no")
        .await
        .expect_err("it did arrive");
    assert!(never.message().contains("it did arrive"), "{never:?}");
    let said = cluster
        .calls
        .resolve("rests", ResolvedOutcome::Expired, "gone with the wipe")
        .await
        .expect("taken");
    assert_eq!(said.state(), OrderState::Expired);
    assert_eq!(cluster.calls.gateway_status().await.expect("answered").orders_live, 0);
}
