//! P7: no change without its event, and each event once, in its producer's order, however long audit was away.

use std::collections::BTreeMap;
use std::time::Duration;

use thunes_proto::gateway::v1::OrderState;
use thunes_proto::risk::v1::UpdateLimitsRequest;
use thunes_supervisor::embedded::Service;
use thunes_testkit::{Cluster, Flow, Seed, Trail, buy, sell, until_ok};

use crate::THUNES;

async fn until_delivered(cluster: &Cluster) -> Trail {
    until_ok("audit has every event", Duration::from_secs(20), async || {
        let risk = cluster.calls.risk_status().await.map_err(|s| s.to_string())?;
        let gateway = cluster.calls.gateway_status().await.map_err(|s| s.to_string())?;
        let waiting = (
            risk.audit_outbox.map(|outbox| outbox.depth),
            gateway.audit_outbox_depth,
            gateway.fills_undelivered,
        );
        let fills = cluster.calls.fills().await.map_err(|s| s.to_string())?.len();
        let trail = cluster.trail();
        let recorded = trail.of_type("FILL_RECORDED").count();
        let done = waiting == (Some(0), 0, 0) && recorded >= fills;
        if done {
            Ok(trail)
        } else {
            Err(format!("{waiting:?} wait, {recorded} of {fills} fills are recorded"))
        }
    })
    .await
}

/// Orders by what the trail says of them.
fn told(trail: &Trail, event_type: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in trail.of_type(event_type) {
        let id = line.payload["client_order_id"].as_str().unwrap_or_default();
        *counts.entry(id.to_owned()).or_default() += 1;
    }
    counts
}

async fn assert_every_change_is_told(cluster: &Cluster, trail: &Trail, switched: usize) {
    trail.assert_each_producer_counts_on();
    for event_type in ["KILL_SWITCH_ACTIVATED", "KILL_SWITCH_DEACTIVATED", "LIMITS_CHANGED"] {
        assert_eq!(trail.of_type(event_type).count(), switched, "P7: {event_type}");
    }
    let (intents, filled, denied) = (
        told(trail, "ORDER_INTENT"),
        told(trail, "ORDER_FILLED"),
        told(trail, "ORDER_DENIED"),
    );
    for order in cluster.calls.orders().await.expect("answered") {
        let id = &order.client_order_id;
        match order.state() {
            OrderState::Filled => {
                assert_eq!(intents.get(id), Some(&1), "P7: the intent of {id}");
                assert_eq!(filled.get(id), Some(&1), "P7: the fill of {id}");
            }
            OrderState::Denied => assert_eq!(denied.get(id), Some(&1), "P7: the denial of {id}"),
            other => panic!("{id} is {other:?}"),
        }
    }
    let fills = cluster.calls.fills().await.expect("answered").len();
    assert_eq!(
        trail.of_type("FILL_RECORDED").count(),
        fills,
        "P7: each fill is told once"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_events_of_the_time_without_audit_arrive_once_and_in_order() {
    let mut seed = Seed::of("p7_events_of_the_time_without_audit_arrive_once_and_in_order");
    let cluster = Cluster::start(THUNES, seed.number).await;
    let mut switched = 0;
    for round in 0..2 {
        cluster.kill(Service::Audit).await;
        let flow = Flow::start(&cluster.calls, 2, move |caller, number| {
            let id = format!("r{round}-{caller}-{number}");
            if number % 2 == 1 {
                sell(&id, "BTCUSDT", "0.0001")
            } else {
                buy(&id, "BTCUSDT", "12")
            }
        });
        seed.moment(200, 400).await;
        for _ in 0..2 {
            assert!(
                cluster
                    .calls
                    .activate("audit is away", "")
                    .await
                    .expect("answered")
                    .changed
            );
            assert!(
                cluster
                    .calls
                    .deactivate("audit is away", "")
                    .await
                    .expect("answered")
                    .changed
            );
            let request = UpdateLimitsRequest {
                reason: "audit is away".to_owned(),
                open_positions_max: Some(100 + i64::try_from(switched).expect("few")),
                ..Default::default()
            };
            cluster
                .calls
                .risk
                .clone()
                .update_limits(request)
                .await
                .expect("answered");
            switched += 1;
        }
        seed.moment(100, 200).await;
        let sent = flow.stop().await;
        println!("round {round}: {} orders while audit was away", sent.len());
        // The outboxes are on disk, and survive their services.
        for service in [Service::Risk, Service::Position, Service::ExchangeGateway] {
            cluster.kill(service).await;
        }
        let back = [Service::Risk, Service::Position, Service::ExchangeGateway];
        cluster.env.restart_many(&back).await.expect("they start");
        cluster.restart(Service::Audit).await;
        cluster.until_opening().await;
        let trail = until_delivered(&cluster).await;
        assert_every_change_is_told(&cluster, &trail, switched).await;
    }
    cluster.thunes(&["audit", "verify"]).await.assert_exit(0);
}

// Audit dies again and again while events are on their way: delivered again, they still stand there once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_an_audit_that_keeps_dying_gets_each_event_once() {
    let mut seed = Seed::of("p7_an_audit_that_keeps_dying_gets_each_event_once");
    let cluster = Cluster::start(THUNES, seed.number).await;
    let flow = Flow::start(&cluster.calls, 2, move |caller, number| {
        let id = format!("{caller}-{number}");
        if number % 2 == 1 {
            sell(&id, "BTCUSDT", "0.0001")
        } else {
            buy(&id, "BTCUSDT", "12")
        }
    });
    let places = [
        "audit.append.after_write=kill@",
        "audit.append.after_sync=kill@",
        "audit.append.before_answer=kill@",
    ];
    for _ in 0..6 {
        cluster.kill(Service::Audit).await;
        let place = format!("{}{}", seed.pick(&places), seed.between(1, 6));
        cluster
            .env
            .set_failpoints(Service::Audit, &place)
            .expect("there is an audit");
        // It may die before it is ready: its own first event passes these places, too.
        cluster.target(Service::Audit).start().await.expect("started");
        cluster.until_killed_by_itself(Service::Audit).await;
        cluster.restart_with(Service::Audit, "").await;
    }
    let sent = flow.stop().await;
    println!("{} orders", sent.len());
    let trail = until_delivered(&cluster).await;
    assert_every_change_is_told(&cluster, &trail, 0).await;
}
