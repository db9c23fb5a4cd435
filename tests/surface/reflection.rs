//! The gRPC surface as clients find it that know none of our files.

use std::path::Path;
use std::time::Duration;

use thunes_proto::risk::v1::WatchRiskStatusRequest;
use thunes_supervisor::embedded::{Plan, Service};
use thunes_testkit::{Cluster, Seed, python_with};
use tokio::process::Command;

use crate::THUNES;

const SERVERS: [(Service, &str); 5] = [
    (Service::Risk, "thunes.risk.v1.RiskService"),
    (Service::Position, "thunes.position.v1.PositionService"),
    (Service::Audit, "thunes.audit.v1.AuditService"),
    (Service::ExchangeGateway, "thunes.gateway.v1.GatewayService"),
    (Service::DrillOrchestrator, "thunes.drill.v1.DrillService"),
];

fn with_orchestrator(plan: Plan) -> Plan {
    Plan {
        drill_orchestrator: true,
        ..plan
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_we_did_not_write_finds_everything_through_reflection() {
    let install = "pip install grpcio grpcio-reflection grpcio-status";
    let Some(python) = python_with("grpc, grpc_reflection, grpc_status", install).await else {
        return;
    };
    let seed = Seed::of("a_client_that_we_did_not_write_finds_everything_through_reflection");
    let cluster = Cluster::start_with(THUNES, seed.number, with_orchestrator).await;
    let servers = SERVERS.map(|(service, name)| {
        let url = cluster.env.url(service);
        format!("{name}={}", url.strip_prefix("http://").expect("plain HTTP"))
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients/grpc_reflection_client.py");
    let run = Command::new(&python)
        .arg(script)
        .args(servers)
        .env("NO_PROXY", "127.0.0.1")
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(60), run)
        .await
        .expect("it ends")
        .expect("python runs");
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success() && out.trim_end().ends_with("ok"),
        "{out}\n{err}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watching_begins_with_a_snapshot_and_goes_on_with_changes_and_heartbeats() {
    let seed = Seed::of("watching_begins_with_a_snapshot_and_goes_on_with_changes_and_heartbeats");
    let cluster = Cluster::start(THUNES, seed.number).await;
    let mut stream = cluster
        .calls
        .risk
        .clone()
        .watch_risk_status(WatchRiskStatusRequest {})
        .await
        .expect("answered")
        .into_inner();
    let mut next = async || {
        let message = tokio::time::timeout(Duration::from_secs(5), stream.message())
            .await
            .expect("something comes");
        message.expect("no error").expect("it does not end")
    };
    let snapshot = next().await;
    assert!(!snapshot.heartbeat && !snapshot.status.expect("a snapshot").kill_switch_active);
    cluster.calls.activate("for the watchers", "").await.expect("answered");
    let mut revision = snapshot.revision;
    loop {
        let message = next().await;
        assert!(message.revision >= revision, "revisions only grow");
        revision = message.revision;
        if message.status.is_some_and(|status| status.kill_switch_active) {
            break;
        }
    }
}
