use std::time::Duration;

use serde::Deserialize;
use thunes_runtime::clock;

use crate::action;
use crate::domain::{AuditLine, AuditTrail, Evidence, EvidenceKind, Judgement};
use crate::engine::{ActionResult, Context, Outcome};
use crate::environment::{Ask, until};
use crate::error::ActionError;

/// From the change until its event is in the file: the outbox delivers within moments, or after a restart of audit.
const WRITTEN_WITHIN: Duration = Duration::from_secs(10);
/// How many of the last lines are looked at.
const LINES: usize = 300;

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
    "Reads the last lines of logs/audit_trail.jsonl for an event."
);

impl AuditEvent {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let path = context.environment.place.audit_file();
        let read = || std::fs::read_to_string(&path);
        // What cannot be read is not measured; what is not there within the time is.
        read().map_err(ActionError::io(format!("{} cannot be read", path.display())))?;
        let found = until("the event to be in the audit trail", WRITTEN_WITHIN, || async {
            let text = match read() {
                Ok(text) => text,
                Err(error) => return Ask::NotYet(error.to_string()),
            };
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines[lines.len().saturating_sub(LINES)..].join("\n");
            match AuditTrail::parse(&tail).newest(&self.event_type, &self.reason) {
                Some(line) => Ask::Yes(line.clone()),
                None => Ask::NotYet(format!("{} lines, none of them it", lines.len())),
            }
        })
        .await;
        let line = match found {
            Ok(line) => line,
            Err(ActionError::TimedOut { last, waited_ms, .. }) => {
                let measured = format!("not among the last {LINES} lines after {waited_ms} ms ({last})");
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
