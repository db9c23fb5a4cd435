use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::embedded::Service;
use crate::{ProcessState, process_state};

/// Where the services of an environment are: DIR/run/endpoints.json, there while the environment runs.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Endpoints {
    pub schema_version: u32,
    /// The process that owns the environment.
    pub pid: u32,
    pub data_dir: PathBuf,
    pub seed: u64,
    pub started_at_ms: i64,
    /// By name.
    pub services: BTreeMap<String, ServiceEndpoint>,
}

/// One service of it.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct ServiceEndpoint {
    pub url: String,
    /// The simulated exchange's admin interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_url: Option<String>,
    /// None while it is down.
    pub pid: Option<u32>,
    pub log_file: PathBuf,
}

impl Endpoints {
    pub const SCHEMA_VERSION: u32 = 1;

    /// DIR/run/endpoints.json.
    pub fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("run").join("endpoints.json")
    }

    /// Reads the file of a data folder.
    ///
    /// # Errors
    /// When there is none (no environment runs there) or it cannot be read.
    pub fn load(data_dir: &Path) -> io::Result<Self> {
        let text = std::fs::read(Self::path(data_dir))?;
        serde_json::from_slice(&text).map_err(io::Error::from)
    }

    /// Whether the process that wrote the file still runs.
    pub fn owner_is_alive(&self) -> bool {
        matches!(process_state(self.pid), ProcessState::Alive | ProcessState::Stopped)
    }

    pub fn url(&self, service: Service) -> Option<&str> {
        self.services.get(service.name()).map(|endpoint| endpoint.url.as_str())
    }

    /// Replaces the file in one step, so that readers never see half of it.
    pub(crate) fn write(&self) -> io::Result<()> {
        let path = Self::path(&self.data_dir);
        let fresh = path.with_extension("json.new");
        std::fs::write(&fresh, serde_json::to_vec_pretty(self).map_err(io::Error::from)?)?;
        std::fs::rename(fresh, path)
    }
}
