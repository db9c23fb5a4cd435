//! The book: a ledger of fills, the positions folded from it, profit and loss. See README.md.

mod baseline;
mod config;
mod decode;
pub mod domain;
mod encode;
mod error;
mod grpc;
mod keeper;
mod live;
mod metrics;
mod service;
mod store;
mod tasks;
mod watch;

pub use config::PositionConfig;
pub use error::PositionError;
pub use service::{SERVICE, serve};
