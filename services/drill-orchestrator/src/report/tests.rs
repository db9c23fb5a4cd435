use super::*;
use crate::domain::{
    CriterionDefinition, Evidence, EvidenceKind, Judgement, Measured, RollbackOutcome, Value, Verdict,
};

fn criterion(id: &str, form: &str, unit: &str, judgement: &Judgement) -> Criterion {
    let definition = CriterionDefinition {
        id: id.to_owned(),
        objective: format!("objective of {id}"),
        unit: unit.to_owned(),
        form: form.to_owned(),
    };
    let evidence = vec![Evidence::new(
        EvidenceKind::Answer,
        "an answer",
        "<script>alert(1)</script> a|b",
    )];
    Criterion::judged(&definition, judgement, evidence)
}

fn drill(id: &str, title: &str, criteria: Vec<Criterion>) -> DrillReport {
    let verdicts: Vec<_> = criteria.iter().map(Criterion::verdict).collect();
    DrillReport {
        id: id.to_owned(),
        title: title.to_owned(),
        short_title: title.to_owned(),
        objective: "o".to_owned(),
        verdict: crate::domain::drill_verdict(&verdicts, false),
        started_at: "2026-11-24T06:11:34.123Z".to_owned(),
        ended_at: "2026-11-24T06:11:44.123Z".to_owned(),
        duration_ms: 10_000,
        steps: vec![StepRecord {
            name: "a step".to_owned(),
            action: "an_action".to_owned(),
            start_offset_ms: 500,
            duration_ms: 250,
            outcome: "done".to_owned(),
            detail: "did it".to_owned(),
            trace_id: "0123456789abcdef0123456789abcdef".to_owned(),
            trace_url: String::new(),
            audit_events: Vec::new(),
            audit_events_more: 0,
            evidence: Vec::new(),
        }],
        criteria,
    }
}

fn report() -> Report {
    let form = "Telegram alert received within 5 seconds";
    let alert = criterion("t1.alert_within_5s", form, "s", &Judgement::Pass(Measured::seconds(42)));
    let late = criterion(
        "t1.late",
        "BUY orders rejected",
        "",
        &Judgement::Fail(Measured::count(2), "two were accepted".into()),
    );
    let loss = criterion(
        "t3.no_data_loss",
        "No data loss in SQLite database",
        "",
        &Judgement::of_text("minor", false, "repaired"),
    );
    let open = criterion(
        "t3.audit_intact",
        "Audit trail integrity maintained (no corruption)",
        "",
        &Judgement::inconclusive("no file"),
    );
    let row = |repaired: bool| DiscrepancyRow {
        class: "EXTERNAL_TRADE".into(),
        symbol: "BTCUSDT".into(),
        asset: String::new(),
        local: "{}".into(),
        exchange: "{\"trade_id\":7}".into(),
        difference: "0.001".into(),
        cause: "somebody traded".into(),
        proposed_repair: "adopt it".into(),
        repaired,
        repair_result: if repaired { "adopted".into() } else { String::new() },
    };
    let run = |repairing: bool| ReconciliationRun {
        drill: "T4".into(),
        step: "s".into(),
        at: "2026-11-24T06:12:00.000Z".into(),
        duration_ms: 12,
        repairing,
        verdict: "DISCREPANCIES".into(),
        undetermined_reason: String::new(),
        fills_compared: 9,
        open_orders_compared: 0,
        book_revision: 4,
        discrepancies: vec![row(repairing)],
        balances: Vec::new(),
        positions: Vec::new(),
    };
    let mut reconciliation = Reconciliation::default();
    [false, false, true]
        .into_iter()
        .for_each(|repairing| reconciliation.add(run(repairing)));
    Report {
        schema_version: SCHEMA_VERSION,
        run_id: "20261124T061134-abc123".into(),
        verdict: Verdict::Fail,
        started_at: "2026-11-24T06:11:34.123Z".into(),
        ended_at: "2026-11-24T06:12:34.123Z".into(),
        duration_ms: 60_000,
        reason: "monthly".into(),
        note: String::new(),
        environment: EnvironmentInfo {
            receiver: "standin".into(),
            stand_ins: vec!["the exchange is simulated".into()],
            ..EnvironmentInfo::default()
        },
        drills: vec![
            drill("T1", "Activation", vec![alert, late]),
            drill("T3", "Crash", vec![loss, open]),
            drill(
                "T4",
                "Reconciliation",
                vec![criterion("t4.x", "", "", &Judgement::Pass(Measured::flag(true)))],
            ),
        ],
        reconciliation,
        measurements: vec![Measurement {
            name: "recovery_time.risk".into(),
            value: Value::seconds(1234),
            unit: "s".into(),
            detail: String::new(),
        }],
        rollback: RollbackReport {
            outcome: RollbackOutcome::Done,
            steps: Vec::new(),
            detail: String::new(),
        },
        form: Form {
            frequency: "Monthly".into(),
            contacts: vec![Contact {
                role: "Primary On-Call".into(),
                ..Contact::default()
            }],
        },
    }
}

