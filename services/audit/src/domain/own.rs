//! The events that the audit service itself writes.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use thunes_runtime::clock;
use thunes_tlog::{Entry, Origin, Payload};

use crate::domain::offer::{OWN_NAME, OfferedEvent};

pub(crate) const SERVICE_STARTED: &str = "SERVICE_STARTED";
pub(crate) const AUDIT_TAIL_QUARANTINED: &str = "AUDIT_TAIL_QUARANTINED";
pub(crate) const PRODUCER_CONFLICT: &str = "PRODUCER_CONFLICT";

fn own(origin: Origin, event_type: &str, reason: String, payload: &Value, trace_id: &str, now_ms: i64) -> OfferedEvent {
    let entry = Entry {
        event_id: origin.to_string(),
        ts: clock::iso_utc(now_ms),
        event_type: event_type.to_owned(),
        reason,
        actor: OWN_NAME.to_owned(),
        service: OWN_NAME.to_owned(),
        trace_id: trace_id.to_owned(),
        payload: Payload::parse(&payload.to_string()).expect("serde_json writes valid JSON, and ours is flat"),
    };
    OfferedEvent {
        origin,
        body: entry.encode().expect("our own events are short"),
        event_type: entry.event_type,
        service: entry.service,
        ts_ms: now_ms,
        ts_given: false,
        trace_given: false,
    }
}

/// An event of which there is one for each `incarnation`, however often it is found to be due.
fn once(incarnation: String) -> Origin {
    Origin::Counted {
        producer: OWN_NAME.to_owned(),
        incarnation,
        producer_seq: 1,
    }
}

/// Says that the service serves again, and in which state it found its log.
pub(crate) fn started(
    id: String,
    last_seq: u64,
    mark: &str,
    kept_after_mark: u64,
    trace_id: &str,
    now_ms: i64,
) -> OfferedEvent {
    let payload = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "last_seq": last_seq,
        "commit_mark": mark,
        "kept_after_mark": kept_after_mark,
    });
    own(
        Origin::Single { id },
        SERVICE_STARTED,
        "audit verified its log and serves".into(),
        &payload,
        trace_id,
        now_ms,
    )
}

/// Reports a damaged end that was set aside: one event for each file in the quarantine folder.
pub(crate) fn quarantined(file: &str, trace_id: &str, now_ms: i64) -> OfferedEvent {
    let origin = once(format!("quarantine-{}", digest(&[file])));
    let reason = "a crash damaged the end of the log; nobody had been told that it was durable".to_owned();
    own(
        origin,
        AUDIT_TAIL_QUARANTINED,
        reason,
        &json!({ "file": format!("logs/quarantine/{file}") }),
        trace_id,
        now_ms,
    )
}

/// Whether an `event_id` is that of a quarantine report: nobody else can write one.
pub(crate) fn is_quarantine_report(origin: &Origin) -> bool {
    matches!(origin, Origin::Counted { producer, incarnation, .. }
        if producer == OWN_NAME && incarnation.starts_with("quarantine-"))
}

/// A count that came again with other contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conflict {
    pub producer: String,
    pub incarnation: String,
    pub producer_seq: u64,
    /// Where the first contents stand.
    pub seq: u64,
    /// SHA-256 of the offered contents, hex.
    pub offered_sha256: String,
}

/// Reports a conflict: once for the same offer, however often it is repeated.
pub(crate) fn conflict(conflict: &Conflict, trace_id: &str, now_ms: i64) -> OfferedEvent {
    let Conflict {
        producer,
        incarnation,
        producer_seq,
        seq,
        offered_sha256,
    } = conflict;
    let count = producer_seq.to_string();
    let origin = once(format!(
        "conflict-{}",
        digest(&[producer, incarnation, &count, offered_sha256])
    ));
    let payload = json!({
        "producer": producer,
        "incarnation": incarnation,
        "producer_seq": producer_seq,
        "logged_seq": seq,
        "offered_sha256": offered_sha256,
    });
    let reason = format!("{producer} delivered its event {producer_seq} again with other contents; they were refused");
    own(origin, PRODUCER_CONFLICT, reason, &payload, trace_id, now_ms)
}

fn digest(parts: &[&str]) -> String {
    hex::encode(&Sha256::digest(parts.join("\n"))[..16])
}
