//! P3: an active kill-switch stays active, whatever is killed, and activating works when nothing else does.

use std::time::Duration;

use thunes_proto::gateway::v1::OrderState;
use thunes_runtime::clock;
use thunes_supervisor::embedded::Service;
use thunes_testkit::{Cluster, Seed, buy, until, until_ok};

use crate::THUNES;

const LONG: Duration = Duration::from_secs(15);

async fn is_active(cluster: &Cluster) -> bool {
    cluster
        .calls
        .risk_status()
        .await
        .expect("risk answers")
        .kill_switch_active
}

async fn assert_denied(cluster: &Cluster, id: &str) {
    let order = cluster.calls.order_now(buy(id, "BTCUSDT", "12")).await;
    assert_eq!(order.state(), OrderState::Denied, "P3: {order:?}");
    // A gateway that has only just started says so first.
    let codes = ["KILL_SWITCH_ACTIVE", "GATEWAY_STARTING"];
    assert!(
        codes.contains(&order.reason_code.as_str()),
        "one of {codes:?}: {order:?}"
    );
}

/// Turns the switch off until it stays off: a gateway that heard of an activation which risk has forgotten teaches it once
/// more when it has come back to risk.
async fn reopen(cluster: &Cluster) {
    until("the switch is off and stays off", LONG, async || {
        cluster
            .calls
            .deactivate("the test goes on", "")
            .await
            .expect("answered");
        let status = cluster.calls.gateway_status().await;
        status.is_ok_and(|s| s.opening_allowed)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_kill_switch_stays_active_after_sigkill_right_after_the_answer() {
    let mut seed = Seed::of("p3_kill_switch_stays_active_after_sigkill_right_after_the_answer");
    let cluster = Cluster::start(THUNES, seed.number).await;
    for round in 0..20 {
        let answer = cluster
            .calls
            .activate(&format!("round {round}"), "")
            .await
            .expect("answered");
        assert!(answer.active && answer.changed && answer.durable, "{answer:?}");
        if round % 5 == 4 {
            cluster.restart_all().await;
        } else {
            seed.moment(0, 4).await;
            cluster.kill(Service::Risk).await;
            cluster.restart(Service::Risk).await;
        }
        let status = cluster.calls.risk_status().await.expect("risk answers");
        assert!(status.kill_switch_active, "P3: round {round}: forgotten: {status:?}");
        assert_eq!(
            (status.epoch, status.kill_switch_reason),
            (answer.epoch, format!("round {round}"))
        );
        assert_denied(&cluster, &format!("denied-{round}")).await;
        assert!(
            cluster
                .calls
                .deactivate("next round", "")
                .await
                .expect("answered")
                .changed
        );
    }
}

// Killed at any moment of an activation: whoever got an answer that says durable finds the switch active.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_sigkill_in_the_middle_of_an_activation_breaks_no_answer() {
    let mut seed = Seed::of("p3_sigkill_in_the_middle_of_an_activation_breaks_no_answer");
    let cluster = Cluster::start(THUNES, seed.number).await;
    let (mut answered, mut unanswered) = (0, 0);
    for round in 0..12 {
        let calls = cluster.calls.clone();
        let activation = tokio::spawn(async move { calls.activate("in the middle", "").await });
        seed.moment(0, 12).await;
        cluster.kill(Service::Risk).await;
        let answer = activation.await.expect("no panic");
        cluster.restart(Service::Risk).await;
        match answer {
            Ok(answer) => {
                answered += 1;
                assert!(answer.durable, "{answer:?}");
                assert!(
                    is_active(&cluster).await,
                    "P3: round {round}: answered and forgotten: {answer:?}"
                );
            }
            // Nothing was promised; either is right, and half a change is not.
            Err(_) => unanswered += 1,
        }
        reopen(&cluster).await;
    }
    println!("{answered} answered, {unanswered} not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_a_crash_at_each_step_of_an_activation_breaks_no_answer() {
    let seed = Seed::of("p3_a_crash_at_each_step_of_an_activation_breaks_no_answer");
    let cluster = Cluster::start(THUNES, seed.number).await;
    for (place, survives) in [
        ("risk.activate.before_commit", false),
        ("risk.activate.after_commit", true),
        ("risk.activate.before_answer", true),
    ] {
        cluster.kill(Service::Risk).await;
        cluster.restart_with(Service::Risk, &format!("{place}=kill")).await;
        cluster.until_opening().await;
        let answer = cluster.calls.activate(place, "").await;
        cluster.until_killed_by_itself(Service::Risk).await;
        cluster.restart_with(Service::Risk, "").await;
        let promised = answer.is_ok_and(|answer| answer.durable);
        assert!(survives || !promised, "nothing is on disk before the commit");
        if survives {
            assert!(is_active(&cluster).await, "P3: killed at {place}");
            assert_denied(&cluster, &place.replace('.', "-")).await;
        }
        reopen(&cluster).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_activation_needs_neither_audit_nor_position_nor_telegram() {
    let seed = Seed::of("p3_activation_needs_neither_audit_nor_position_nor_telegram");
    let cluster = Cluster::start(THUNES, seed.number).await;
    let away = [Service::Audit, Service::Position, Service::TelegramStandin];
    for service in away {
        cluster.kill(service).await;
    }
    let asked = clock::instant();
    let answer = cluster.calls.activate("everything burns", "").await.expect("answered");
    let took = asked.elapsed();
    assert!(answer.active && answer.durable, "{answer:?}");
    assert!(
        took < Duration::from_secs(1),
        "nothing that is away delays it: {took:?}"
    );
    assert_denied(&cluster, "denied").await;
    cluster.kill(Service::Risk).await;
    cluster.restart(Service::Risk).await;
    assert!(is_active(&cluster).await, "P3");

    cluster.env.restart_many(&away).await.expect("they come back");
    until_ok(
        "the alert and the audit event are delivered after all",
        LONG,
        async || {
            let status = cluster.calls.risk_status().await.map_err(|s| s.to_string())?;
            let alerts = status.alerts.clone().unwrap_or_default();
            let depth = status.audit_outbox.map_or(-1, |outbox| outbox.depth);
            let done = alerts.pending == 0
                && alerts.delivered >= 1
                && alerts.last_text.contains("everything burns")
                && depth == 0;
            if done { Ok(()) } else { Err(format!("{status:?}")) }
        },
    )
    .await;
    let trail = cluster.trail();
    assert_eq!(trail.of_type("KILL_SWITCH_ACTIVATED").count(), 1, "P7: once");
    trail.assert_each_producer_counts_on();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_a_damaged_state_starts_halted_and_is_kept() {
    let mut seed = Seed::of("p3_a_damaged_state_starts_halted_and_is_kept");
    let cluster = Cluster::start(THUNES, seed.number).await;
    let path = cluster.data_dir().join("risk.db");
    let garbage: Vec<u8> = (0..8192)
        .map(|_| u8::try_from(seed.between(0, 256)).expect("a byte"))
        .collect();
    cluster.kill(Service::Risk).await;
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(cluster.data_dir().join(format!("risk.db{suffix}")));
    }
    std::fs::write(&path, &garbage).expect("written");
    cluster.restart(Service::Risk).await;
    let status = cluster.calls.risk_status().await.expect("risk answers");
    assert!(status.kill_switch_active, "P3: unreadable means halted: {status:?}");
    assert!(status.kill_switch_reason.contains("unreadable"), "{status:?}");
    assert_denied(&cluster, "denied").await;
    let kept = std::fs::read_dir(cluster.data_dir())
        .expect("folder")
        .flatten()
        .filter(|entry| {
            entry.file_name().to_string_lossy().starts_with("risk.db.damaged-")
                && std::fs::read(entry.path()).is_ok_and(|b| b == garbage)
        });
    assert_eq!(kept.count(), 1, "the damaged file is kept as it was");
    // And it stays so.
    cluster.kill(Service::Risk).await;
    cluster.restart(Service::Risk).await;
    assert!(is_active(&cluster).await, "P3: the second start remembers");
}

// The whole state of risk is gone, as after a disk was replaced: the gateway has the halted epoch on its own disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_a_risk_that_lost_its_state_is_taught_by_the_gateway() {
    let seed = Seed::of("p3_a_risk_that_lost_its_state_is_taught_by_the_gateway");
    let cluster = Cluster::start(THUNES, seed.number).await;
    let answer = cluster.calls.activate("to be remembered", "").await.expect("answered");
    until("the gateway has written the halted epoch", LONG, async || {
        let again = cluster.calls.activate("again", "").await.expect("answered");
        again.gateways.iter().any(|gateway| gateway.persisted)
    })
    .await;
    cluster.env.kill_all().await;
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(cluster.data_dir().join(format!("risk.db{suffix}")));
    }
    let all = cluster.env.services();
    cluster.env.restart_many(&all).await.expect("they start");
    until("risk knows again", LONG, async || is_active(&cluster).await).await;
    let status = cluster.calls.risk_status().await.expect("risk answers");
    assert!(
        status.epoch > answer.epoch,
        "beyond the epoch that was forgotten: {status:?}"
    );
    assert_denied(&cluster, "denied").await;
    assert_eq!(
        cluster.sim.ledger().await.orders.len(),
        0,
        "nothing was opened meanwhile"
    );
}
