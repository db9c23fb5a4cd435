use std::fmt::Write;

use super::markdown_tests::results;
use super::{Criterion, DrillReport, Report};
use crate::domain::{RollbackOutcome, Verdict};

const BLANK: &str = "_____";

/// `report.md`: the paper form, filled in as far as it was measured; what only people know is left blank.
pub fn render_markdown(report: &Report) -> String {
    let mut out = String::new();
    head(&mut out, report);
    for (drill, place) in report.drills.iter().zip(1..) {
        // The form's own number, also when only some of its tests were run.
        let number = drill
            .id
            .strip_prefix('T')
            .and_then(|digits| digits.parse().ok())
            .unwrap_or(place);
        test(&mut out, report, drill, number);
    }
    reconciliations(&mut out, report);
    summary(&mut out, report);
    completion(&mut out, report);
    appendix(&mut out, report);
    out
}

/// A box of the form.
pub(super) fn boxed(checked: bool) -> &'static str {
    if checked { "[x]" } else { "[ ]" }
}

/// Text in one line that no Markdown breaks.
pub(super) fn inline(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

// Writing to a String cannot fail.
macro_rules! line {
    ($out:expr) => { let _ = writeln!($out); };
    ($out:expr, $($arg:tt)*) => { let _ = writeln!($out, $($arg)*); };
}

fn head(out: &mut String, report: &Report) {
    let environment = &report.environment;
    line!(out, "# Disaster Recovery Drill\n");
    line!(out, "**Verdict**: **{}**", report.verdict);
    line!(
        out,
        "**Date**: {}",
        report.started_at.chars().take(10).collect::<String>()
    );
    line!(out, "**Run**: `{}`", report.run_id);
    line!(out, "**Reason**: {}", inline(&report.reason));
    line!(
        out,
        "**Purpose**: Validate operational procedures documented in OPERATIONAL-RUNBOOK.md"
    );
    line!(out, "**Duration**: {}", seconds(report.duration_ms));
    line!(
        out,
        "**Environment**: {}, exchange {} (seed {}), alerts to {}",
        environment.target,
        environment.exchange,
        environment.seed,
        environment.receiver
    );
    if !report.note.is_empty() {
        line!(out, "\n> **Note**: {}", inline(&report.note));
    }
    for (service, plan) in &environment.failpoints {
        line!(
            out,
            "\n> **Damaged on purpose**: {service} ran with `{}`.",
            inline(plan)
        );
    }
    if !environment.stand_ins.is_empty() {
        line!(out, "\nWhat stood in for the real thing:\n");
        for stand_in in &environment.stand_ins {
            line!(out, "- {}", inline(stand_in));
        }
    }
    line!(out, "\n---\n");
}

fn test(out: &mut String, report: &Report, drill: &DrillReport, number: usize) {
    line!(out, "## Test {number}: {} ({})\n", inline(&drill.title), drill.id);
    line!(out, "### Objective\n{}\n", inline(&drill.objective));
    line!(out, "### Procedure\n");
    line!(
        out,
        "| Step | Outcome | Took | What happened |\n|------|---------|------|---------------|"
    );
    for step in &drill.steps {
        let took = seconds(step.duration_ms);
        line!(
            out,
            "| {} | {} | {took} | {} |",
            inline(&step.name),
            step.outcome,
            inline(&step.detail)
        );
    }
    line!(out, "\n### Success Criteria\n");
    let mut lines: Vec<&str> = Vec::new();
    for criterion in drill.criteria.iter().filter(|criterion| !criterion.form().is_empty()) {
        if !lines.contains(&criterion.form()) {
            lines.push(criterion.form());
        }
    }
    for form in lines {
        let parts: Vec<_> = drill
            .criteria
            .iter()
            .filter(|criterion| criterion.form() == form)
            .collect();
        line!(
            out,
            "- {} {form}",
            boxed(parts.iter().all(|part| part.verdict() == Verdict::Pass))
        );
        parts.iter().for_each(|part| criterion_line(out, part));
    }
    let beyond: Vec<_> = drill
        .criteria
        .iter()
        .filter(|criterion| criterion.form().is_empty())
        .collect();
    if !beyond.is_empty() {
        line!(
            out,
            "- {} Beyond the form",
            boxed(beyond.iter().all(|part| part.verdict() == Verdict::Pass))
        );
        beyond.iter().for_each(|part| criterion_line(out, part));
    }
    line!(out, "\n### Results");
    line!(out, "- **Test Status**: {}", status_boxes(drill.verdict));
    line!(out, "- **Time to Complete**: {} minutes", minutes(drill.duration_ms));
    for result in results(report, drill) {
        line!(out, "- {result}");
    }
    line!(out, "- **Issues Encountered**: {}", issues(drill));
    line!(out, "\n---\n");
}

fn criterion_line(out: &mut String, criterion: &Criterion) {
    let why = if criterion.why().is_empty() {
        String::new()
    } else {
        format!(" — {}", inline(criterion.why()))
    };
    line!(
        out,
        "  - {} `{}` **{}**: {}; measured: {}{why}",
        boxed(criterion.verdict() == Verdict::Pass),
        criterion.id(),
        criterion.verdict(),
        inline(criterion.objective()),
        inline(&criterion.measured_with_unit())
    );
}

/// The form knows PASS, FAIL and PARTIAL.
pub(super) fn status_boxes(verdict: Verdict) -> String {
    let of = |wanted: Verdict| boxed(verdict == wanted);
    let mut text = format!("{} PASS {} FAIL", of(Verdict::Pass), of(Verdict::Fail));
    match verdict {
        Verdict::Pass | Verdict::Fail => {}
        Verdict::Inconclusive => text.push_str(" [x] PARTIAL (INCONCLUSIVE: not everything was measured)"),
        Verdict::Aborted => text.push_str(" [x] ABORTED"),
    }
    text
}

fn issues(drill: &DrillReport) -> String {
    let open = drill
        .criteria
        .iter()
        .filter(|criterion| criterion.verdict() != Verdict::Pass);
    let criteria = open.map(|criterion| {
        format!(
            "`{}` {}: {}",
            criterion.id(),
            criterion.verdict(),
            inline(criterion.why())
        )
    });
    let failed = drill.steps.iter().filter(|step| step.outcome == "failed");
    let steps = failed.map(|step| format!("step \"{}\" failed: {}", inline(&step.name), inline(&step.detail)));
    let all: Vec<_> = criteria.chain(steps).collect();
    if all.is_empty() {
        "None".to_owned()
    } else {
        all.join("; ")
    }
}

fn reconciliations(out: &mut String, report: &Report) {
    let sums = &report.reconciliation;
    if sums.runs.is_empty() {
        return;
    }
    line!(out, "## Reconciliation report\n");
    line!(
        out,
        "{} reconciliations; {} discrepancies found, {} repaired; the last verdict: {}.\n",
        sums.runs.len(),
        sums.discrepancies_found,
        sums.discrepancies_repaired,
        sums.final_verdict
    );
    line!(
        out,
        "| At | Test | Repairing | Verdict | Fills | Open orders | Balances | Discrepancies |"
    );
    line!(
        out,
        "|----|------|-----------|---------|-------|-------------|----------|---------------|"
    );
    for run in &sums.runs {
        let repairing = if run.repairing { "yes" } else { "no" };
        let found: Vec<_> = run
            .discrepancies
            .iter()
            .map(|d| format!("{} {}", d.class, d.symbol))
            .collect();
        let found = if found.is_empty() {
            inline(&run.undetermined_reason)
        } else {
            found.join(", ")
        };
        let (fills, orders, balances) = (run.fills_compared, run.open_orders_compared, run.balances.len());
        line!(
            out,
            "| {} | {} | {repairing} | {} | {fills} | {orders} | {balances} | {found} |",
            run.at,
            run.drill,
            run.verdict
        );
    }
    line!(out, "\n---\n");
}

fn summary(out: &mut String, report: &Report) {
    line!(out, "## Post-Drill Summary\n\n### Overall Results");
    line!(
        out,
        "| Test | Status | Duration | Issues |\n|------|--------|----------|--------|"
    );
    for drill in &report.drills {
        let (status, took) = (status_boxes(drill.verdict), minutes(drill.duration_ms));
        line!(
            out,
            "| {} | {status} | {took} min | {} |",
            inline(&drill.short_title),
            inline(&issues(drill))
        );
    }
    line!(
        out,
        "\n### Measurements\n\n| What | Value | Unit | Detail |\n|------|-------|------|--------|"
    );
    for measurement in &report.measurements {
        let (name, value, unit) = (&measurement.name, &measurement.value, &measurement.unit);
        line!(out, "| `{name}` | {value} | {unit} | {} |", inline(&measurement.detail));
    }
    line!(out, "\n### Rollback\n{}\n", rollback(report));
    line!(out, "### Key Learnings\n1. {BLANK}\n2. {BLANK}\n3. {BLANK}\n");
    let passed = |drill: &str, ids: &[&str]| {
        report.drill(drill).is_some_and(|d| {
            ids.iter().all(|id| {
                d.criterion(id)
                    .is_some_and(|criterion| criterion.verdict() == Verdict::Pass)
            })
        })
    };
    let failed = |drill: &str, id: &str| {
        report
            .drill(drill)
            .and_then(|d| d.criterion(id))
            .is_some_and(|criterion| criterion.verdict() == Verdict::Fail)
    };
    line!(out, "### Runbook Updates Required");
    let accurate = passed("T2", &["t2.runbook_followed", "t2.no_deviation"]);
    line!(out, "- {} Kill-switch procedures accurate", boxed(accurate));
    line!(
        out,
        "- [ ] Crash recovery procedures accurate (the drill does not execute these: a person judges)"
    );
    let missing = failed("T4", "t4.script_exists");
    line!(
        out,
        "- {} Position reconciliation procedures need documentation",
        boxed(missing)
    );
    line!(
        out,
        "- [ ] Emergency contact information needs update (a person judges)\n"
    );
    line!(out, "### Action Items");
    for number in 1..=2 {
        line!(out, "{number}. **Priority**: [ ] P0 [ ] P1 [ ] P2");
        line!(
            out,
            "   **Action**: {BLANK}\n   **Owner**: {BLANK}\n   **Due**: {BLANK}\n"
        );
    }
}

fn rollback(report: &Report) -> String {
    let outcome = match report.rollback.outcome {
        RollbackOutcome::Done => "The system was left as it was found.",
        RollbackOutcome::Failed => "**The system may not be as it was found.**",
        RollbackOutcome::NotNeeded => "There was nothing to roll back.",
    };
    format!("{outcome} {}", inline(&report.rollback.detail))
        .trim_end()
        .to_owned()
}

fn completion(out: &mut String, report: &Report) {
    line!(out, "### Drill Completion");
    line!(
        out,
        "- **Start Time**: {}\n- **End Time**: {}",
        report.started_at,
        report.ended_at
    );
    let hundredths = report.duration_ms / 36_000;
    line!(
        out,
        "- **Total Duration**: {}.{:02} hours ({})",
        hundredths / 100,
        hundredths % 100,
        seconds(report.duration_ms)
    );
    line!(
        out,
        "- **Participants**: {BLANK}\n- **Approved By**: {BLANK}\n- **Next Drill Date**: {BLANK}\n\n---\n"
    );
}

fn appendix(out: &mut String, report: &Report) {
    line!(out, "## Appendix: Emergency Contacts\n");
    line!(
        out,
        "| Role | Name | Contact | Notes |\n|------|------|---------|-------|"
    );
    let or_blank = |text: &str| {
        if text.is_empty() {
            BLANK.to_owned()
        } else {
            inline(text)
        }
    };
    for contact in &report.form.contacts {
        let cells = [&contact.role, &contact.name, &contact.contact, &contact.notes].map(|cell| or_blank(cell));
        line!(out, "| {} |", cells.join(" | "));
    }
    line!(out, "\n---\n\n**Last Drill**: {}", report.ended_at);
    line!(out, "**Next Drill**: {BLANK}");
    line!(out, "**Drill Frequency**: {}", or_blank(&report.form.frequency));
}

/// `12.3 s`.
pub(super) fn seconds(ms: i64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

/// Minutes with two decimals.
pub(super) fn minutes(ms: i64) -> String {
    let hundredths = (ms + 300) / 600;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
