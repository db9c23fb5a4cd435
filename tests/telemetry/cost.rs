//! The cost of tracing is measured as a ratio within one run.

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
