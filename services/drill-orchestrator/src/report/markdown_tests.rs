use super::markdown::{boxed, inline};
use super::{DrillReport, Report};
use crate::domain::Verdict;

const BLANK: &str = "_____";

/// The Results lines that the form has for its own four tests, beyond those that every test has.
pub(super) fn results(report: &Report, drill: &DrillReport) -> Vec<String> {
    match drill.id.as_str() {
        "T1" => activation(report, drill),
        "T2" => deactivation(drill),
        "T3" => crash(report, drill),
        "T4" => reconciliation(report, drill),
        _ => Vec::new(),
    }
}

fn measured(drill: &DrillReport, id: &str) -> Option<String> {
    drill.criterion(id)?.measured().map(ToString::to_string)
}

fn measurement(report: &Report, name: &str) -> String {
    report
        .measurement(name)
        .map_or_else(|| BLANK.to_owned(), |m| m.value.to_string())
}

fn activation(report: &Report, drill: &DrillReport) -> Vec<String> {
    let delay = measured(drill, "t1.alert_within_5s").unwrap_or_else(|| BLANK.to_owned());
    vec![
        format!(
            "**Telegram Alert Delivery**: {delay} seconds (receiver: {})",
            report.environment.receiver
        ),
        format!(
            "**Activation until fenced**: {} seconds",
            measurement(report, "activation_to_fence")
        ),
        "**Deviations from Runbook**: not judged here (test 2 executes the runbook as written)".to_owned(),
    ]
}

fn deactivation(drill: &DrillReport) -> Vec<String> {
    let verdict = |id: &str| drill.criterion(id).map(super::Criterion::verdict);
    let parts = [verdict("t2.runbook_followed"), verdict("t2.no_deviation")];
    let accurate = parts.iter().all(|part| *part == Some(Verdict::Pass));
    let wrong = parts.contains(&Some(Verdict::Fail));
    let procedure = measured(drill, "t2.under_5_minutes").unwrap_or_else(|| BLANK.to_owned());
    vec![
        format!("**Procedure took**: {procedure} seconds (expected: <5 minutes)"),
        format!(
            "**Runbook Accuracy**: {} Accurate {} Needs updates",
            boxed(accurate),
            boxed(wrong)
        ),
    ]
}

fn crash(report: &Report, drill: &DrillReport) -> Vec<String> {
    let loss = measured(drill, "t3.no_data_loss");
    let is = |class: &str| boxed(loss.as_deref() == Some(class));
    let audit = drill.criterion("t3.audit_intact").map(super::Criterion::verdict);
    let each: Vec<_> = report
        .measurements
        .iter()
        .filter_map(|m| Some(format!("{} {} s", m.name.strip_prefix("recovery_time.")?, m.value)))
        .collect();
    let recovery = measured(drill, "t3.recovery_time").unwrap_or_else(|| BLANK.to_owned());
    let resolution = measured(drill, "t3.resolution_time").unwrap_or_else(|| BLANK.to_owned());
    vec![
        format!(
            "**Recovery Time**: {recovery} seconds at most (serving again: {})",
            each.join(", ")
        ),
        format!("**Resolution Time**: {resolution} seconds (until every order's fate was known)"),
        format!(
            "**Data Loss**: {} None {} Minor {} Significant",
            is("none"),
            is("minor"),
            is("significant")
        ),
        format!(
            "**Audit Trail Corruption**: {} None {} Detected",
            boxed(audit == Some(Verdict::Pass)),
            boxed(audit == Some(Verdict::Fail))
        ),
    ]
}

fn reconciliation(report: &Report, drill: &DrillReport) -> Vec<String> {
    let runs = &report.reconciliation.runs;
    let mut rows: Vec<_> = Vec::new();
    for row in runs
        .iter()
        .filter(|run| run.drill == drill.id)
        .flat_map(|run| &run.discrepancies)
    {
        let same = |known: &&super::DiscrepancyRow| {
            (&known.class, &known.symbol, &known.asset, &known.exchange)
                == (&row.class, &row.symbol, &row.asset, &row.exchange)
        };
        match rows.iter().position(same) {
            Some(at) if row.repaired => rows[at] = row,
            Some(_) => {}
            None => rows.push(row),
        }
    }
    let ran = runs.iter().any(|run| run.drill == drill.id);
    let list = |of: &dyn Fn(&super::DiscrepancyRow) -> String| match (ran, rows.is_empty()) {
        (false, _) => BLANK.to_owned(),
        (true, true) => "None".to_owned(),
        (true, false) => rows.iter().map(|row| inline(&of(row))).collect::<Vec<_>>().join("; "),
    };
    let script = drill.criterion("t4.script_exists").map(super::Criterion::verdict);
    let standing = |row: &super::DiscrepancyRow| {
        if row.repaired {
            format!("none: repaired ({})", row.repair_result)
        } else {
            row.proposed_repair.clone()
        }
    };
    vec![
        format!(
            "**Discrepancies Found**: {}",
            list(&|row| format!("{} {} {} ({})", row.class, row.symbol, row.asset, row.difference))
        ),
        format!("**Root Cause**: {}", list(&|row| row.cause.clone())),
        format!("**Action Required**: {}", list(&standing)),
        format!(
            "**Reconciliation script**: {} exists {} missing",
            boxed(script == Some(Verdict::Pass)),
            boxed(script == Some(Verdict::Fail))
        ),
    ]
}
