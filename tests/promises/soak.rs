//! `thunes soak`: a short one, and one that must find something.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use thunes_testkit::Seed;

use crate::THUNES;

async fn soak(args: &[&str]) -> (Option<i32>, Value, String) {
    let output = Command::new(THUNES)
        .arg("soak")
        .args(args)
        .arg("--json")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {errors}"));
    (output.status.code(), report, errors)
}

#[tokio::test]
async fn p4_p5_p7_a_short_soak_finds_nothing_and_leaves_no_folder() {
    let seed = Seed::of("p4_p5_p7_a_short_soak_finds_nothing_and_leaves_no_folder")
        .number
        .to_string();
    let (exit, report, errors) = soak(&["--seed", &seed, "--kills", "15"]).await;
    assert_eq!(exit, Some(0), "{report:#}\n{errors}");
    assert!(report["kills"].as_u64() >= Some(15), "{report:#}");
    for count in [
        "missing",
        "phantom",
        "doubled",
        "positions_wrong",
        "in_doubt_open",
        "fence_violations",
        "audit_missing",
        "audit_doubled",
        "audit_broken",
    ] {
        assert_eq!(report[count], 0, "{count}: {report:#}");
    }
    assert_eq!(report["seed"].to_string(), seed);
    assert!(
        report["orders_sent"].as_u64() > Some(0) && report["fills"].as_u64() > Some(0),
        "{report:#}"
    );
    assert!(report["kept_folder"].is_null(), "{report:#}");
    let left = std::fs::read_dir(std::env::temp_dir()).expect("the temporary folder");
    let ours = format!("thunes-soak-{seed}-");
    let left = left.filter(|entry| {
        entry
            .as_ref()
            .is_ok_and(|e| e.file_name().to_string_lossy().starts_with(&ours))
    });
    assert_eq!(left.count(), 0, "the folder of a clean soak goes");
}
