use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::html_style::STYLE;
use super::markdown::seconds;
use super::timeline::timeline;
use super::{Criterion, DrillReport, ReconciliationRun, Report, StepRecord};
use crate::domain::{Evidence, RollbackOutcome, Verdict};

/// `report.html`: one file that needs nothing else.
pub fn render_html(report: &Report) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Drill " (report.verdict) " · " (report.started_at) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (head(report))
                (overview(report))
                h2 { "Timeline" }
                (timeline(report))
                @for drill in &report.drills { (drill_part(drill)) }
                (reconciliation(report))
                (measurements(report))
                (rollback(report))
                (environment(report))
                (contacts(report))
            }
        }
    }
    .into_string()
}

fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Aborted => "aborted",
    }
}

fn verdict(of: Verdict) -> Markup {
    html! { span class=(format!("verdict {}", class(of))) { (of) } }
}

fn head(report: &Report) -> Markup {
    let all: Vec<_> = report.drills.iter().flat_map(|drill| &drill.criteria).collect();
    let passed = all
        .iter()
        .filter(|criterion| criterion.verdict() == Verdict::Pass)
        .count();
    html! {
        header class=(class(report.verdict)) {
            h1 { "Disaster recovery drill" }
            div class="headline" { (report.verdict) }
            div { (passed) " of " (all.len()) " criteria hold · " (report.drills.len()) " drills · took " (seconds(report.duration_ms)) }
            div class="dim" { (report.started_at) " – " (report.ended_at) " · run " code { (report.run_id) } }
            @if !report.reason.is_empty() { div class="dim" { "Reason: " (report.reason) } }
        }
        @if !report.note.is_empty() { p class="notice" { (report.note) } }
        @for (service, plan) in &report.environment.failpoints {
            p class="notice" { "Damaged on purpose: " (service) " ran with " code { (plan) } "." }
        }
        @if !report.environment.stand_ins.is_empty() {
            div class="notice" {
                "What stood in for the real thing:"
                ul { @for stand_in in &report.environment.stand_ins { li { (stand_in) } } }
            }
        }
    }
}

fn overview(report: &Report) -> Markup {
    html! {
        h2 { "Drills" }
        div class="scroll" { table {
            tr { th { "Drill" } th { "Verdict" } th { "Holds" } th { "Took" } th { "What did not hold" } }
            @for drill in &report.drills {
                @let open: Vec<_> = drill.criteria.iter().filter(|c| c.verdict() != Verdict::Pass).collect();
                tr {
                    td { a href=(format!("#{}", drill.id)) { (drill.id) " " (drill.title) } }
                    td { (verdict(drill.verdict)) }
                    td { (drill.criteria.len() - open.len()) "/" (drill.criteria.len()) }
                    td class="number" { (seconds(drill.duration_ms)) }
                    td { @for criterion in &open { div { code { (criterion.id()) } " " (criterion.why()) } } }
                }
            }
        } }
    }
}

fn drill_part(drill: &DrillReport) -> Markup {
    html! {
        section id=(drill.id) {
            h2 { (drill.id) " · " (drill.title) " " (verdict(drill.verdict)) }
            p { (drill.objective) }
            div class="scroll" { table {
                tr { th { "Criterion" } th { "Verdict" } th { "Objective" } th { "Measured" } th { "Unit" } }
                @for criterion in &drill.criteria { (criterion_row(criterion)) }
            } }
            h3 { "Steps" }
            (steps(&drill.steps))
        }
    }
}

fn criterion_row(criterion: &Criterion) -> Markup {
    html! {
        tr class=(class(criterion.verdict())) {
            td { code { (criterion.id()) } }
            td { (verdict(criterion.verdict())) }
            td {
                (criterion.objective())
                @if !criterion.why().is_empty() { div class="why" { (criterion.why()) } }
                (evidence(criterion.evidence()))
            }
            td { @match criterion.measured() { Some(value) => { (value) }, None => { "not measured" } } }
            td { (criterion.unit()) }
        }
    }
}

fn evidence(pieces: &[Evidence]) -> Markup {
    html! {
        @if !pieces.is_empty() {
            details {
                summary { "Evidence (" (pieces.len()) ")" }
                @for piece in pieces { div { strong { (piece.title) } pre { (piece.content) } } }
            }
        }
    }
}

fn steps(steps: &[StepRecord]) -> Markup {
    html! {
        div class="scroll" { table {
            tr { th { "At" } th { "Step" } th { "Outcome" } th { "Took" } th { "What happened" } th { "Trace" } }
            @for step in steps {
                tr {
                    td class="number" { "+" (seconds(step.start_offset_ms)) }
                    td { (step.name) div class="dim" { code { (step.action) } } }
                    td { (step.outcome) }
                    td class="number" { (step.duration_ms) " ms" }
                    td { (step.detail) (evidence(&step.evidence)) }
                    td { (trace(step)) }
                }
            }
        } }
    }
}

/// The trace, a way to it, and what the audit trail has of it.
fn trace(step: &StepRecord) -> Markup {
    let events = step.audit_events.len() + step.audit_events_more;
    html! {
        @if step.trace_url.is_empty() { code { (step.trace_id) } }
        @else { a href=(step.trace_url) { code { (step.trace_id) } } }
        @if events > 0 {
            details {
                summary { "Audit events (" (events) ")" }
                ul {
                    @for event in &step.audit_events {
                        li { "seq " (event.seq) " " strong { (event.event_type) } " " (event.service) " " span class="dim" { (event.ts) } }
                    }
                    @if step.audit_events_more > 0 { li { "and " (step.audit_events_more) " more of this trace" } }
                }
            }
        }
    }
}

