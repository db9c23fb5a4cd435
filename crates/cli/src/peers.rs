use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use thunes_proto::audit::v1::audit_service_client::AuditServiceClient;
use thunes_proto::gateway::v1::gateway_service_client::GatewayServiceClient;
use thunes_proto::position::v1::position_service_client::PositionServiceClient;
use thunes_proto::risk::v1::risk_service_client::RiskServiceClient;
use thunes_rpc::Client;
use thunes_supervisor::embedded::{Endpoints, Ports, Service};

use crate::args::Urls;
use crate::failure::Usage;

/// Where `thunes up` keeps its data when nobody says otherwise.
pub const DEFAULT_DATA_DIR: &str = "thunes-data";

/// Where the services are: by flag or variable, by the running environment of a data folder, else on the fixed ports.
#[derive(Debug)]
pub struct Peers {
    urls: Urls,
    data_dir: Option<PathBuf>,
}

impl Peers {
    pub fn new(urls: Urls, data_dir: Option<PathBuf>) -> Self {
        Self { urls, data_dir }
    }

    /// # Errors
    /// When a data folder is named in which no environment runs.
    pub fn url(&self, service: Service) -> anyhow::Result<String> {
        if let Some(url) = self.named(service) {
            return Ok(url.to_owned());
        }
        match &self.data_dir {
            Some(folder) => of_folder(folder, service),
            None => {
                // The default folder counts only while its environment runs: it may be left over from yesterday.
                let running = Endpoints::load(Path::new(DEFAULT_DATA_DIR))
                    .ok()
                    .filter(Endpoints::owner_is_alive);
                let url = running.and_then(|endpoints| endpoints.url(service).map(str::to_owned));
                Ok(url.unwrap_or_else(|| Ports::default().url(service)))
            }
        }
    }

    fn named(&self, service: Service) -> Option<&str> {
        match service {
            Service::Risk => self.urls.risk_url.as_deref(),
            Service::Position => self.urls.position_url.as_deref(),
            Service::Audit => self.urls.audit_url.as_deref(),
            Service::ExchangeGateway => self.urls.gateway_url.as_deref(),
            Service::ExchangeSim | Service::TelegramStandin | Service::FaultProxy | Service::DrillOrchestrator => None,
        }
    }

    fn connect(&self, service: Service) -> anyhow::Result<(Client, String)> {
        let url = self.url(service)?;
        let client = thunes_rpc::connect(&url).map_err(|error| Usage(error.to_string()))?;
        Ok((client, url))
    }

    pub fn risk(&self) -> anyhow::Result<(RiskServiceClient<Client>, String)> {
        self.connect(Service::Risk)
            .map(|(client, url)| (RiskServiceClient::new(client), url))
    }

    pub fn position(&self) -> anyhow::Result<(PositionServiceClient<Client>, String)> {
        self.connect(Service::Position)
            .map(|(client, url)| (PositionServiceClient::new(client), url))
    }

    pub fn audit(&self) -> anyhow::Result<(AuditServiceClient<Client>, String)> {
        self.connect(Service::Audit)
            .map(|(client, url)| (AuditServiceClient::new(client), url))
    }

    pub fn gateway(&self) -> anyhow::Result<(GatewayServiceClient<Client>, String)> {
        self.connect(Service::ExchangeGateway)
            .map(|(client, url)| (GatewayServiceClient::new(client), url))
    }
}

fn of_folder(folder: &Path, service: Service) -> anyhow::Result<String> {
    let path = Endpoints::path(folder);
    let endpoints = Endpoints::load(folder).with_context(|| {
        format!(
            "no environment runs in {}: {} cannot be read; start one with `thunes up --data-dir {0}`",
            folder.display(),
            path.display()
        )
    })?;
    ensure!(
        endpoints.owner_is_alive(),
        "the environment in {} has ended: its process {} is gone; start it again with `thunes up --data-dir {0}`",
        folder.display(),
        endpoints.pid
    );
    let url = endpoints.url(service).map(str::to_owned);
    url.with_context(|| format!("the environment in {} has no {service}", folder.display()))
}
