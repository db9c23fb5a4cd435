//! Why the exchange could not start or had to stop.

use std::path::PathBuf;

/// A failure of the exchange itself; refusals of requests are answers, not errors.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The configuration breaks rules; all of them are named.
    #[error("exchange-sim configuration: {}", .0.join("; "))]
    Config(Vec<String>),
    /// The kline file cannot be read.
    #[error("klines_csv {path}: {reason}")]
    Klines {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line.
        reason: String,
    },
    /// The data folder cannot be used.
    #[error("data folder {path}: {source}; make it writable or choose another data_dir")]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The ledger cannot be opened, read or written.
    #[error("ledger {path}: cannot {what}: {source}")]
    Ledger {
        /// The database.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The cause.
        source: sqlx::Error,
    },
    /// The ledger holds a row that is not what was written.
    #[error("ledger {path}: row {row} cannot be read: {reason}; restore the file or start with an empty data_dir")]
    CorruptRow {
        /// The database.
        path: PathBuf,
        /// Table and key.
        row: String,
        /// What is wrong.
        reason: String,
    },
    /// A listener failed.
    #[error("listener {what}: {source}")]
    Listener {
        /// Which one.
        what: &'static str,
        /// The cause.
        source: std::io::Error,
    },
}
