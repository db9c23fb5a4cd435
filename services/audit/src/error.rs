use std::io;
use std::path::PathBuf;

use thunes_rpc::{Refusal, ServeError};
use thunes_tlog::{AppendError, OpenError, ReadError};
use thunes_types::ReasonCode;
use tonic::{Code, Status};

use crate::domain::known::Inconsistent;
use crate::domain::offer::OfferFault;
use crate::domain::own::Conflict;

/// Why the audit service cannot start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the audit service stops, since it must not acknowledge what it cannot keep: {0}")]
    Append(#[from] AppendError),
    #[error("the audit service stops, since its log is not what it wrote: {0}")]
    Read(#[from] ReadError),
    #[error("the audit log {path} contradicts itself: {detail}; keep the folder and report this as a defect")]
    Inconsistent { path: PathBuf, detail: String },
    #[error("the quarantine folder {path} cannot be read: {source}")]
    Quarantine { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("a task of the audit service failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl AuditError {
    pub(crate) fn inconsistent(path: &std::path::Path, fault: &Inconsistent) -> Self {
        Self::Inconsistent {
            path: path.to_owned(),
            detail: fault.to_string(),
        }
    }
}

/// Why a request did not enter the log. Nothing of it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Denied {
    Gap {
        producer: String,
        incarnation: String,
        producer_seq: u64,
        expected: u64,
    },
    Conflict(Conflict),
    RequestReused {
        request_id: String,
    },
    Storage(String),
    Overloaded,
    ShuttingDown,
}

impl From<Denied> for Status {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Gap {
                producer,
                incarnation,
                producer_seq,
                expected,
            } => Refusal::new(
                Code::FailedPrecondition,
                ReasonCode::ProducerGap,
                format!(
                    "{producer} (database {incarnation}) delivered event {producer_seq}, but audit waits for \
                     {expected}; deliver from there on, in order"
                ),
            )
            .with("expected_producer_seq", expected)
            .with("producer_seq", producer_seq)
            .into(),
            Denied::Conflict(conflict) => Refusal::new(
                Code::AlreadyExists,
                ReasonCode::ProducerConflict,
                format!(
                    "{} (database {}) delivered event {} with other contents than stand at sequence {}; \
                     stop this producer and find out which of its databases is right",
                    conflict.producer, conflict.incarnation, conflict.producer_seq, conflict.seq
                ),
            )
            .with("seq", conflict.seq)
            .with("producer_seq", conflict.producer_seq)
            .into(),
            Denied::RequestReused { request_id } => Refusal::new(
                Code::AlreadyExists,
                ReasonCode::RequestIdReused,
                format!("request_id {request_id:?} was used with another payload; use a new one"),
            )
            .with("request_id", request_id)
            .into(),
            Denied::Storage(message) => Refusal::new(Code::Unavailable, ReasonCode::StorageFailed, message).into(),
            Denied::Overloaded => Refusal::new(
                Code::ResourceExhausted,
                ReasonCode::Overloaded,
                "too many events wait for the disk; nothing of this request was taken, repeat it later",
            )
            .into(),
            Denied::ShuttingDown => Refusal::new(
                Code::Unavailable,
                ReasonCode::ShuttingDown,
                "audit is shutting down; nothing of this request was taken, repeat it later",
            )
            .into(),
        }
    }
}

impl From<OfferFault> for Status {
    fn from(fault: OfferFault) -> Self {
        match fault {
            OfferFault::Fields(faults) => thunes_rpc::invalid_fields(faults),
            OfferFault::TooLarge { index, bytes } => Refusal::new(
                Code::InvalidArgument,
                ReasonCode::EventTooLarge,
                format!(
                    "events[{index}] makes a line of up to {bytes} bytes; at most {} are allowed: shorten its payload",
                    thunes_tlog::LINE_BYTES_MAX
                ),
            )
            .with("index", index)
            .with("bytes", bytes)
            .into(),
        }
    }
}
