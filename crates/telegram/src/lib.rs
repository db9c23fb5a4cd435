//! Telegram's Bot API: the client that sends alerts, and a stand-in that real bot libraries accept, for environments
//! without a bot.

mod client;
mod standin;
mod tls;

pub use client::{API_URL, SendOutcome, TEXT_UNITS_MAX, TelegramClient, TelegramError};
pub use standin::{MESSAGES_MAX, StandinConfig, serve_standin};
