//! The only place that knows every service by its crate.

use anyhow::Context;
use thunes_audit::AuditConfig;
use thunes_drill::DrillConfig;
use thunes_exchange_sim::SimSettings;
use thunes_fault_proxy::ProxyConfig;
use thunes_gateway::GatewayConfig;
use thunes_position::PositionConfig;
use thunes_risk::RiskConfig;
use thunes_runtime::{ConfigFaults, KeyDoc, ListenAddress, Settings, TelemetryConfig};
use thunes_supervisor::embedded::Service;
use thunes_telegram::StandinConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A service with its settings read.
#[derive(Debug)]
pub enum Configured {
    Risk(Box<RiskConfig>),
    Position(Box<PositionConfig>),
    Audit(Box<AuditConfig>),
    Gateway(Box<GatewayConfig>),
    Drill(Box<DrillConfig>),
    Sim(Box<SimSettings>),
    Telegram(Box<StandinConfig>),
    Proxy(Box<ProxyConfig>),
}

impl Configured {
    /// Reads the section of `service`.
    ///
    /// # Errors
    /// Every fault of the section at once.
    pub fn read(service: Service, settings: &Settings) -> Result<(Self, Vec<KeyDoc>), ConfigFaults> {
        macro_rules! read {
            ($variant:ident, $config:ty) => {
                <$config>::read(settings).map(|(config, docs)| (Self::$variant(Box::new(config)), docs))
            };
        }
        match service {
            Service::Risk => read!(Risk, RiskConfig),
            Service::Position => read!(Position, PositionConfig),
            Service::Audit => read!(Audit, AuditConfig),
            Service::ExchangeGateway => read!(Gateway, GatewayConfig),
            Service::DrillOrchestrator => read!(Drill, DrillConfig),
            Service::ExchangeSim => read!(Sim, SimSettings),
            Service::TelegramStandin => read!(Telegram, StandinConfig),
            Service::FaultProxy => read!(Proxy, ProxyConfig),
        }
    }

    pub fn listen(&self) -> ListenAddress {
        match self {
            Self::Risk(config) => config.listen.clone(),
            Self::Position(config) => config.listen.clone(),
            Self::Audit(config) => config.listen.clone(),
            Self::Gateway(config) => config.listen.clone(),
            Self::Drill(config) => config.listen.clone(),
            Self::Sim(config) => config.listen.clone(),
            Self::Telegram(config) => config.listen.clone(),
            Self::Proxy(config) => config.listen.clone(),
        }
    }

    /// The simulated exchange's admin interface, which only it has.
    pub fn admin_listen(&self) -> Option<ListenAddress> {
        match self {
            Self::Sim(config) => Some(config.admin_listen.clone()),
            Self::Risk(_)
            | Self::Position(_)
            | Self::Audit(_)
            | Self::Gateway(_)
            | Self::Drill(_)
            | Self::Telegram(_)
            | Self::Proxy(_) => None,
        }
    }

    pub fn plaintext(&self) -> bool {
        match self {
            Self::Risk(config) => config.plaintext,
            Self::Position(config) => config.plaintext,
            Self::Audit(config) => config.plaintext,
            Self::Gateway(config) => config.plaintext,
            Self::Drill(config) => config.plaintext,
            Self::Sim(config) => config.plaintext,
            Self::Telegram(config) => config.plaintext,
            Self::Proxy(config) => config.plaintext,
        }
    }

    /// Serves until `shutdown`. `admin` is there exactly when [`Configured::admin_listen`] is.
    pub async fn serve(
        self,
        listener: TcpListener,
        admin: Option<TcpListener>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        match self {
            Self::Risk(config) => thunes_risk::serve(*config, listener, shutdown).await?,
            Self::Position(config) => thunes_position::serve(*config, listener, shutdown).await?,
            Self::Audit(config) => thunes_audit::serve(*config, listener, shutdown).await?,
            Self::Gateway(config) => thunes_gateway::serve(*config, listener, shutdown).await?,
            Self::Drill(config) => thunes_drill::serve(*config, listener, shutdown).await?,
            Self::Telegram(_) => thunes_telegram::serve_standin(listener, shutdown).await?,
            Self::Proxy(config) => thunes_fault_proxy::serve(*config, listener, shutdown).await?,
            Self::Sim(config) => {
                let admin = admin.context("the simulated exchange has a second listener")?;
                thunes_exchange_sim::serve(config.config, listener, admin, shutdown).await?;
            }
        }
        Ok(())
    }
}

/// The settings of several services; those of telemetry are looked at too, since every process reads them.
///
/// # Errors
/// Every fault of all of them at once.
pub fn read_all(services: &[Service], settings: &Settings) -> Result<Vec<(Service, Configured)>, ConfigFaults> {
    let mut all = Vec::new();
    let mut faulty: Option<ConfigFaults> = None;
    let mut note = |faults: ConfigFaults| match &mut faulty {
        // A section that does not exist is seen by every reader.
        Some(known) => known
            .faults
            .extend(faults.faults.into_iter().filter(|f| !f.key.starts_with('['))),
        none => *none = Some(faults),
    };
    for &service in services {
        match Configured::read(service, settings) {
            Ok((configured, _)) => all.push((service, configured)),
            Err(faults) => note(faults),
        }
    }
    if let Err(faults) = TelemetryConfig::read(settings) {
        note(faults);
    }
    faulty.map_or(Ok(all), Err)
}
