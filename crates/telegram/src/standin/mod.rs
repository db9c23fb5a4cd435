//! A Bot API for environments without a bot: it keeps what it is sent and shows it to whoever asks.

mod answer;
mod book;
mod bot_api;
mod config;
mod control;
mod multipart;
mod params;
mod server;

pub use book::MESSAGES_MAX;
pub use config::StandinConfig;
pub use server::serve_standin;
