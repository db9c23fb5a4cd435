//! The gate: kill-switch, limits, leases, alerts. See the crate's README.

mod alerts;
mod answers;
mod config;
mod deactivating;
/// The decisions, for benchmarks and for the model that checks the fence. No interface for anybody else.
#[doc(hidden)]
pub mod domain;
mod engine;
mod error;
mod fencing;
mod grpc;
mod lease_stream;
mod limit_changes;
mod metrics;
mod recording;
mod service;
mod stops;
mod store;
mod switching;
mod tasks;
mod triggering;

pub use config::{RiskConfig, TelegramConfig};
pub use domain::limits::Limits;
pub use error::RiskError;
pub use service::serve;
