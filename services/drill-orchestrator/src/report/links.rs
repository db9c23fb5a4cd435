use std::collections::HashMap;

use super::{StepEvent, StepRecord};
use crate::domain::AuditTrail;

/// A step that keeps orders coming leaves thousands of events; a reader needs the first ones and the count.
const EVENTS_MAX: usize = 50;
/// Stands for the trace id in the address of a viewer.
const PLACE: &str = "{trace_id}";

/// Ties each step to the audit events of its trace, and to the place where the trace can be looked at.
pub fn link<'a>(steps: impl Iterator<Item = &'a mut StepRecord>, trail: &AuditTrail, viewer: &str) {
    let mut by_trace = HashMap::<&str, Vec<StepEvent>>::new();
    for line in trail.lines.iter().filter(|line| !line.trace_id.is_empty()) {
        by_trace.entry(&line.trace_id).or_default().push(StepEvent {
            seq: line.seq,
            ts: line.ts.clone(),
            event_type: line.event_type.clone(),
            service: line.service.clone(),
        });
    }
    for step in steps.filter(|step| !step.trace_id.is_empty()) {
        if viewer.contains(PLACE) {
            step.trace_url = viewer.replace(PLACE, &step.trace_id);
        }
        let events = by_trace.remove(step.trace_id.as_str()).unwrap_or_default();
        step.audit_events_more = events.len().saturating_sub(EVENTS_MAX);
        step.audit_events = events.into_iter().take(EVENTS_MAX).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::StepRecord;

    fn step(trace_id: &str) -> StepRecord {
        StepRecord {
            name: "n".into(),
            action: "a".into(),
            start_offset_ms: 0,
            duration_ms: 0,
            outcome: "done".into(),
            detail: String::new(),
            trace_id: trace_id.into(),
            trace_url: String::new(),
            audit_events: Vec::new(),
            audit_events_more: 0,
            evidence: Vec::new(),
        }
    }

    #[test]
    fn a_step_has_the_events_of_its_own_trace_and_no_others() {
        let line = |seq: usize, trace: &str| {
            serde_json::json!({"seq": seq, "ts": "t", "event_type": "E", "service": "risk", "trace_id": trace})
                .to_string()
        };
        let mut lines = vec![line(1, "aa"), line(2, ""), line(3, "bb")];
        lines.extend((4..60).map(|seq| line(seq, "cc")));
        let trail = AuditTrail::parse(&(lines.join("\n") + "\n"));
        let mut steps = [step("aa"), step(""), step("cc"), step("dd")];
        link(steps.iter_mut(), &trail, "http://viewer/trace/{trace_id}");
        let counts: Vec<_> = steps
            .iter()
            .map(|s| (s.audit_events.len(), s.audit_events_more))
            .collect();
        assert_eq!(counts, [(1, 0), (0, 0), (50, 6), (0, 0)]);
        assert_eq!(steps[0].audit_events[0].seq, 1);
        assert_eq!(steps[0].trace_url, "http://viewer/trace/aa");
        assert_eq!(steps[1].trace_url, "", "what has no trace has no address");
    }
}
