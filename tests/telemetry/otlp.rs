//! Export over OTLP: one trace from the command line to the trail, and a collector that is not there or hangs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use thunes_supervisor::embedded::Service;
use thunes_testkit::{Cluster, Seed, buy, until_ok};

use crate::THUNES;
use crate::collector::{Collector, Receiver, exporting, free_port, python};

const ARRIVES_WITHIN: Duration = Duration::from_secs(20);
/// Far above what an order takes here, far below what an exporter that hangs takes.
const ORDER_WITHIN: Duration = Duration::from_secs(2);

/// A settings file for commands.
fn settings(cluster: &Cluster, url: &str) -> String {
    let file = cluster.scratch("telemetry.toml");
    std::fs::write(&file, format!("[telemetry]\notlp_endpoint = \"{url}\"\n")).expect("written");
    file.to_str().expect("text").to_owned()
}

fn text<'a>(span: &'a Value, key: &str) -> &'a str {
    span[key].as_str().unwrap_or_default()
}

fn find<'a>(spans: &'a [Value], service: &str, name: &str, kind: i64) -> Result<&'a Value, String> {
    let found = spans
        .iter()
        .find(|span| span["service"] == service && span["name"] == name && span["span_kind"] == kind);
    let shown = || {
        spans
            .iter()
            .map(|span| format!("{} {}", span["service"], span["name"]))
            .collect::<Vec<_>>()
    };
    found.ok_or_else(|| format!("no span {name:?} of {service} in {:?}", shown()))
}

const INTERNAL: i64 = 1;
const SERVER: i64 = 2;
const CLIENT: i64 = 3;
const SUBMIT: &str = "thunes.gateway.v1.GatewayService/SubmitOrder";
const AUTHORIZE: &str = "thunes.risk.v1.RiskService/AuthorizeOrder";
const RECORD: &str = "thunes.position.v1.PositionService/RecordFills";

/// The links from each span to the one that it must hang on.
fn assert_links(trace: &[Value]) -> Result<(), String> {
    let command = find(trace, "thunes-cli", "thunes trade", INTERNAL)?;
    let asked = find(trace, "thunes-cli", SUBMIT, CLIENT)?;
    let served = find(trace, "exchange-gateway", SUBMIT, SERVER)?;
    let authorize = find(trace, "exchange-gateway", AUTHORIZE, CLIENT)?;
    let authorized = find(trace, "risk", AUTHORIZE, SERVER)?;
    let exchange = find(trace, "exchange-gateway", "POST /api/v3/order", CLIENT)?;
    let deliver = find(trace, "exchange-gateway", "fills.deliver", INTERNAL)?;
    let record = find(trace, "exchange-gateway", RECORD, CLIENT)?;
    let recorded = find(trace, "position", RECORD, SERVER)?;
    let fill = find(trace, "position", "fill.record", INTERNAL)?;
    for (child, parent) in [
        (asked, command),
        (served, asked),
        (authorize, served),
        (authorized, authorize),
        (exchange, served),
        (deliver, served),
        (record, deliver),
        (recorded, record),
        (fill, served),
    ] {
        if child["parent_span_id"] != parent["span_id"] {
            return Err(format!("{child} does not hang on {parent}"));
        }
    }
    let mut appended: BTreeMap<&str, &str> = BTreeMap::new();
    for append in trace.iter().filter(|span| span["name"] == "audit.append") {
        appended.insert(
            text(&append["attributes"], "event_type"),
            text(append, "parent_span_id"),
        );
    }
    // The exchange's stream may tell of the fill before the answer does: then it is heard on the side of the submission.
    let heard = trace
        .iter()
        .filter(|span| span["name"] == "order.heard" && span["parent_span_id"] == served["span_id"])
        .map(|span| text(span, "span_id"));
    let submission: Vec<&str> = heard.chain([text(served, "span_id")]).collect();
    for (event, parents) in [
        ("ORDER_INTENT", vec![text(served, "span_id")]),
        ("ORDER_FILLED", submission),
        ("FILL_RECORDED", vec![text(fill, "span_id")]),
    ] {
        let parent = appended.get(event).copied().unwrap_or_default();
        if !parents.contains(&parent) {
            return Err(format!(
                "{event} hangs on {parent:?}, not on one of {parents:?}: {appended:?}"
            ));
        }
    }
    assert!(command["parent_span_id"] == "", "the command is the root");
    assert_eq!(exchange["attributes"]["http.request.method"], "POST");
    assert_eq!(exchange["attributes"]["url.path"], "/api/v3/order");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_one_trace_from_the_command_line_to_the_trail_as_a_collector_sees_it() {
    let Some(python) = python().await else { return };
    let seed = Seed::of("an_order_is_one_trace_from_the_command_line_to_the_trail_as_a_collector_sees_it");
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start(&python, &folder.path().join("received.jsonl"), false).await;
    let collector = Collector::start(&python, &receiver.url).await;
    let cluster = Cluster::start_with(THUNES, seed.number, |plan| exporting(plan, &collector.url)).await;

    let file = settings(&cluster, &collector.url);
    let order = ["--symbol", "BTCUSDT", "--side", "BUY", "--amount", "100"];
    let said = cluster
        .thunes(&[&["--config", &file, "--json", "trade"], &order[..]].concat())
        .await;
    said.assert_exit(0);
    let trace_id = said.json()["order"]["trace_id"]
        .as_str()
        .expect("a trace id")
        .to_owned();

    until_ok("the whole trace has arrived", ARRIVES_WITHIN, async || {
        let spans = receiver.of_kind("span");
        let trace: Vec<Value> = spans
            .into_iter()
            .filter(|span| span["trace_id"] == trace_id.as_str())
            .collect();
        assert_links(&trace)
    })
    .await;
    let everything = receiver.received();
    let leaked = ["signature", cluster_secret(), "X-MBX-APIKEY"];
    for one in &everything {
        let one = one.to_string();
        assert!(
            leaked.iter().all(|secret| !one.contains(secret)),
            "a secret left: {one}"
        );
    }
    metrics_and_logs_arrive(&receiver, &cluster).await;
    let resource = &receiver.of_kind("span")[0]["resource"];
    assert_eq!(resource["service.namespace"], "thunes");
    for key in ["service.name", "service.version", "service.instance.id"] {
        assert!(!text(resource, key).is_empty(), "{key}: {resource}");
    }
}

fn cluster_secret() -> &'static str {
    thunes_supervisor::embedded::SIM_API_SECRET
}

