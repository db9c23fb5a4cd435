//! What `thunes measure` says: the cost of tracing as a ratio within one run, and the parts of an order.

use std::path::Path;

use thunes_testkit::thunes;

use crate::THUNES;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tracing_is_measured_against_the_same_run_without_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["--json", "measure", "--tracing", "--orders", "30", "--callers", "2"];
    let said = thunes(Path::new(THUNES), folder.path(), &arguments).await;
    let cost = said.assert_exit(0).json();
    assert!(cost["spans_received"].as_u64().expect("counted") > 100, "{cost}");
    for compared in cost["compared"].as_array().expect("two rounds") {
        for key in ["throughput_ratio", "p50_ratio", "p99_ratio"] {
            assert!(compared[key].as_f64().is_some_and(|ratio| ratio > 0.0), "{key}: {cost}");
        }
        assert_eq!(
            compared["with"]["round_trip"]["count"],
            compared["without"]["round_trip"]["count"]
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_measured_whole_and_in_its_parts() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = [
        "--json",
        "measure",
        "--orders",
        "20",
        "--callers",
        "4",
        "--activations",
        "2",
    ];
    let said = thunes(Path::new(THUNES), folder.path(), &arguments).await;
    let measured = said.assert_exit(0).json();
    for round in measured["orders"].as_array().expect("two rounds") {
        let orders = round["round_trip"]["count"].as_u64().expect("counted");
        for stage in ["authorize", "intent", "exchange", "answer"] {
            let part = &round["parts"]["stages_of_an_order"][stage];
            assert_eq!(part["count"].as_u64(), Some(orders), "{stage}: {measured}");
            assert!(part["mean_us"].as_u64().is_some_and(|us| us > 0), "{stage}: {measured}");
        }
        let called = round["parts"]["calls"]["risk AuthorizeOrder"]["count"].as_u64();
        assert_eq!(called, Some(orders), "{measured}");
        let shares = round["parts"]["processor_share_bps"].as_object().expect("by service");
        let all: u64 = shares.values().filter_map(serde_json::Value::as_u64).sum();
        assert!((9_990..=10_000).contains(&all), "{measured}");
    }
    assert_eq!(measured["activation_until_fenced"]["count"].as_u64(), Some(2));
}
