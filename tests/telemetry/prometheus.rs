//! Prometheus, as Debian ships it, scrapes a cluster.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use thunes_supervisor::embedded::Service;
use thunes_testkit::{Cluster, Seed, buy, http_get, program_for, until_ok};
use tokio::process::Command;

use crate::THUNES;
use crate::collector::free_port;
use crate::shipped::busy;

const WITHIN: Duration = Duration::from_secs(30);
const INSTALL: &str = "apt-get install prometheus";

/// The value of an instant query that has one series.
async fn ask(port: u16, query: &str) -> Result<f64, String> {
    let answer = http_get(&format!(
        "http://127.0.0.1:{port}/api/v1/query?query={}",
        encoded(query)
    ))
    .await?;
    let answer: Value = serde_json::from_str(&answer).map_err(|e| format!("{e}: {answer}"))?;
    let value = answer["data"]["result"][0]["value"][1].as_str();
    let value = value.ok_or_else(|| format!("{query}: {answer}"))?;
    value.parse().map_err(|e| format!("{query}: {value}: {e}"))
}

fn encoded(query: &str) -> String {
    query.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_scrapes_every_service_and_shows_what_is_the_case() {
    if !program_for("prometheus", "prometheus", INSTALL).await {
        return;
    }
    let seed = Seed::of("prometheus_scrapes_every_service_and_shows_what_is_the_case");
    let cluster = Cluster::start(THUNES, seed.number).await;
    busy(&cluster).await;
    let services = [
        Service::Risk,
        Service::Position,
        Service::Audit,
        Service::ExchangeGateway,
    ];
    let mut targets: Vec<String> = services.iter().map(|service| cluster.env.url(*service)).collect();
    targets.extend([cluster.env.admin_url(), cluster.env.url(Service::TelegramStandin)]);
    let listed: String = targets
        .iter()
        .map(|url| format!("'{}',", url.trim_start_matches("http://")))
        .collect();
    let config = format!(
        "global: {{scrape_interval: 500ms}}\nscrape_configs:\n  - job_name: thunes\n    static_configs:\n      - targets: [{listed}]\n"
    );
    let file = cluster.scratch("prometheus.yml");
    std::fs::write(&file, config).expect("written");
    let port = free_port();
    let _prometheus = Command::new("prometheus")
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", cluster.scratch("tsdb").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("prometheus runs");
    let is = async |query: &str, expected: f64| {
        until_ok(query, WITHIN, async || {
            let found = ask(port, query).await?;
            if (found - expected).abs() < 1e-9 {
                Ok(())
            } else {
                Err(format!("{query} is {found}"))
            }
        })
        .await;
    };
    is("sum(up{job=\"thunes\"})", 6.0).await;
    is("thunes_kill_switch_active", 0.0).await;
    is("thunes_leases", 1.0).await;
    is("thunes_opening_allowed", 1.0).await;
    is("thunes_orders_in_doubt", 0.0).await;
    is("thunes_positions_open", 1.0).await;
    is("thunes_reconciliation_discrepancies", 0.0).await;
    is("sum(thunes_outbox_depth)", 0.0).await;
    is("count(thunes_outbox_oldest_age_seconds)", 3.0).await;
    let submitted = "sum(thunes_rpc_requests_total{rpc_method=\"SubmitOrder\",code=\"OK\"})";
    is(submitted, 1.0).await;
    is(
        "sum(thunes_rpc_duration_seconds_count{rpc_method=\"SubmitOrder\"})",
        1.0,
    )
    .await;
    is(
        "count(thunes_rpc_duration_seconds_bucket{rpc_method=\"SubmitOrder\",le=\"0.0001\"})",
        1.0,
    )
    .await;

    cluster.calls.activate("for the chart", "").await.expect("answered");
    is("thunes_kill_switch_active", 1.0).await;
    is("thunes_opening_allowed", 0.0).await;
    let denied = cluster
        .calls
        .submit(buy("denied-1", "BTCUSDT", "100"))
        .await
        .expect("answered");
    assert!(!denied.accepted);
    is(submitted, 2.0).await;
    let last = cluster.trail().lines.last().expect("lines").seq;
    until_ok("the trail's end shows", WITHIN, async || {
        let seq = ask(port, "thunes_audit_last_seq").await?;
        if seq >= last as f64 {
            Ok(())
        } else {
            Err(format!("{seq} of {last}"))
        }
    })
    .await;
    // An audit that is away shows in the outboxes' age, and itself as down.
    cluster.kill(Service::Audit).await;
    cluster.calls.deactivate("for the chart", "").await.expect("answered");
    is("sum(up{job=\"thunes\"})", 5.0).await;
    until_ok("the outbox shows what waits", WITHIN, async || {
        let age = ask(port, "thunes_outbox_oldest_age_seconds{service=\"risk\"}").await?;
        let depth = ask(port, "thunes_outbox_depth{service=\"risk\"}").await?;
        if age > 1.0 && depth >= 1.0 {
            Ok(())
        } else {
            Err(format!("{depth} events, {age} s"))
        }
    })
    .await;
}

#[tokio::test]
async fn promtool_accepts_the_shipped_rules_and_configuration() {
    if !program_for("prometheus", "promtool", INSTALL).await {
        return;
    }
    for (what, file) in [("rules", "alerts.yml"), ("config", "prometheus.yml")] {
        let output = Command::new("promtool")
            .args(["check", what, "--lint=all", "--lint-fatal"])
            .arg(crate::shipped_folder().join(file))
            .output()
            .await
            .expect("promtool runs");
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&said));
    }
}
