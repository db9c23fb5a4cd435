//! The only way to the exchange: fenced opening orders, orders in doubt, fills, reconciliation. See the crate's README.

mod cancel;
mod config;
mod denial;
mod domain;
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
mod service;
mod start;
mod stopping;
mod store;
mod submit;
mod user_stream;
mod wire;

pub use config::{Environment, GatewayConfig};
pub use error::GatewayError;
pub use service::serve;
