//! A TCP proxy on the links between services that makes network faults and counts what each of them hit. See README.md.

mod admin;
mod config;
mod connection;
pub mod domain;
mod error;
mod link;
mod service;

pub use config::ProxyConfig;
pub use connection::CONNECT_TIMEOUT;
pub use error::ProxyError;
pub use link::CONNECTIONS_MAX;
pub use service::serve;
