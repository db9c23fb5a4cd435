//! What a drill runs against: the processes, their APIs, the exchange's own ledger, and the command line.

mod clients;
mod command;
mod leftovers;
mod sim;
mod wait;

pub use clients::Clients;
pub use command::{Command, CommandOutcome, shown_code};
pub use leftovers::end_leftovers;
pub use sim::SimAdmin;
pub use wait::{Ask, until, until_every};

use thunes_supervisor::embedded::{Environment, Service};

use crate::error::DrillError;

/// A running environment with everything that a drill needs to ask, change and break it.
#[derive(Debug)]
pub struct Drilled {
    pub processes: Environment,
    pub clients: Clients,
    pub sim: SimAdmin,
}

impl Drilled {
    /// Starts the processes of `plan` and prepares the clients.
    ///
    /// # Errors
    /// When something does not become ready.
    pub async fn start(
        plan: thunes_supervisor::embedded::Plan,
        progress: &mut (dyn FnMut(thunes_supervisor::embedded::Progress) + Send),
    ) -> Result<Self, DrillError> {
        let processes = Environment::start_with(plan, progress).await?;
        let url = |service| processes.url(service);
        let clients = Clients::new(
            &url(Service::Risk),
            &url(Service::Position),
            &url(Service::Audit),
            &url(Service::ExchangeGateway),
        );
        let sim = SimAdmin::new(&processes.url(Service::ExchangeSim), &processes.admin_url());
        Ok(Self {
            processes,
            clients,
            sim,
        })
    }

    /// The stand-in for the Bot API.
    pub fn standin_url(&self) -> String {
        self.processes.url(Service::TelegramStandin)
    }

    /// logs/audit_trail.jsonl of this environment.
    pub fn audit_file(&self) -> std::path::PathBuf {
        self.processes.data_dir().join("logs").join("audit_trail.jsonl")
    }
}
