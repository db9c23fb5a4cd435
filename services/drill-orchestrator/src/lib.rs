//! Drills: rehearsed disasters on real processes, with measured verdicts and a report that stands on evidence.

mod actions;
mod config;
mod domain;
mod engine;
mod environment;
mod error;
mod failpoints;
mod grpc;
mod hub;
mod journal;
mod library;
mod options;
mod plan;
mod progress;
mod recovery;
pub mod report;
mod run;
mod service;
mod wire;

pub use actions::RUNBOOK;
pub use config::DrillConfig;
pub use domain::{
    CriterionDefinition, DrillDefinition, DrillFileError, Evidence, EvidenceKind, RollbackOutcome, Runbook, Value,
    Verdict,
};
pub use engine::{Entry, action_names};
pub use error::DrillError;
pub use failpoints::{FAILPOINTS_ENV, failpoints_from_env, parse_failpoints};
pub use journal::{Journal, JournalLock, RunRow, StepRow};
pub use library::list_drills;
pub use options::{RunOptions, RunOutcome};
pub use progress::{Progress, ProgressEvent};
pub use recovery::recover_unfinished;
pub use report::{Report, ReportFiles, read_report, render_html, render_junit, render_markdown, write_report};
pub use run::run_local;
pub use service::serve;