#[test]
fn a_difference_that_several_reconciliations_found_counts_once() {
    let sums = report().reconciliation;
    assert_eq!(
        (sums.discrepancies_found, sums.discrepancies_repaired, sums.runs.len()),
        (1, 1, 3)
    );
}

#[test]
fn the_form_is_filled_in_where_it_was_measured_and_blank_where_only_people_know() {
    let text = render_markdown(&report());
    for expected in [
        "- [x] Telegram alert received within 5 seconds",
        "- [ ] BUY orders rejected",
        "**Telegram Alert Delivery**: 0.042 seconds (receiver: standin)",
        "**Test Status**: [ ] PASS [x] FAIL",
        "**Data Loss**: [ ] None [x] Minor [ ] Significant",
        "**Audit Trail Corruption**: [ ] None [ ] Detected",
        "risk 1.234 s",
        "**Discrepancies Found**: EXTERNAL_TRADE BTCUSDT  (0.001)",
        "**Root Cause**: somebody traded",
        "none: repaired (adopted)",
        "| Activation | [ ] PASS [x] FAIL | 0.17 min |",
        "- **Participants**: _____",
        "- **Approved By**: _____",
        "| Primary On-Call | _____ | _____ | _____ |",
        "**Drill Frequency**: Monthly",
        "the exchange is simulated",
        "two were accepted",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing in:\n{text}");
    }
}

#[test]
fn p11_what_was_not_measured_is_partial_and_never_checked() {
    let mut report = report();
    report.drills.retain(|drill| drill.id == "T3");
    report.drills[0].criteria.remove(0);
    report.drills[0].verdict = Verdict::Inconclusive;
    let text = render_markdown(&report);
    assert!(text.contains("[ ] PASS [ ] FAIL [x] PARTIAL"), "{text}");
    assert!(
        text.contains("**Data Loss**: [ ] None [ ] Minor [ ] Significant"),
        "{text}"
    );
    assert!(text.contains("measured: — — no file"), "{text}");
}

#[test]
fn the_page_needs_nothing_from_elsewhere_and_runs_nothing() {
    let page = render_html(&report());
    for forbidden in ["http://", "https://", "src=", "@import", "url(", "<script", "<link"] {
        assert!(!page.contains(forbidden), "{forbidden} is in the page");
    }
    for expected in [
        "<!DOCTYPE html>",
        "prefers-color-scheme: dark",
        "@media print",
        "<svg",
        "<details>",
        "FAIL",
        "t1.alert_within_5s",
        "0.042",
        "&lt;script&gt;",
        "the exchange is simulated",
        "EXTERNAL_TRADE",
    ] {
        assert!(page.contains(expected), "{expected} is missing");
    }
}

#[test]
fn junit_counts_the_unmeasured_as_errors() {
    let xml = render_junit(&report());
    assert!(xml.contains("tests=\"5\" failures=\"2\" errors=\"1\""), "{xml}");
    assert!(
        xml.contains("<error type=\"INCONCLUSIVE\" message=\"no file\"/>"),
        "{xml}"
    );
}

#[test]
fn files_are_replaced_whole_and_read_back_the_same() {
    let folder = tempfile::tempdir().expect("folder");
    let mut first = report();
    write_report(folder.path(), &first).expect("written");
    first.verdict = Verdict::Pass;
    let files = write_report(folder.path(), &first).expect("replaced");
    assert_eq!(read_report(folder.path()).expect("read"), first);
    assert_eq!(read_report(&files.json).expect("read").verdict, Verdict::Pass);
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .expect("folder")
        .flatten()
        .map(|e| e.file_name())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["report.html", "report.json", "report.junit.xml", "report.md"],
        "no half-written file stays"
    );
}

#[test]
fn a_folder_that_cannot_be_written_is_named_with_the_remedy() {
    let error = write_report(std::path::Path::new("/proc/nowhere"), &report())
        .expect_err("read-only")
        .to_string();
    assert!(error.contains("/proc/nowhere") && error.contains("--out"), "{error}");
}
