use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::chaos::Life;
use crate::load::LoadTotals;
use crate::operator::OperatorTotals;
use crate::oracle::{Counts, Verdict};

/// What a soak did and found.
#[derive(Debug, Clone, Serialize)]
pub struct SoakReport {
    pub seed: u64,
    /// SIGKILLs, each followed by a start.
    pub kills: u64,
    pub kills_from_outside: u64,
    pub kills_at_failpoints: u64,
    /// SIGSTOPs of gateway and risk, each held past a lease.
    pub stops: u64,
    pub by_service: BTreeMap<String, Life>,
    /// Whether this binary has failpoints; a release build has none, and is killed from outside only.
    pub failpoints_available: bool,
    /// Place and action to how often it acted.
    pub failpoint_hits: BTreeMap<String, u64>,
    /// Boundaries that were never hit in this run.
    pub failpoints_not_hit: Vec<String>,
    #[serde(flatten)]
    pub load: LoadTotals,
    #[serde(flatten)]
    pub operator: OperatorTotals,
    pub orders_accepted: u64,
    pub fills: u64,
    #[serde(flatten)]
    pub counts: Counts,
    /// What the gateway's own reconciliation says in the end; it does not judge here.
    pub reconciliation: String,
    pub findings: Vec<String>,
    pub duration_ms: u64,
    /// Kept when something was found, or on request.
    pub kept_folder: Option<PathBuf>,
}

impl SoakReport {
    pub(crate) fn verdict(&mut self, verdict: Verdict) {
        self.counts = verdict.counts;
        self.findings = verdict.findings;
    }

    /// Nothing was lost, invented, doubled, left in doubt or let through.
    pub fn is_clean(&self) -> bool {
        self.counts.is_clean()
    }
}
