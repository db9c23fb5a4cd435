//! The trigger that pulls by itself, activations that meet deactivations, a book that lost its database.

use std::collections::BTreeMap;
use std::time::Duration;

use thunes_proto::gateway::v1::{OrderState, ReconcileVerdict};
use thunes_supervisor::embedded::Service;
use thunes_testkit::{Cluster, Seed, assert_book_is_the_fold, buy, until_ok};

use crate::THUNES;

const LONG: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_daily_loss_beyond_its_limit_activates_the_switch_by_itself() {
    let seed = Seed::of("p1_a_daily_loss_beyond_its_limit_activates_the_switch_by_itself");
    let cluster = Cluster::start_with(THUNES, seed.number, |plan| {
        plan.setting(Service::Risk, "risk.limits.daily_loss_max", "0.01")
    })
    .await;
    let before = cluster.calls.risk_status().await.expect("risk answers");
    assert!(!before.kill_switch_active, "nothing is lost yet");
    // The fee and the spread alone cost more than the limit.
    let bought = cluster.calls.order_now(buy("loses", "BTCUSDT", "100")).await;
    assert_eq!(bought.state(), OrderState::Filled);
    until_ok("the switch is active", LONG, async || {
        let status = cluster.calls.risk_status().await.map_err(|e| e.to_string())?;
        let by_itself = status.kill_switch_active && status.kill_switch_actor == "risk:daily-loss";
        if by_itself { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await;
    let denied = cluster.calls.order_now(buy("too-late", "BTCUSDT", "20")).await;
    assert_eq!(denied.state(), OrderState::Denied);
    assert_eq!(denied.reason_code, "KILL_SWITCH_ACTIVE");
}

// An answer that says active must name the fence of its own epoch, and each change has one author.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_activations_that_meet_deactivations_never_answer_for_another_fence() {
    let seed = Seed::of("p1_activations_that_meet_deactivations_never_answer_for_another_fence");
    let cluster = Cluster::start(THUNES, seed.number).await;
    let storm = |index: usize, on: bool| {
        let calls = cluster.calls.clone();
        tokio::spawn(async move {
            let mut answers = Vec::new();
            for round in 0..40 {
                let reason = format!("storm {index} {round}");
                if on {
                    answers.extend(calls.activate(&reason, "").await.ok());
                } else {
                    // Being overtaken by an activation is an answer too.
                    let _ = calls.deactivate(&reason, "").await;
                }
            }
            answers
        })
    };
    let tasks: Vec<_> = (0..6).map(|index| storm(index, index % 2 == 0)).collect();
    let mut authors: BTreeMap<i64, u32> = BTreeMap::new();
    let mut highest = 0;
    for task in tasks {
        for answer in task.await.expect("no panic") {
            assert!(answer.active && !answer.gateways.is_empty(), "{answer:?}");
            highest = highest.max(answer.epoch);
            *authors.entry(answer.epoch).or_default() += u32::from(answer.changed);
        }
    }
    assert!(highest > 0, "at least one activation was answered");
    assert!(authors.values().all(|changes| *changes <= 1), "{authors:?}");
    let last = cluster.calls.activate("the storm is over", "").await.expect("answered");
    assert!(last.active && last.durable && last.epoch >= highest, "{last:?}");
    cluster.kill(Service::Risk).await;
    cluster.restart(Service::Risk).await;
    let status = cluster.calls.risk_status().await.expect("risk answers");
    assert!(status.kill_switch_active && status.epoch >= last.epoch, "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_a_position_that_lost_its_database_gets_baseline_and_fills_again() {
    let seed = Seed::of("p5_a_position_that_lost_its_database_gets_baseline_and_fills_again");
    let cluster = Cluster::start(THUNES, seed.number).await;
    let bought = cluster.calls.order_now(buy("kept", "BTCUSDT", "100")).await;
    assert_eq!(bought.state(), OrderState::Filled);
    assert_book_is_the_fold(&cluster, LONG).await;
    cluster.kill(Service::ExchangeGateway).await;
    cluster.kill(Service::Position).await;
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(cluster.data_dir().join(format!("position.db{suffix}")));
    }
    cluster.restart(Service::Position).await;
    cluster.restart(Service::ExchangeGateway).await;
    cluster.until_opening().await;
    // The reconciliation of the start adopts fills of our own orders by itself.
    let found = cluster.calls.reconcile(false).await.expect("answered");
    assert_eq!(found.verdict(), ReconcileVerdict::Clean, "{found:?}");
    assert_book_is_the_fold(&cluster, LONG).await;
}
