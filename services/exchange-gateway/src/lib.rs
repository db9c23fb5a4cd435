//! The only way to the exchange: fenced opening orders, orders in doubt, fills, reconciliation. See the crate's README.

#[cfg(test)]
mod against_sim;
mod cancel;
mod config;
mod denial;
/// The decisions, for benchmarks and for the model that checks the fence. No interface for anybody else.
#[doc(hidden)]
pub mod domain;
mod ending;
mod engine;
mod error;
mod fill_delivery;
mod grpc;
mod health;
mod hear;
mod lease_client;
mod market;
mod metrics;
mod new_order;
mod questions;
mod reconciling;
mod resolve;
mod resolve_by_hand;
mod service;
mod stages;
mod start;
mod stopping;
mod store;
mod submit;
mod transfers;
mod user_stream;
mod wire;

pub use config::{Environment, GatewayConfig, ReconcileConfig};
pub use error::GatewayError;
pub use service::serve;
