use std::path::PathBuf;

use thunes_runtime::{ConfigFaults, KeyDoc, ListenAddress, Settings};

use crate::domain::Asset;

/// The settings of section `[position]`.
#[derive(Debug, Clone)]
pub struct PositionConfig {
    pub listen: ListenAddress,
    /// Whether an address that is not loopback may be listened on.
    pub plaintext: bool,
    pub data_dir: PathBuf,
    pub audit_url: String,
    /// What the daily P&L is stated in.
    pub pnl_asset: Asset,
}

impl PositionConfig {
    /// Reads section `[position]`.
    ///
    /// # Errors
    /// Every fault of the section at once.
    pub fn read(settings: &Settings) -> Result<(Self, Vec<KeyDoc>), ConfigFaults> {
        let mut reader = settings.reader("position");
        let config = Self {
            listen: reader.listen("listen", "127.0.0.1:7102", "Where the position service listens."),
            plaintext: reader.boolean(
                "plaintext",
                false,
                "Allow an address that is not loopback, without identity and TLS.",
            ),
            data_dir: reader.path("data_dir", "thunes-data", "The data folder; position.db is kept there."),
            audit_url: reader.parsed(
                "audit_url",
                "http://127.0.0.1:7103",
                "Where the audit service is.",
                peer_url,
            ),
            pnl_asset: reader.parsed(
                "pnl_asset",
                "USDT",
                "The quote asset that the daily P&L is stated in; symbols quoted in another asset are left out of it.",
                |text| Asset::parse_as("pnl_asset", text).map_err(|fault| fault.rule),
            ),
        };
        Ok((config, reader.finish()?))
    }

    /// Where the database is.
    pub fn database_path(&self) -> PathBuf {
        self.data_dir.join("position.db")
    }
}

fn peer_url(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("http://").unwrap_or_default();
    if host.is_empty() || text.contains(char::is_whitespace) {
        return Err("an address such as http://127.0.0.1:7103".to_owned());
    }
    Ok(text.to_owned())
}
