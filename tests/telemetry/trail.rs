//! Every line of the audit trail belongs to a trace.

use std::time::Duration;

use thunes_proto::audit::v1::{AppendEventsRequest, NewEvent};
use thunes_supervisor::embedded::Service;
use thunes_testkit::{Cluster, Seed, buy, sell, until_ok};

use crate::THUNES;

const WITHIN: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_of_the_trail_has_a_trace_id_whatever_it_tells_of() {
    let seed = Seed::of("every_line_of_the_trail_has_a_trace_id_whatever_it_tells_of");
    let cluster = Cluster::start(THUNES, seed.number).await;
    let bought = cluster.calls.order_now(buy("t-1", "BTCUSDT", "100")).await;
    assert_eq!(bought.trace_id.len(), 32);
    cluster.calls.order_now(sell("t-2", "BTCUSDT", "0.001")).await;
    cluster
        .calls
        .activate("a line of its own", "r-1")
        .await
        .expect("answered");
    cluster.calls.order_now(buy("t-3", "BTCUSDT", "100")).await;
    cluster.calls.deactivate("over", "r-2").await.expect("answered");
    cluster.until_opening().await;
    // Somebody trades past us, and a reconciliation finds and adopts it.
    cluster.sim.external_trade("ETHUSDT", "BUY", "0.1").await;
    cluster.calls.reconcile(true).await.expect("answered");
    // Appended directly, without a trace id, and the same again in another trace.
    let event = NewEvent {
        event_type: "NOTE".into(),
        reason: "without a trace id".into(),
        ..Default::default()
    };
    let request = AppendEventsRequest {
        events: vec![event],
        request_id: "note-1".into(),
        ..Default::default()
    };
    let first = cluster.calls.append(request.clone()).await.expect("taken");
    let again = cluster.calls.append(request).await.expect("known");
    assert_eq!(
        first.appended[0].seq, again.appended[0].seq,
        "a repetition is recognised in any trace"
    );
    // A crash with an order under way, and starts of everything.
    cluster.kill(Service::ExchangeGateway).await;
    cluster.restart(Service::ExchangeGateway).await;
    cluster.kill(Service::Audit).await;
    cluster.restart(Service::Audit).await;
    cluster.kill(Service::Position).await;
    cluster.restart(Service::Position).await;
    until_ok("nothing waits in an outbox", WITHIN, async || {
        let risk = cluster.calls.risk_status().await.map_err(|s| s.to_string())?;
        let gateway = cluster.calls.gateway_status().await.map_err(|s| s.to_string())?;
        let lines = cluster
            .trail()
            .lines
            .iter()
            .filter(|line| line.event_type == "SERVICE_STARTED")
            .count();
        let waiting = risk.audit_outbox.unwrap_or_default().depth + gateway.audit_outbox_depth;
        if waiting == 0 && lines >= 4 {
            Ok(())
        } else {
            Err(format!("{waiting} wait, {lines} starts"))
        }
    })
    .await;
    let trail = cluster.trail();
    let is_hex =
        |text: &str| text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    for line in &trail.lines {
        assert!(is_hex(&line.trace_id), "no trace id: {line:?}");
    }
    for event_type in ["ORDER_FILLED", "FILL_RECORDED"] {
        let of_order = trail
            .of_type(event_type)
            .find(|line| line.payload["client_order_id"] == "t-1");
        assert_eq!(
            of_order.expect(event_type).trace_id,
            bought.trace_id,
            "{event_type} is of the order's trace"
        );
    }
}
