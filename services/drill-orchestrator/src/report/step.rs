use serde::{Deserialize, Serialize};

use crate::domain::Evidence;

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    pub name: String,
    pub action: String,
    /// From the start of the run.
    pub start_offset_ms: i64,
    pub duration_ms: i64,
    /// `done`, `failed` (what it should find out stays unmeasured) or `skipped`.
    pub outcome: String,
    /// What happened, or why it failed.
    pub detail: String,
    /// W3C trace id of the calls that it made; empty when there is none.
    pub trace_id: String,
    /// Where that trace can be looked at; empty when no viewer is configured.
    #[serde(default)]
    pub trace_url: String,
    /// What the audit trail has of that trace, in its order.
    #[serde(default)]
    pub audit_events: Vec<StepEvent>,
    /// How many more there are than are listed.
    #[serde(default)]
    pub audit_events_more: usize,
    /// Evidence that belongs to no single criterion.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
}

/// A line of the audit trail that came of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepEvent {
    pub seq: i64,
    pub ts: String,
    pub event_type: String,
    pub service: String,
}
