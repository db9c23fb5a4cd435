use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::Reader;
use crate::telemetry::OTLP_ENDPOINT_ENV;

/// Settings as given: a TOML file, then `THUNES_…` environment variables, then flags; the later one wins.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub(crate) file: toml::Table,
    pub(crate) origin: Option<PathBuf>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) overrides: BTreeMap<String, String>,
}

/// The settings file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("the settings file {path} cannot be read: {source}; name another with --config, or create it")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the settings file {path} is not TOML: {message}")]
    Syntax { path: PathBuf, message: String },
}

impl Settings {
    /// Environment variables that begin so are settings.
    pub const ENV_PREFIX: &'static str = "THUNES_";

    /// Reads the file, when one is named, and the environment of this process.
    ///
    /// # Errors
    /// When the file cannot be read or is not TOML.
    pub fn load(file: Option<&Path>) -> Result<Self, SettingsError> {
        let environment = std::env::vars()
            .filter(|(name, _)| name.starts_with(Self::ENV_PREFIX) || name == OTLP_ENDPOINT_ENV)
            .collect();
        let mut settings = Self {
            environment,
            ..Self::default()
        };
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|source| SettingsError::Read {
                path: path.to_owned(),
                source,
            })?;
            settings.file = text.parse().map_err(|e: toml::de::Error| SettingsError::Syntax {
                path: path.to_owned(),
                message: e.to_string(),
            })?;
            settings.origin = Some(path.to_owned());
        }
        Ok(settings)
    }

    /// Settings from TOML text alone; for tests and for environments that the orchestrator makes.
    ///
    /// # Errors
    /// When the text is not TOML.
    pub fn from_toml(text: &str) -> Result<Self, SettingsError> {
        let file = text.parse().map_err(|e: toml::de::Error| SettingsError::Syntax {
            path: PathBuf::from("(text)"),
            message: e.to_string(),
        })?;
        Ok(Self {
            file,
            ..Self::default()
        })
    }

    /// Sets one key as a flag does; `key` is dotted, as in `risk.limits.order_notional_max`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.overrides.insert(key.to_owned(), value.into());
        self
    }

    /// Starts reading one section, such as `risk`.
    pub fn reader(&self, section: &str) -> Reader<'_> {
        Reader::new(self, section)
    }

    /// The name of the environment variable for a dotted key.
    pub fn env_name(key: &str) -> String {
        format!("{}{}", Self::ENV_PREFIX, key.replace(['.', '-'], "_").to_uppercase())
    }
}