fn reconciliation(report: &Report) -> Markup {
    let sums = &report.reconciliation;
    html! {
        @if !sums.runs.is_empty() {
            h2 { "Reconciliation" }
            p {
                (sums.runs.len()) " reconciliations; " (sums.discrepancies_found) " discrepancies found, "
                (sums.discrepancies_repaired) " repaired; the last verdict: " strong { (sums.final_verdict) } "."
            }
            @for run in &sums.runs { (reconciliation_run(run)) }
        }
    }
}

fn reconciliation_run(run: &ReconciliationRun) -> Markup {
    html! {
        details {
            summary {
                (run.at) " · " (run.drill) " · " (run.step) @if run.repairing { " (repairing)" } " · " strong { (run.verdict) }
                " · " (run.fills_compared) " fills, " (run.open_orders_compared) " open orders, " (run.balances.len()) " balances, "
                (run.discrepancies.len()) " discrepancies"
            }
            @if !run.undetermined_reason.is_empty() { p { (run.undetermined_reason) } }
            @for row in &run.discrepancies {
                div class="notice" {
                    strong { (row.class) " " (row.symbol) " " (row.asset) } " difference " (row.difference)
                    div { "Cause: " (row.cause) }
                    div { "Proposed: " (row.proposed_repair) @if row.repaired { " — repaired: " (row.repair_result) } }
                    pre { "here:     " (row.local) "\nexchange: " (row.exchange) }
                }
            }
            div class="scroll" { table {
                tr { th { "Asset" } th { "Baseline" } th { "Fills" } th { "Expected" } th { "Exchange" } th { "Difference" } }
                @for row in &run.balances {
                    tr {
                        td { (row.asset) }
                        @for cell in [&row.baseline, &row.fills, &row.expected, &row.exchange, &row.difference] {
                            td class="number" { (cell) }
                        }
                    }
                }
            } }
            @if !run.positions.is_empty() {
                div class="scroll" { table {
                    tr { th { "Symbol" } th { "Book" } th { "Exchange" } th { "Difference" } }
                    @for row in &run.positions {
                        tr {
                            td { (row.symbol) }
                            @for cell in [&row.book, &row.exchange, &row.difference] { td class="number" { (cell) } }
                        }
                    }
                } }
            }
        }
    }
}

fn measurements(report: &Report) -> Markup {
    html! {
        @if !report.measurements.is_empty() {
            h2 { "Measurements" }
            div class="scroll" { table {
                tr { th { "What" } th { "Value" } th { "Unit" } th { "Detail" } }
                @for measurement in &report.measurements {
                    tr {
                        td { code { (measurement.name) } }
                        td class="number" { (measurement.value) }
                        td { (measurement.unit) }
                        td { (measurement.detail) }
                    }
                }
            } }
        }
    }
}

fn rollback(report: &Report) -> Markup {
    let outcome = match report.rollback.outcome {
        RollbackOutcome::Done => "The system was left as it was found.",
        RollbackOutcome::Failed => "The system may not be as it was found.",
        RollbackOutcome::NotNeeded => "There was nothing to roll back.",
    };
    html! {
        h2 { "Rollback" }
        p { strong { (outcome) } " " (report.rollback.detail) }
        @if !report.rollback.steps.is_empty() { (steps(&report.rollback.steps)) }
    }
}

fn environment(report: &Report) -> Markup {
    let environment = &report.environment;
    let kept = if environment.data_dir_kept {
        ""
    } else {
        " (removed at the end)"
    };
    let versions: Vec<_> = environment
        .service_versions
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    let rows = [
        ("Target", environment.target.clone()),
        (
            "Exchange",
            format!("{} at {}", environment.exchange, environment.exchange_base_url),
        ),
        ("Seed", environment.seed.to_string()),
        ("Alerts to", environment.receiver.clone()),
        ("Data folder", format!("{}{kept}", environment.data_dir)),
        ("Versions", versions.join(", ")),
        ("Runbook", format!("sha256 {}", environment.runbook_sha256)),
        ("Report schema", report.schema_version.to_string()),
    ];
    html! {
        h2 { "Environment" }
        table { @for (name, value) in &rows { tr { th { (name) } td { (value) } } } }
    }
}

fn contacts(report: &Report) -> Markup {
    let or_blank = |text: &str| {
        if text.is_empty() {
            "_____".to_owned()
        } else {
            text.to_owned()
        }
    };
    html! {
        h2 { "For people" }
        table {
            @for blank in ["Participants", "Approved by", "Key learnings", "Action items", "Next drill date"] {
                tr { th { (blank) } td { "_____" } }
            }
            tr { th { "Drill frequency" } td { (or_blank(&report.form.frequency)) } }
        }
        h3 { "Emergency contacts" }
        div class="scroll" { table {
            tr { th { "Role" } th { "Name" } th { "Contact" } th { "Notes" } }
            @for contact in &report.form.contacts {
                tr {
                    td { (or_blank(&contact.role)) }
                    td { (or_blank(&contact.name)) }
                    td { (or_blank(&contact.contact)) }
                    td { (or_blank(&contact.notes)) }
                }
            }
        } }
    }
}
