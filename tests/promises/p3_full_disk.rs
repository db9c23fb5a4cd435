//! P3 on a disk that takes nothing any more. The full disk is a file size limit on the process of risk.

use std::time::Duration;

use thunes_proto::gateway::v1::OrderState;
use thunes_proto::risk::v1::{KillSwitchLevel, StopState};
use thunes_runtime::clock;
use thunes_supervisor::embedded::Service;
use thunes_testkit::{Cluster, Seed, buy, limit_buy, of_symbol, until, until_ok};
use tokio::process::Command;

use crate::THUNES;

/// Runs a service so that a write beyond its file size limit is an error to it, as on a full disk, and no signal.
async fn restart_with_errors_for_a_full_disk(cluster: &Cluster, service: Service) {
    cluster.kill(service).await;
    cluster.target(service).change_spec(|spec| {
        let mut args = vec![
            "-c".into(),
            "trap '' XFSZ; exec \"$0\" \"$@\"".into(),
            spec.program.clone().into_os_string(),
        ];
        args.append(&mut spec.args);
        spec.args = args;
        spec.program = "/bin/sh".into();
    });
    cluster.restart(service).await;
}

/// From now on its files may not grow beyond so many bytes.
async fn limit_files(cluster: &Cluster, service: Service, bytes: &str) {
    let pid = cluster.target(service).pid().expect("it runs").to_string();
    let set = Command::new("prlimit")
        .args(["--pid", &pid, &format!("--fsize={bytes}:unlimited")])
        .status()
        .await;
    assert!(set.is_ok_and(|status| status.success()), "prlimit sets the limit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_activation_takes_hold_on_a_full_disk_and_says_what_is_not_recorded() {
    let seed = Seed::of("p3_activation_takes_hold_on_a_full_disk_and_says_what_is_not_recorded");
    if Command::new("prlimit").arg("--version").output().await.is_err() {
        assert!(
            !thunes_testkit::required("prlimit"),
            "THUNES_REQUIRE names prlimit, and there is none (util-linux)"
        );
        println!("skipped: there is no prlimit (util-linux)");
        return;
    }
    let cluster = Cluster::start(THUNES, seed.number).await;
    restart_with_errors_for_a_full_disk(&cluster, Service::Risk).await;
    cluster.until_opening().await;
    assert_eq!(
        cluster.calls.order_now(buy("before", "BTCUSDT", "12")).await.state(),
        OrderState::Filled
    );

    // The gateway's disk works: it can vouch for what risk cannot write.
    limit_files(&cluster, Service::Risk, "0").await;
    let asked = clock::instant();
    let answer = cluster.calls.activate("the disk is full", "").await.expect("answered");
    assert!(answer.active && answer.changed, "{answer:?}");
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    let denied = cluster.calls.order_now(buy("denied", "BTCUSDT", "12")).await;
    assert_eq!(denied.reason_code, "KILL_SWITCH_ACTIVE");
    let refused = cluster.calls.deactivate("nothing can be written", "").await;
    assert!(refused.is_err(), "opening again must be on disk first: {refused:?}");
    assert!(
        cluster
            .calls
            .risk_status()
            .await
            .expect("risk answers")
            .kill_switch_active,
        "the switch stays active"
    );

    // There is room again: what was not recorded is recorded, by itself.
    limit_files(&cluster, Service::Risk, "unlimited").await;
    until_ok("the activation is written", Duration::from_secs(10), async || {
        let status = cluster.calls.risk_status().await.map_err(|s| s.to_string())?;
        if status.kill_switch_durable {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await;
    cluster.kill(Service::Risk).await;
    cluster.restart(Service::Risk).await;
    assert!(
        cluster
            .calls
            .risk_status()
            .await
            .expect("risk answers")
            .kill_switch_active,
        "P3"
    );
    until("the event has reached audit", Duration::from_secs(10), async || {
        cluster
            .trail()
            .of_type("KILL_SWITCH_ACTIVATED")
            .any(|line| line.service == "risk")
    })
    .await;
}

// Nobody's disk takes it: then it holds in memory, and the answer says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_what_no_disk_took_is_called_not_durable() {
    let seed = Seed::of("p3_what_no_disk_took_is_called_not_durable");
    if Command::new("prlimit").arg("--version").output().await.is_err() {
        println!("skipped: there is no prlimit (util-linux)");
        return;
    }
    let cluster = Cluster::start(THUNES, seed.number).await;
    restart_with_errors_for_a_full_disk(&cluster, Service::Risk).await;
    cluster.until_opening().await;
    cluster.target(Service::ExchangeGateway).pause().await.expect("paused");
    limit_files(&cluster, Service::Risk, "0").await;
    let scoped = cluster
        .calls
        .halt(of_symbol("ETHUSDT"), KillSwitchLevel::HaltNew)
        .await
        .expect("answered");
    assert!(scoped.active && !scoped.durable, "no disk has it: {scoped:?}");
    let answer = cluster.calls.activate("the disk is full", "").await.expect("answered");
    assert!(answer.active && !answer.durable, "no disk has it: {answer:?}");
    cluster
        .target(Service::ExchangeGateway)
        .resume()
        .await
        .expect("resumed");
    let denied = cluster.calls.order_now(buy("denied", "BTCUSDT", "12")).await;
    assert_eq!(denied.state(), OrderState::Denied, "it holds all the same: {denied:?}");
}

// Canceling does not wait for the gateway's disk; what it did is confirmed and written when there is room again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_orders_are_canceled_while_the_gateways_disk_is_full() {
    let seed = Seed::of("p3_orders_are_canceled_while_the_gateways_disk_is_full");
    if Command::new("prlimit").arg("--version").output().await.is_err() {
        println!("skipped: there is no prlimit (util-linux)");
        return;
    }
    let cluster = Cluster::start_with(THUNES, seed.number, |plan| {
        plan.setting(Service::Risk, "risk.stop_wait_ms", "0")
    })
    .await;
    restart_with_errors_for_a_full_disk(&cluster, Service::ExchangeGateway).await;
    cluster.until_opening().await;
    let rests = cluster
        .calls
        .order_now(limit_buy("rests", "BTCUSDT", "0.001", "59000"))
        .await;
    assert_eq!(rests.state(), OrderState::New, "{rests:?}");
    limit_files(&cluster, Service::ExchangeGateway, "0").await;
    let halt = cluster
        .calls
        .halt(None, KillSwitchLevel::CancelOrders)
        .await
        .expect("answered");
    until_ok(
        "the order is gone at the exchange",
        Duration::from_secs(10),
        async || {
            let ledger = cluster.sim.ledger().await;
            let status = ledger.order("rests").map(|order| order.status.clone());
            if status.as_deref() == Some("CANCELED") {
                Ok(())
            } else {
                Err(format!("{status:?}"))
            }
        },
    )
    .await;
    let stop = async || {
        let status = cluster.calls.risk_status().await.map_err(|s| s.to_string())?;
        let halted = status.halts.into_iter().find(|held| held.epoch == halt.epoch);
        halted.and_then(|held| held.stop).ok_or_else(|| "no stop".to_owned())
    };
    let told = stop().await.expect("risk tells");
    assert_eq!(
        told.state(),
        StopState::Running,
        "nothing of it is in the journal: {told:?}"
    );
    limit_files(&cluster, Service::ExchangeGateway, "unlimited").await;
    until_ok("it is confirmed", Duration::from_secs(20), async || {
        let told = stop().await?;
        if told.state() == StopState::Done {
            Ok(())
        } else {
            Err(format!("{told:?}"))
        }
    })
    .await;
}
