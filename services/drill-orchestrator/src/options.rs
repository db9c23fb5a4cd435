use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::config::DrillConfig;
use crate::report::{Report, ReportFiles};

/// What to run, and where.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The `thunes` binary that the environment is made of.
    pub program: PathBuf,
    pub config: DrillConfig,
    /// Given to every service of the environment.
    pub config_file: Option<PathBuf>,
    /// Ids or aliases, whatever their case; empty for all built-in drills.
    pub drills: Vec<String>,
    /// Where the report goes; None writes no files.
    pub out_dir: Option<PathBuf>,
    /// The environment's data folder, which is kept. None makes one that goes away at the end.
    pub data_dir: Option<PathBuf>,
    /// Keep the environment's folder even when it is the run's own.
    pub keep_environment: bool,
    /// For the simulated exchange's prices.
    pub seed: u64,
    pub reason: String,
    pub actor: String,
    /// The second of the two words that a live account needs; the first is `drill.allow_live`.
    pub allow_live: bool,
    /// Damage on purpose: service name to what THUNES_FAILPOINTS says to it. Debug builds only.
    pub failpoints: BTreeMap<String, String>,
    /// Made up when it is left out.
    pub run_id: Option<String>,
    /// Drill the containers beside this process, by `config.compose`, in place of an environment of the run's own.
    pub compose: bool,
}

impl RunOptions {
    /// All built-in drills in an environment of the run's own, with a report in `drill-report`.
    pub fn new(program: impl Into<PathBuf>, config: DrillConfig) -> Self {
        Self {
            program: program.into(),
            config,
            config_file: None,
            drills: Vec::new(),
            out_dir: Some(PathBuf::from("drill-report")),
            data_dir: None,
            keep_environment: false,
            seed: 1,
            reason: "drill by the operator".to_owned(),
            actor: "local".to_owned(),
            allow_live: false,
            failpoints: BTreeMap::new(),
            run_id: None,
            compose: false,
        }
    }

    /// Where `drill.db` is: with the environment's data when that is kept, otherwise where the configuration says.
    pub(crate) fn journal_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| self.config.data_dir.clone())
    }
}

/// What a run came to.
#[derive(Debug, Clone)]
pub struct RunOutcome {
    pub report: Report,
    /// Where it was written, if it was.
    pub files: Option<ReportFiles>,
}
