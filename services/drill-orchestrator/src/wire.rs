//! Runs and reports as the API has them.

use thunes_proto::drill::v1 as proto;
use thunes_runtime::clock;

use crate::domain::{DrillDefinition, Verdict};
use crate::journal::RunRow;
use crate::report::{Criterion, DrillReport, Report};

pub(crate) fn verdict(of: Verdict) -> proto::Verdict {
    match of {
        Verdict::Pass => proto::Verdict::Pass,
        Verdict::Fail => proto::Verdict::Fail,
        Verdict::Inconclusive => proto::Verdict::Inconclusive,
        Verdict::Aborted => proto::Verdict::Aborted,
    }
}

pub(crate) fn info(drill: &DrillDefinition) -> proto::DrillInfo {
    proto::DrillInfo {
        id: drill.id.clone(),
        title: drill.title.clone(),
        objective: drill.objective.clone(),
        criteria: drill.criteria.iter().map(|criterion| criterion.id.clone()).collect(),
    }
}

pub(crate) fn criterion(of: &Criterion) -> proto::CriterionResult {
    proto::CriterionResult {
        id: of.id().to_owned(),
        verdict: verdict(of.verdict()).into(),
        objective: of.objective().to_owned(),
        measured: of.measured().map(ToString::to_string).unwrap_or_default(),
        unit: of.unit().to_owned(),
    }
}

fn drill(of: &DrillReport) -> proto::DrillResult {
    proto::DrillResult {
        id: of.id.clone(),
        verdict: verdict(of.verdict).into(),
        duration_ms: of.duration_ms,
        criteria: of.criteria.iter().map(criterion).collect(),
    }
}

/// A run that has ended.
pub(crate) fn ended(report: &Report) -> proto::DrillRun {
    proto::DrillRun {
        run_id: report.run_id.clone(),
        state: proto::RunState::Ended.into(),
        verdict: verdict(report.verdict).into(),
        started_at_ms: clock::parse_iso_utc(&report.started_at).unwrap_or_default(),
        ended_at_ms: clock::parse_iso_utc(&report.ended_at).unwrap_or_default(),
        drills: report.drills.iter().map(drill).collect(),
        note: report.note.clone(),
    }
}

/// A run as the journal has it.
pub(crate) fn row(of: &RunRow) -> proto::DrillRun {
    if let Some(report) = &of.report {
        return ended(report);
    }
    let state = match (of.ended, of.rolling_back) {
        (true, _) => proto::RunState::Ended,
        (false, true) => proto::RunState::RollingBack,
        (false, false) => proto::RunState::Running,
    };
    proto::DrillRun {
        run_id: of.run_id.clone(),
        state: state.into(),
        verdict: of.verdict.map_or(proto::Verdict::Unspecified, verdict).into(),
        started_at_ms: of.started_ms,
        ended_at_ms: of.ended_ms,
        drills: Vec::new(),
        note: of.note.clone(),
    }
}
