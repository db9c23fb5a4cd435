use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::domain::Verdict;
use crate::report::Criterion;

/// What happens in a run, as it happens.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ProgressEvent {
    /// A run that was cut off earlier was rolled back.
    Recovered {
        run_id: String,
        detail: String,
    },
    RunStarted {
        run_id: String,
        drills: Vec<String>,
    },
    ServiceStarting {
        service: String,
    },
    ServiceReady {
        service: String,
        url: String,
        took_ms: i64,
    },
    EnvironmentReady {
        data_dir: String,
        took_ms: i64,
    },
    DrillStarted {
        drill: String,
        title: String,
        steps: usize,
    },
    StepStarted {
        drill: String,
        step: String,
        number: usize,
        of: usize,
    },
    StepEnded {
        drill: String,
        step: String,
        outcome: String,
        detail: String,
        duration_ms: i64,
    },
    CriterionDecided {
        drill: String,
        criterion: Box<Criterion>,
    },
    DrillEnded {
        drill: String,
        verdict: Verdict,
        duration_ms: i64,
    },
    RollingBack {
        what: String,
    },
    RunEnded {
        run_id: String,
        verdict: Verdict,
        duration_ms: i64,
    },
}

/// Who is told. It must not block.
pub type Progress = Arc<dyn Fn(&ProgressEvent) + Send + Sync>;

impl fmt::Display for ProgressEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recovered { run_id, detail } => write!(f, "run {run_id} was cut off earlier: {detail}"),
            Self::RunStarted { run_id, drills } => write!(f, "run {run_id}: {}", drills.join(", ")),
            Self::ServiceStarting { service } => write!(f, "starting {service}"),
            Self::ServiceReady { service, url, took_ms } => write!(f, "{service} is ready at {url} ({took_ms} ms)"),
            Self::EnvironmentReady { data_dir, took_ms } => {
                write!(f, "the environment is ready in {data_dir} ({took_ms} ms)")
            }
            Self::DrillStarted { drill, title, .. } => write!(f, "{drill} {title}"),
            Self::StepStarted {
                drill,
                step,
                number,
                of,
            } => write!(f, "{drill} [{number}/{of}] {step}"),
            Self::StepEnded {
                drill,
                step,
                outcome,
                detail,
                duration_ms,
            } => {
                write!(f, "{drill} {step}: {outcome} ({duration_ms} ms) {detail}")
            }
            Self::CriterionDecided { criterion, .. } => {
                write!(
                    f,
                    "{} {}: {}",
                    criterion.verdict(),
                    criterion.id(),
                    criterion.measured_with_unit()
                )?;
                if criterion.why().is_empty() {
                    Ok(())
                } else {
                    write!(f, " ({})", criterion.why())
                }
            }
            Self::DrillEnded {
                drill,
                verdict,
                duration_ms,
            } => write!(f, "{drill}: {verdict} after {duration_ms} ms"),
            Self::RollingBack { what } => write!(f, "rolling back: {what}"),
            Self::RunEnded {
                run_id,
                verdict,
                duration_ms,
            } => write!(f, "run {run_id}: {verdict} after {duration_ms} ms"),
        }
    }
}