async fn metrics_and_logs_arrive(receiver: &Receiver, cluster: &Cluster) {
    cluster.calls.activate("to be logged", "").await.expect("answered");
    until_ok("metrics and logs have arrived", ARRIVES_WITHIN, async || {
        let metrics = receiver.of_kind("metric");
        let has = |service: &str, name: &str, value: f64| {
            let found = metrics
                .iter()
                .any(|m| m["service"] == service && m["name"] == name && m["value"].as_f64() == Some(value));
            if found {
                Ok(())
            } else {
                Err(format!("no {name} = {value} of {service}"))
            }
        };
        has("risk", "thunes_kill_switch_active", 1.0)?;
        has("position", "thunes_positions_open", 1.0)?;
        has("exchange-gateway", "thunes_orders_in_doubt", 0.0)?;
        let counted = metrics.iter().find(|m| {
            m["name"] == "thunes_rpc_requests_total"
                && m["attributes"]["rpc_method"] == "SubmitOrder"
                && m["attributes"]["code"] == "OK"
        });
        counted.ok_or("no count of SubmitOrder")?;
        let logs = receiver.of_kind("log");
        let said = logs
            .iter()
            .find(|log| text(log, "body").contains("KILL SWITCH ACTIVATED"));
        let said = said.ok_or_else(|| format!("no log of the activation among {}", logs.len()))?;
        assert_eq!(
            (text(said, "service"), text(said, "trace_id").len()),
            ("risk", 32),
            "{said}"
        );
        Ok(())
    })
    .await;
    // Whatever the exporter itself does must not be exported: that would never end.
    let foreign = |log: &Value| !text(log, "target").starts_with("thunes");
    assert!(!receiver.of_kind("log").iter().any(foreign), "only our own logs leave");
}

/// Trades, and returns how long the slowest order took.
async fn slowest_of(cluster: &Cluster, orders: usize) -> Duration {
    let mut slowest = Duration::ZERO;
    for number in 0..orders {
        let begun = Instant::now();
        let answer = cluster
            .calls
            .submit(buy(&format!("slow-{number}"), "BTCUSDT", "20"))
            .await;
        slowest = slowest.max(begun.elapsed());
        assert!(answer.expect("answered").accepted);
    }
    slowest
}

