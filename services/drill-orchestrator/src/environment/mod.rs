//! What a drill runs against: the services as targets, their APIs, the exchange's own ledger, the links between them, and
//! the command line.

mod clients;
mod command;
mod leftovers;
mod network;
mod place;
mod sim;
mod simple_command;
mod wait;

use std::path::PathBuf;
use std::sync::Arc;

pub use clients::Clients;
pub use command::{Command, CommandOutcome, shown_code};
pub use leftovers::end_leftovers;
pub use network::{Fault, FaultKind, LinkState, Network};
pub use place::{ComposePlace, Place, Terminal};
pub use sim::SimAdmin;
pub use simple_command::simple_commands;
use thunes_supervisor::containers::{self, GuardClient};
use thunes_supervisor::embedded::{self, Environment, Plan, Service};
use thunes_supervisor::{SupervisorError, Targets};
pub use wait::{Ask, until, until_every};

use crate::config::ComposeConfig;
use crate::error::DrillError;

/// A running environment with everything that a drill needs to ask, change and break it.
#[derive(Debug)]
pub struct Drilled {
    pub place: Place,
    pub targets: Arc<dyn Targets>,
    pub clients: Clients,
    pub sim: SimAdmin,
    pub network: Network,
}

impl Drilled {
    /// Starts the processes of `plan` and prepares the clients.
    ///
    /// # Errors
    /// When something does not become ready.
    pub async fn start(plan: Plan, progress: &mut (dyn FnMut(embedded::Progress) + Send)) -> Result<Self, DrillError> {
        let processes = Arc::new(Environment::start_with(plan, progress).await?);
        let url = |service| processes.url(service);
        Ok(Self {
            clients: Clients::new(
                &url(Service::Risk),
                &url(Service::Position),
                &url(Service::Audit),
                &url(Service::ExchangeGateway),
            )?,
            sim: SimAdmin::new(&processes.admin_url()),
            network: Network::new(processes.proxy_admin_url().into_iter().collect()),
            targets: processes.clone(),
            place: Place::Own(processes),
        })
    }

    /// Reaches for the containers beside this one.
    ///
    /// # Errors
    /// When the guard does not answer, or an address is malformed.
    pub async fn attach(config: &ComposeConfig, program: PathBuf, scratch: PathBuf) -> Result<Self, DrillError> {
        let guard = GuardClient::new(&config.guard_socket).map_err(SupervisorError::Container)?;
        let targets = containers::Environment::connect(Arc::new(guard), config.probes()).await?;
        let place = ComposePlace::new(config.clone(), program, scratch).map_err(DrillError::Attach)?;
        Ok(Self {
            clients: Clients::new(
                &config.risk_url,
                &config.position_url,
                &config.audit_url,
                &config.gateway_url,
            )?,
            sim: SimAdmin::new(&config.sim_admin_url),
            network: Network::new(config.proxy_urls.clone()),
            targets: Arc::new(targets),
            place: Place::Compose(Box::new(place)),
        })
    }
}
