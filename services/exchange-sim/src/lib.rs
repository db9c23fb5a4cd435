//! A stand-in for the Binance Spot exchange: its own process, its own durable ledger, no logic shared with the gateway.

mod admin;
mod api;
mod config;
mod depth_streams;
mod domain;
mod engine;
mod error;
mod faults;
mod http;
mod ledger;
mod market_streams;
mod server;
mod settings;
mod ws_api;

pub use config::{AccountConfig, CommissionIn, SimConfig, SymbolConfig};
pub use error::SimError;
pub use server::serve;
pub use settings::SimSettings;
