use std::path::{Path, PathBuf};
use std::sync::Arc;

use thunes_supervisor::ProcessSpec;
use thunes_supervisor::embedded::{Environment, Service};

use crate::config::ComposeConfig;
use crate::error::ActionError;

/// Where an environment is, and what of it can be looked at from here.
#[derive(Debug)]
pub enum Place {
    /// Child processes of this one, started for the run and ended after it.
    Own(Arc<Environment>),
    /// Containers beside this one, which were there before the run and stay.
    Compose(Box<ComposePlace>),
}

/// What the orchestrator's container sees of the others.
#[derive(Debug)]
pub struct ComposePlace {
    pub config: ComposeConfig,
    /// The `thunes` binary.
    pub program: PathBuf,
    /// What the run itself writes: the trader's record, the runbook's traces.
    pub scratch: PathBuf,
}

/// What an operator's terminal is in this place.
#[derive(Debug, Clone)]
pub struct Terminal {
    pub env: Vec<(String, String)>,
    pub current_dir: PathBuf,
    /// Set where there is no shell: the only program that commands can name, by its own name.
    pub only_program: Option<PathBuf>,
}

impl Place {
    /// As the report names it.
    pub fn target(&self) -> &'static str {
        match self {
            Self::Own(_) => "local",
            Self::Compose(_) => "docker",
        }
    }

    /// A folder for what the run itself writes.
    pub fn scratch(&self) -> &Path {
        match self {
            Self::Own(environment) => environment.data_dir(),
            Self::Compose(place) => &place.scratch,
        }
    }

    /// logs/audit_trail.jsonl of the audit service.
    pub fn audit_file(&self) -> PathBuf {
        let folder = match self {
            Self::Own(environment) => environment.data_dir().to_owned(),
            Self::Compose(place) => place.config.evidence_dir.join(Service::Audit.name()),
        };
        folder.join("logs").join("audit_trail.jsonl")
    }

    /// The folders that hold the services' databases.
    pub fn database_dirs(&self) -> Vec<PathBuf> {
        match self {
            Self::Own(environment) => vec![environment.data_dir().to_owned()],
            Self::Compose(place) => [Service::Risk, Service::Position, Service::ExchangeGateway]
                .map(|service| place.config.evidence_dir.join(service.name()))
                .to_vec(),
        }
    }

    /// Another command of the same binary that finds the services by itself; it logs to logs/NAME.log of the scratch
    /// folder. The caller adds its arguments and owns the process.
    pub fn tool(&self, name: &str) -> ProcessSpec {
        match self {
            Self::Own(environment) => environment.tool(name),
            Self::Compose(place) => {
                let mut spec = ProcessSpec::new(name, &place.program, &place.scratch);
                spec.env_remove = own_variables();
                for (name, value) in place.addresses() {
                    spec.set_env(name, value);
                }
                spec
            }
        }
    }

    pub fn terminal(&self) -> Terminal {
        match self {
            Self::Own(environment) => Terminal {
                env: environment.shell_env(),
                current_dir: environment.data_dir().to_owned(),
                only_program: None,
            },
            Self::Compose(place) => Terminal {
                env: place.addresses(),
                current_dir: place.scratch.clone(),
                only_program: Some(place.program.clone()),
            },
        }
    }

    /// The stand-in for the Bot API.
    pub fn standin_url(&self) -> String {
        match self {
            Self::Own(environment) => environment.url(Service::TelegramStandin),
            Self::Compose(place) => place.config.telegram_url.clone(),
        }
    }

    /// Ends what was started for the run.
    pub async fn end(&self) {
        match self {
            Self::Own(environment) => {
                environment.stop_all().await;
            }
            Self::Compose(_) => {}
        }
    }
}

impl ComposePlace {
    /// Makes the scratch folder.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(config: ComposeConfig, program: PathBuf, scratch: PathBuf) -> Result<Self, ActionError> {
        std::fs::create_dir_all(scratch.join("run"))
            .map_err(ActionError::io(format!("{} cannot be made", scratch.display())))?;
        Ok(Self {
            config,
            program,
            scratch,
        })
    }

    fn addresses(&self) -> Vec<(String, String)> {
        let urls = [
            ("THUNES_RISK_URL", &self.config.risk_url),
            ("THUNES_POSITION_URL", &self.config.position_url),
            ("THUNES_AUDIT_URL", &self.config.audit_url),
            ("THUNES_GATEWAY_URL", &self.config.gateway_url),
        ];
        urls.map(|(name, url)| (name.to_owned(), url.clone())).to_vec()
    }
}

/// What this process was started with is not what an operator's command is.
fn own_variables() -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names
        .filter(|name| name.starts_with("THUNES_") && name != "THUNES_LOG")
        .collect()
}
