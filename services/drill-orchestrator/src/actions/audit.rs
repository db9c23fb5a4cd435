use std::time::Duration;

use serde::Deserialize;
use thunes_runtime::clock;

use crate::action;
use crate::domain::{AuditLine, Evidence, EvidenceKind, Judgement};
use crate::engine::{ActionResult, Context, Outcome};
use crate::environment::{Ask, until_every};
use crate::error::ActionError;

/// From the change until its event is in the file: the outbox delivers within moments, or after a restart of audit.
const WRITTEN_WITHIN: Duration = Duration::from_secs(10);
/// Reading the trail costs who reads it.
const READ_INTERVAL: Duration = Duration::from_millis(200);

/// The audit trail's file has the event, with its reason and an ISO 8601 time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditEvent {
    event_type: String,
    reason: String,
}

action!(
    AuditEvent,
    "audit_event",
    ["logged"],
    "Reads what the run has added to logs/audit_trail.jsonl, for an event."
);

impl AuditEvent {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        // What cannot be read is not measured; what is not there within the time is.
        context.trail_of_run()?;
        let found = until_every(
            READ_INTERVAL,
            "the event to be in the audit trail",
            WRITTEN_WITHIN,
            || async {
                let trail = match context.trail_of_run() {
                    Ok(trail) => trail,
                    Err(error) => return Ask::NotYet(error.to_string()),
                };
                match trail.newest(&self.event_type, &self.reason) {
                    Some(line) => Ask::Yes(line.clone()),
                    None => Ask::NotYet(format!(
                        "{} lines since the run began, none of them it",
                        trail.lines.len()
                    )),
                }
            },
        )
        .await;
        let line = match found {
            Ok(line) => line,
            Err(ActionError::TimedOut { last, waited_ms, .. }) => {
                let measured = format!("not in the trail after {waited_ms} ms ({last})");
                let judgement = Judgement::of_text(
                    measured.clone(),
                    false,
                    format!("no {} of that reason", self.event_type),
                );
                return Ok(Outcome::did(measured).finding("logged", judgement, Vec::new()));
            }
            Err(error) => return Err(error),
        };
        let judgement = self.judge(&line);
        let evidence = vec![Evidence::new(
            EvidenceKind::AuditLine,
            format!("logs/audit_trail.jsonl, seq {}", line.seq),
            &line.raw,
        )];
        Ok(
            Outcome::did(format!("{} at {} (seq {})", line.event_type, line.ts, line.seq))
                .finding("logged", judgement, evidence),
        )
    }

    fn judge(&self, line: &AuditLine) -> Judgement {
        let iso = clock::parse_iso_utc(&line.ts).is_some_and(|ms| clock::iso_utc(ms) == line.ts);
        let measured = format!("{} at {}, seq {}", line.event_type, line.ts, line.seq);
        Judgement::of_text(
            measured,
            iso,
            format!("{:?} is no ISO 8601 time in UTC with milliseconds", line.ts),
        )
    }
}
