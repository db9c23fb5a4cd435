//! An environment does what the README says, and keeps what it knows.

use std::path::Path;
use std::time::Duration;

use thunes_proto::gateway::v1::OrderState;
use thunes_proto::risk::v1::FenceOutcome;
use thunes_proto::types::v1::Side;
use thunes_testkit::{Calls, book_net, buy, ledger_net, python_with, until_ok};
use tokio::process::Command;

use crate::docker::finish;
use crate::environment::{Compose, SERVICES, Turn};

const READY_WITHIN: Duration = Duration::from_secs(30);

/// Healthy says that a service answers; a gateway that has just started opens nothing for some seconds yet.
pub async fn wait_open(calls: &Calls) {
    until_ok("the gateway opens positions", READY_WITHIN, async || {
        let status = calls.gateway_status().await.map_err(|status| status.to_string())?;
        if status.opening_allowed {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_up_everything_is_healthy_and_the_calls_of_the_readme_work_from_the_host() {
    let Some(turn) = Turn::wait().await else { return };
    let compose = Compose::up(&turn).await;
    let running: Vec<String> = compose.containers().await.into_keys().collect();
    assert_eq!(running, SERVICES, "nothing is missing");

    let calls = compose.calls();
    wait_open(&calls).await;
    let activated = calls
        .activate("DRILL: Manual activation test", "")
        .await
        .expect("answered");
    assert!(
        activated.active && activated.durable && activated.changed,
        "{activated:?}"
    );
    assert_eq!(activated.gateways.len(), 1);
    assert_eq!(activated.gateways[0].outcome(), FenceOutcome::Confirmed);
    let denied = calls.validate("BTCUSDT", "100", Side::Buy).await.expect("answered");
    assert_eq!(
        (denied.valid, denied.reason_code.as_str()),
        (false, "KILL_SWITCH_ACTIVE")
    );
    let allowed = calls.validate("BTCUSDT", "100", Side::Sell).await.expect("answered");
    assert!(allowed.valid, "{allowed:?}");
    let deactivated = calls
        .deactivate("DRILL: Manual deactivation test", "")
        .await
        .expect("answered");
    assert!(!deactivated.active && deactivated.changed, "{deactivated:?}");
    wait_open(&calls).await;
    let order = calls.order_now(buy("readme-1", "BTCUSDT", "100")).await;
    assert_eq!(order.state(), OrderState::Filled, "{order:?}");
    assert!(
        compose.sim().ledger().await.order("readme-1").is_some(),
        "the exchange has it"
    );
    until_ok("both alerts have gone out", READY_WITHIN, async || {
        let alerts = calls
            .risk_status()
            .await
            .map_err(|s| s.to_string())?
            .alerts
            .unwrap_or_default();
        if alerts.delivered >= 2 {
            Ok(())
        } else {
            Err(format!("{alerts:?}"))
        }
    })
    .await;
    reflect(&compose).await;
}

/// A client that knows none of our files finds every server through its published port.
async fn reflect(compose: &Compose) {
    let install = "pip install grpcio grpcio-reflection grpcio-status";
    let Some(python) = python_with("grpc, grpc_reflection, grpc_status", install).await else {
        return;
    };
    let servers = [
        ("thunes.risk.v1.RiskService", "THUNES_RISK_PORT"),
        ("thunes.position.v1.PositionService", "THUNES_POSITION_PORT"),
        ("thunes.audit.v1.AuditService", "THUNES_AUDIT_PORT"),
        ("thunes.gateway.v1.GatewayService", "THUNES_GATEWAY_PORT"),
        ("thunes.drill.v1.DrillService", "THUNES_DRILL_PORT"),
    ];
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients/grpc_reflection_client.py");
    let mut client = Command::new(python);
    client
        .arg(script)
        .args(servers.map(|(name, variable)| format!("{name}={}", compose.address(variable))))
        .env("NO_PROXY", "127.0.0.1");
    let said = finish(client, Duration::from_secs(60)).await;
    assert!(
        said.exit == Some(0) && said.out.trim_end().ends_with("ok"),
        "{}{}",
        said.out,
        said.err
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_removing_and_starting_again_keeps_the_switch_the_book_and_the_trail() {
    let Some(turn) = Turn::wait().await else { return };
    let compose = Compose::up(&turn).await;
    let calls = compose.calls();
    wait_open(&calls).await;
    let order = calls.order_now(buy("kept-1", "BTCUSDT", "100")).await;
    assert_eq!(order.state(), OrderState::Filled, "{order:?}");
    calls.activate("kept over a restart", "").await.expect("answered");
    let held = until_ok("the book holds it", READY_WITHIN, async || {
        let positions = calls.positions().await.map_err(|s| s.to_string())?.positions;
        positions
            .first()
            .map(|p| p.quantity.clone())
            .ok_or("nothing".to_owned())
    })
    .await;

    // `down` without --volumes takes the containers and the networks away; the volumes stay.
    for round in [["stop"].as_slice(), &["down"]] {
        compose.run(round).await.assert_exit(0);
        compose.run(&["up", "-d"]).await.assert_exit(0);
        compose.wait_healthy().await;
        let status = calls.risk_status().await.expect("risk answers");
        assert!(status.kill_switch_active, "after {round:?}: {status:?}");
        let denied = until_ok("the gateway answers", READY_WITHIN, async || {
            calls
                .submit(buy("denied-1", "BTCUSDT", "100"))
                .await
                .map_err(|s| s.to_string())
        })
        .await;
        assert!(!denied.accepted, "after {round:?}: {denied:?}");
        let positions = calls.positions().await.expect("position answers").positions;
        assert_eq!(positions.len(), 1, "after {round:?}");
        assert_eq!(positions[0].quantity, held, "after {round:?}");
        let ledger = compose.sim().ledger().await;
        ledger.assert_no_order_twice();
        assert_eq!(
            book_net(&calls).await.expect("position answers"),
            ledger_net(&ledger),
            "after {round:?}"
        );
    }
    assert!(
        compose.sim().ledger().await.order("denied-1").is_none(),
        "the switch held"
    );
}
