//! What a place does, in a process of its own.
#![cfg(debug_assertions)]

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};

use thunes_failpoint::{Action, FAILPOINTS_ENV, HITS_DIR_ENV, HITS_FILE, pass};

/// Runs the test `child` below as a process with these failpoints.
fn run(plan: &str, hits: &Path) -> ExitStatus {
    Command::new(std::env::current_exe().expect("this test's file"))
        .args(["--exact", "child", "--ignored", "--test-threads=1"])
        .env(FAILPOINTS_ENV, plan)
        .env(HITS_DIR_ENV, hits)
        .status()
        .expect("it runs")
}

#[test]
#[ignore = "is run as a process by the other tests"]
fn child() {
    for _ in 0..3 {
        if pass("first") == Action::Break {
            std::process::exit(7);
        }
        pass("second");
    }
    std::process::exit(9);
}

#[test]
fn a_hit_is_written_before_the_process_dies_of_it() {
    for (plan, signal, code, wanted) in [
        ("first=kill@2", Some(9), None, Some("first kill")),
        ("second=kill@3;first=kill@9", Some(9), None, Some("second kill")),
        ("first=break@3", None, Some(7), Some("first break")),
        ("other=kill", None, Some(9), None),
    ] {
        let folder = tempfile::tempdir().expect("folder");
        let status = run(plan, folder.path());
        assert_eq!((status.signal(), status.code()), (signal, code), "{plan}");
        let text = std::fs::read_to_string(folder.path().join(HITS_FILE)).unwrap_or_default();
        let hits: Vec<&str> = text
            .lines()
            .map(|line| line.rsplit_once(' ').expect("place, action, process").0)
            .collect();
        assert_eq!(hits, wanted.into_iter().collect::<Vec<_>>(), "{plan}");
    }
}
