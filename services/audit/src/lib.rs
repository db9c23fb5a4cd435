//! The audit trail: one log, one writer, an answer only when the bytes are on disk. See `README.md`.

mod config;
mod domain;
mod error;
mod grpc;
mod journal;
mod metrics;
mod service;
mod tasks;
mod trail;

pub use config::AuditConfig;
pub use error::AuditError;
pub use service::serve;
