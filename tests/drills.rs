//! The whole drill over real processes: it passes on a healthy system, fails by name on a damaged one, says when it was
//! cut off, and leaves nothing behind.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A drill loads the machine and measures times: one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

struct Place {
    folder: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Place {
    fn new() -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            _turn: turn,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `thunes ARGS` in this place: its journal, its environments and its reports stay in here.
    fn thunes(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_thunes"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("THUNES_")) {
            command.env_remove(name);
        }
        std::fs::create_dir_all(self.path("tmp")).expect("folder");
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("TMPDIR", self.path("tmp"));
        command
    }

    fn run(&self, args: &[&str], failpoints: &str) -> Output {
        let output = self
            .thunes(args)
            .env("THUNES_DRILL_FAILPOINTS", failpoints)
            .output()
            .expect("thunes runs");
        println!(
            "{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    fn report(&self, folder: &str) -> Value {
        let path = self.path(folder).join("report.json");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{} is not there: {e}", path.display()));
        serde_json::from_str(&text).expect("report.json is JSON")
    }

    /// Processes that were started in here and still run.
    fn processes(&self) -> Vec<String> {
        let wanted = self.folder.path().to_string_lossy().into_owned();
        let entries = std::fs::read_dir("/proc").expect("proc").flatten();
        let ours = entries.filter_map(|entry| {
            let environment = std::fs::read(entry.path().join("environ")).ok()?;
            let command = std::fs::read(entry.path().join("cmdline")).ok()?;
            let ours = String::from_utf8_lossy(&environment).contains(&wanted) && !command.is_empty();
            ours.then(|| String::from_utf8_lossy(&command).replace('\0', " "))
        });
        ours.collect()
    }

    fn nothing_runs(&self) {
        let begun = Instant::now();
        while !self.processes().is_empty() {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "still running: {:#?}",
                self.processes()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn criteria(report: &Value) -> Vec<(String, String, Value)> {
    let drills = report["drills"].as_array().expect("drills");
    let all = drills
        .iter()
        .flat_map(|drill| drill["criteria"].as_array().expect("criteria"));
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    all.map(|criterion| {
        (
            text(&criterion["id"]),
            text(&criterion["verdict"]),
            criterion["measured"].clone(),
        )
    })
    .collect()
}

fn verdict_of<'a>(all: &'a [(String, String, Value)], id: &str) -> &'a str {
    &all.iter()
        .find(|(known, _, _)| known == id)
        .unwrap_or_else(|| panic!("{id} is not in the report"))
        .1
}

/// Every criterion that the paper form asks for, by its own id.
const OF_THE_FORM: &[&str] = &[
    "t1.kill_switch_activated",
    "t1.alert_within_5s",
    "t1.buy_denied",
    "t1.sell_allowed",
    "t1.audit_logged",
    "t2.deactivated",
    "t2.runbook_followed",
    "t2.trading_enabled",
    "t2.audit_logged",
    "t2.no_deviation",
    "t2.under_5_minutes",
    "t3.restarted",
    "t3.positions_recovered",
    "t3.audit_intact",
    "t3.no_data_loss",
    "t3.clean_logs",
    "t4.positions_match",
    "t4.explained",
    "t4.process_documented",
    "t4.script_exists",
];

#[test]
fn p11_the_whole_drill_passes_on_a_healthy_system_and_every_verdict_was_measured() {
    let place = Place::new();
    let output = place.run(&["drill", "run", "--out", "report", "--seed", "11"], "");
    let report = place.report("report");
    let all = criteria(&report);
    let open: Vec<_> = all.iter().filter(|(_, verdict, _)| verdict != "PASS").collect();
    assert_eq!(report["verdict"], "PASS", "not passed: {open:#?}");
    assert_eq!(output.status.code(), Some(0));
    assert!(all.iter().all(|(_, _, measured)| !measured.is_null()), "{all:#?}");
    for id in OF_THE_FORM {
        assert_eq!(verdict_of(&all, id), "PASS");
    }
    assert_eq!(report["environment"]["receiver"], "standin");
    assert_eq!(report["environment"]["seed"], 11);
    assert_eq!(
        report["reconciliation"]["discrepancies_found"],
        report["reconciliation"]["discrepancies_repaired"]
    );
    assert_eq!(report["rollback"]["outcome"], "DONE", "{:#}", report["rollback"]);
    let html = std::fs::read_to_string(place.path("report/report.html")).expect("report.html");
    let markdown = std::fs::read_to_string(place.path("report/report.md")).expect("report.md");
    for id in OF_THE_FORM {
        assert!(
            html.contains(id) && markdown.contains(id),
            "{id} is not in the rendered reports"
        );
    }
    assert!(
        markdown.contains("- [x] Telegram alert received within 5 seconds"),
        "{markdown}"
    );
    place.nothing_runs();
    assert_eq!(
        std::fs::read_dir(place.path("tmp")).expect("tmp").count(),
        0,
        "the environment's folder is removed"
    );
}

/// Runs drills of the network on processes; each criterion must pass, on a fault that hit something.
fn network_drills_pass(ids: &[&str]) {
    let place = Place::new();
    let args = [&["drill", "run"], ids, &["--out", "report", "--seed", "5"]].concat();
    let output = place.run(&args, "");
    let report = place.report("report");
    let all = criteria(&report);
    let open: Vec<_> = all.iter().filter(|(_, verdict, _)| verdict != "PASS").collect();
    assert_eq!(report["verdict"], "PASS", "not passed: {open:#?}");
    assert_eq!(output.status.code(), Some(0));
    for id in ids {
        let id = format!("{}.fault_hit", id.to_lowercase());
        let (_, _, hits) = all.iter().find(|(known, _, _)| *known == id).expect("is measured");
        assert!(hits.as_i64() > Some(0), "{id}: {hits}");
    }
    place.nothing_runs();
}

#[test]
fn p1_p2_p4_p5_a_gateway_that_is_cut_off_opens_nothing_sends_nothing_twice_and_loses_no_fill() {
    network_drills_pass(&["T5", "T6", "T8"]);
}

#[test]
fn p7_audit_away_for_a_minute_and_an_alert_receiver_that_is_down_lose_nothing() {
    network_drills_pass(&["T7", "T9"]);
}

#[test]
fn every_step_has_a_trace_of_its_own_and_the_report_links_its_audit_events() {
    let place = Place::new();
    place.run(&["drill", "run", "T2", "--out", "report"], "");
    let report = place.report("report");
    let steps: Vec<&Value> = report["drills"][0]["steps"].as_array().expect("steps").iter().collect();
    let traces: std::collections::BTreeSet<&str> =
        steps.iter().map(|s| s["trace_id"].as_str().expect("text")).collect();
    assert!(traces.iter().all(|id| id.len() == 32), "{traces:?}");
    assert_eq!(traces.len(), steps.len(), "no two steps share a trace");
    let events_of = |name: &str| {
        let step = steps.iter().find(|step| step["name"] == name).expect("the step");
        let events = step["audit_events"].as_array().expect("events");
        events
            .iter()
            .map(|e| e["event_type"].as_str().expect("text").to_owned())
            .collect::<Vec<_>>()
    };
    let activation = events_of("Activate the kill-switch, as after test 1");
    assert!(
        activation.contains(&"KILL_SWITCH_ACTIVATED".to_owned()),
        "{activation:?}"
    );
    let buy = events_of("Trading is enabled");
    assert!(buy.contains(&"ORDER_INTENT".to_owned()), "{buy:?}");
    let html = std::fs::read_to_string(place.path("report/report.html")).expect("report.html");
    assert!(html.contains("Audit events ("), "the page shows them");
}

/// Runs one drill in an environment that was damaged on purpose; the named criterion must say so.
fn canary(drill: &str, failpoints: &str, broken: &str, healthy: &[&str]) {
    let place = Place::new();
    let output = place.run(&["drill", "run", drill, "--out", "report"], failpoints);
    let all = criteria(&place.report("report"));
    assert_eq!(verdict_of(&all, broken), "FAIL", "{all:#?}");
    assert_eq!(output.status.code(), Some(1), "a damaged system fails the run");
    for id in healthy {
        assert_eq!(verdict_of(&all, id), "PASS", "the damage is elsewhere: {all:#?}");
    }
    place.nothing_runs();
}

#[test]
fn p3_a_risk_that_forgets_the_switch_on_restart_fails_the_drill_by_name() {
    let healthy = [
        "t1.kill_switch_activated",
        "t1.buy_denied",
        "t1.sell_allowed",
        "t1.audit_logged",
    ];
    canary("T1", "risk:risk.restore.forget=break", "t1.survives_restart", &healthy);
}

#[test]
fn p5_a_position_that_loses_fills_fails_the_drill_by_name() {
    // A gateway that was killed does not open on a book that lacks fills: the kills after it strike nothing in flight.
    let healthy = ["t3.audit_intact", "t3.no_order_sent_twice", "t3.clean_logs"];
    canary(
        "crash-recovery",
        "position:position.record.lose_fill=break",
        "t3.positions_recovered",
        &healthy,
    );
}

#[test]
fn p6_an_audit_that_breaks_its_chain_fails_the_drill_by_name() {
    canary(
        "T3",
        "audit:audit.append.break_chain=break",
        "t3.audit_intact",
        &["t3.no_order_sent_twice"],
    );
}

/// Starts a run and waits until it has said `wanted`.
fn started(place: &Place, args: &[&str], wanted: &str) -> Child {
    let mut child = place
        .thunes(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("thunes runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let found = lines
        .by_ref()
        .map_while(Result::ok)
        .inspect(|line| println!("{line}"))
        .any(|line| line.contains(wanted));
    assert!(found, "it never said {wanted:?}");
    // Somebody must go on reading, or the run stops at a full pipe.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    child
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status()
        .expect("kill");
    assert!(sent.success());
}

#[test]
fn p10_sigkill_of_the_orchestrator_leaves_no_process_and_the_next_start_puts_the_switch_back() {
    let place = Place::new();
    let args = ["drill", "run", "T1", "--data-dir", "data", "--out", "first"];
    // At this moment the switch is active and a position is open.
    let mut child = started(&place, &args, "Wait for the alert: done");
    signal(&child, "-KILL");
    child.wait().expect("reaped");
    place.nothing_runs();
    // T4's precondition is a switch that is off, so it passes only when the first run was rolled back.
    let output = place.run(&["drill", "run", "T4", "--data-dir", "data", "--out", "second"], "");
    let first = place.report("first");
    assert_eq!(first["verdict"], "ABORTED");
    assert!(
        first["note"]
            .as_str()
            .is_some_and(|note| note.contains("ended without a word")),
        "{}",
        first["note"]
    );
    assert_eq!(first["rollback"]["outcome"], "DONE", "{:#}", first["rollback"]);
    assert_eq!(
        place.report("second")["verdict"],
        "PASS",
        "{:#?}",
        criteria(&place.report("second"))
    );
    assert_eq!(output.status.code(), Some(0));
    place.nothing_runs();
    assert!(
        place.path("data/logs/audit_trail.jsonl").is_file(),
        "a folder that was named is kept"
    );
}

#[test]
fn p10_sigkill_in_the_middle_of_the_crash_drill_leaves_neither_processes_nor_its_folder() {
    let place = Place::new();
    let mut child = started(
        &place,
        &["drill", "run", "T3", "--out", "first"],
        "kill -9 of the gateway",
    );
    signal(&child, "-KILL");
    child.wait().expect("reaped");
    place.nothing_runs();
    assert_eq!(
        std::fs::read_dir(place.path("tmp")).expect("tmp").count(),
        1,
        "nobody was left to remove it"
    );
    let output = place.run(&["drill", "run", "T2", "--out", "second"], "");
    assert_eq!(output.status.code(), Some(0));
    let first = place.report("first");
    assert_eq!(
        (&first["verdict"], &first["rollback"]["outcome"]),
        (&"ABORTED".into(), &"DONE".into())
    );
    assert_eq!(
        std::fs::read_dir(place.path("tmp")).expect("tmp").count(),
        0,
        "the next start removed it"
    );
}

#[test]
fn p10_ctrl_c_stops_after_the_present_step_rolls_back_and_exits_with_4() {
    let place = Place::new();
    let mut child = started(
        &place,
        &["drill", "run", "--out", "report"],
        "Create an open position: done",
    );
    signal(&child, "-INT");
    assert_eq!(child.wait().expect("reaped").code(), Some(4));
    let report = place.report("report");
    assert_eq!(report["verdict"], "ABORTED");
    assert_eq!(report["rollback"]["outcome"], "DONE", "{:#}", report["rollback"]);
    let all = criteria(&report);
    assert_eq!(verdict_of(&all, "t1.open_position_created"), "PASS");
    assert_eq!(verdict_of(&all, "t4.clean_after"), "ABORTED");
    place.nothing_runs();
    assert_eq!(std::fs::read_dir(place.path("tmp")).expect("tmp").count(), 0);
}

#[test]
fn p11_a_criterion_that_no_probe_can_measure_is_inconclusive_and_exits_with_3() {
    let place = Place::new();
    let own = "id = \"OWN\"\ntitle = \"Own\"\nobjective = \"nothing to repair\"\n\
        [[step]]\nname = \"Repair\"\naction = \"reconcile\"\nwith = { repair = true }\ndecides = { repaired = \"own.repaired\" }\n\
        [[criterion]]\nid = \"own.repaired\"\nobjective = \"it was repaired\"\n";
    std::fs::create_dir(place.path("drills")).expect("folder");
    std::fs::write(place.path("drills/own.toml"), own).expect("written");
    std::fs::write(
        place.path("settings.toml"),
        "[drill]\ndrills_dir = \"drills\"\nfrequency = \"Weekly\"\n",
    )
    .expect("written");
    let output = place.run(
        &["--config", "settings.toml", "drill", "run", "own", "--out", "report"],
        "",
    );
    let report = place.report("report");
    assert_eq!(report["verdict"], "INCONCLUSIVE");
    assert_eq!(criteria(&report)[0].2, Value::Null);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        std::fs::read_to_string(place.path("report/report.md"))
            .expect("report.md")
            .contains("Weekly")
    );
}

#[test]
fn a_drill_that_there_is_not_and_a_file_that_is_wrong_are_usage_errors_with_exit_2() {
    let place = Place::new();
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let unknown = place.run(&["drill", "run", "T99"], "");
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        said(&unknown).contains("T99") && said(&unknown).contains("kill-switch-activation"),
        "{}",
        said(&unknown)
    );
    std::fs::create_dir(place.path("drills")).expect("folder");
    let wrong = "id = \"OWN\"\ntitle = \"Own\"\nobjective = \"o\"\n[[step]]\nname = \"n\"\naction = \"explode\"\n\
        [[criterion]]\nid = \"own.x\"\nobjective = \"x\"\n";
    std::fs::write(place.path("drills/own.toml"), wrong).expect("written");
    std::fs::write(place.path("settings.toml"), "[drill]\ndrills_dir = \"drills\"\n").expect("written");
    let refused = place.run(&["--config", "settings.toml", "drill", "run", "T1"], "");
    assert_eq!(refused.status.code(), Some(2));
    for part in ["own.toml", "step[1].action", "explode", "open_position"] {
        assert!(said(&refused).contains(part), "{part} is not in {}", said(&refused));
    }
    assert!(
        !place.path("drill-report").exists(),
        "nothing ran, so there is no report"
    );
}