fn lines_about_telemetry(cluster: &Cluster, service: Service) -> Vec<String> {
    let log = std::fs::read_to_string(cluster.env.log_file(service)).expect("a log");
    let about = |line: &&str| {
        let line = line.to_lowercase();
        ["collector", "otlp", "opentelemetry", "export", "telemetry"]
            .iter()
            .any(|word| line.contains(word))
    };
    log.lines().filter(about).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_hangs_or_is_away_delays_no_order_and_is_told_once() {
    let Some(python) = python().await else { return };
    let seed = Seed::of("a_collector_that_hangs_or_is_away_delays_no_order_and_is_told_once");
    let folder = tempfile::tempdir().expect("a folder");
    let hanging = Receiver::start(&python, &folder.path().join("received.jsonl"), true).await;
    let away = format!("http://127.0.0.1:{}", free_port());
    for url in [hanging.url.as_str(), away.as_str()] {
        let cluster = Cluster::start_with(THUNES, seed.number, |plan| exporting(plan, url)).await;
        let slowest = slowest_of(&cluster, 50).await;
        assert!(slowest < ORDER_WITHIN, "{url}: an order took {slowest:?}");
        let warned = async || {
            let lines = lines_about_telemetry(&cluster, Service::ExchangeGateway);
            let warnings = lines.iter().filter(|line| line.contains("\"WARN\"")).count();
            if warnings == 1 {
                Ok(())
            } else {
                Err(format!("{lines:?}"))
            }
        };
        until_ok("the failure is told", ARRIVES_WITHIN, warned).await;
        // Several exports later it is still told once.
        slowest_of_more(&cluster).await;
        warned().await.expect("told once");
        let file = settings(&cluster, url);
        let begun = Instant::now();
        let said = cluster.thunes(&["--config", &file, "--json", "positions"]).await;
        said.assert_exit(0).json();
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "a command waited {:?}",
            begun.elapsed()
        );
        assert_eq!(said.err, "", "a command says nothing of its telemetry");
        let begun = Instant::now();
        for (service, exit) in cluster.env.stop_all().await {
            assert!(exit.is_success(), "{service} ended with {exit}");
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "the end took {:?}",
            begun.elapsed()
        );
    }
}

async fn slowest_of_more(cluster: &Cluster) {
    for number in 0..20 {
        let order = buy(&format!("more-{number}"), "BTCUSDT", "20");
        assert!(cluster.calls.submit(order).await.expect("answered").accepted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_comes_back_is_told_once_and_gets_what_comes_then() {
    let Some(python) = python().await else { return };
    let seed = Seed::of("a_collector_that_comes_back_is_told_once_and_gets_what_comes_then");
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let cluster = Cluster::start_with(THUNES, seed.number, |plan| exporting(plan, &url)).await;
    until_ok("the failure is told", ARRIVES_WITHIN, async || {
        let lines = lines_about_telemetry(&cluster, Service::Risk);
        if lines.len() == 1 {
            Ok(())
        } else {
            Err(format!("{lines:?}"))
        }
    })
    .await;
    let receiver = Receiver::start(&python, &folder.path().join("received.jsonl"), false).await;
    let onward = receiver.url.clone();
    let proxy = tokio::spawn(forward(port, onward));
    until_ok("it is told that the collector is back", ARRIVES_WITHIN, async || {
        let lines = lines_about_telemetry(&cluster, Service::Risk);
        let back = lines
            .iter()
            .filter(|line| line.contains("takes telemetry again"))
            .count();
        let metrics = receiver
            .of_kind("metric")
            .iter()
            .filter(|m| m["service"] == "risk")
            .count();
        if back == 1 && metrics > 0 && lines.len() == 2 {
            Ok(())
        } else {
            Err(format!("{metrics} metrics; {lines:?}"))
        }
    })
    .await;
    proxy.abort();
}

/// Passes every connection to `port` on to the address in `url`.
async fn forward(port: u16, url: String) {
    let to = url.strip_prefix("http://").expect("plain").to_owned();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .expect("still free");
    loop {
        let (mut from, _) = listener.accept().await.expect("accepted");
        let to = to.clone();
        tokio::spawn(async move {
            if let Ok(mut onward) = tokio::net::TcpStream::connect(to).await {
                let _ = tokio::io::copy_bidirectional(&mut from, &mut onward).await;
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_collector_nothing_is_said_of_one_and_no_exporter_runs() {
    let seed = Seed::of("without_a_collector_nothing_is_said_of_one_and_no_exporter_runs");
    let cluster = Cluster::start_with(THUNES, seed.number, |plan| {
        let services = plan.services();
        services.into_iter().fold(plan, |plan, service| {
            plan.setting(service, "telemetry.otlp_endpoint", "")
        })
    })
    .await;
    slowest_of(&cluster, 5).await;
    for service in cluster.env.services() {
        assert_eq!(
            lines_about_telemetry(&cluster, service),
            Vec::<String>::new(),
            "{service}"
        );
        let pid = cluster.target(service).pid().expect("it runs");
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("readable");
        for thread in threads {
            let name = std::fs::read_to_string(thread.expect("readable").path().join("comm")).unwrap_or_default();
            let exporter = name.to_lowercase().contains("opentelemetry") || name.to_lowercase().contains("otel");
            assert!(!exporter, "{service} has a thread {name:?}");
        }
    }
    let log = std::fs::read_to_string(cluster.env.log_file(Service::Risk)).expect("a log");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        for key in ["timestamp", "level", "target", "message", "service"] {
            assert!(line[key].is_string(), "{key}: {line}");
        }
    }
}
