use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::embedded::{Link, PortChoice, Ports, Service};

/// Which exchange the environment trades on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exchange {
    /// The simulated one, started with the environment.
    Sim,
    /// The one that the settings name.
    External,
}

/// Who receives alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telegram {
    /// A local stand-in for the Bot API, started with the environment.
    Standin,
    /// The bot that the settings name.
    External,
}

/// What an environment is made of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The `thunes` binary.
    pub program: PathBuf,
    pub data_dir: PathBuf,
    pub ports: PortChoice,
    /// For the simulated exchange's prices.
    pub seed: u64,
    /// Given to every service with --config.
    pub config_file: Option<PathBuf>,
    /// Whether `THUNES_…` variables of this process count for the services too. THUNES_LOG always does.
    pub inherit_settings: bool,
    /// More settings: dotted key and value. They win over everything else.
    pub settings: BTreeMap<Service, Vec<(String, String)>>,
    /// What THUNES_FAILPOINTS says to a service; debug builds only.
    pub failpoints: BTreeMap<Service, String>,
    /// The folder in which failpoints that act leave a line each; debug builds only.
    pub failpoint_hits: Option<PathBuf>,
    pub exchange: Exchange,
    pub telegram: Telegram,
    pub drill_orchestrator: bool,
    /// Whether the links between the services go through a fault proxy.
    pub fault_proxy: bool,
    /// How long one service may take until it is ready.
    pub ready_within: Duration,
}

impl Plan {
    /// An environment on the fixed ports with everything in it but the fault proxy, as `thunes up` has it.
    pub fn new(program: impl Into<PathBuf>, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            data_dir: data_dir.into(),
            ports: PortChoice::Fixed(Ports::default()),
            seed: 1,
            config_file: None,
            inherit_settings: true,
            settings: BTreeMap::new(),
            failpoints: BTreeMap::new(),
            failpoint_hits: None,
            exchange: Exchange::Sim,
            telegram: Telegram::Standin,
            drill_orchestrator: true,
            fault_proxy: false,
            ready_within: Duration::from_secs(30),
        }
    }

    /// An environment of its own, for a drill or a test: free ports, the simulated exchange, nothing inherited, no
    /// orchestrator.
    pub fn isolated(program: impl Into<PathBuf>, data_dir: impl Into<PathBuf>, seed: u64) -> Self {
        Self {
            ports: PortChoice::Free,
            seed,
            inherit_settings: false,
            drill_orchestrator: false,
            ..Self::new(program, data_dir)
        }
    }

    /// Adds one setting for one service.
    #[must_use]
    pub fn setting(mut self, service: Service, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings
            .entry(service)
            .or_default()
            .push((key.into(), value.into()));
        self
    }

    /// Sets what THUNES_FAILPOINTS says to one service.
    #[must_use]
    pub fn failpoints(mut self, service: Service, text: impl Into<String>) -> Self {
        self.failpoints.insert(service, text.into());
        self
    }

    /// Puts a fault proxy on the links between the services.
    #[must_use]
    pub fn with_fault_proxy(mut self) -> Self {
        self.fault_proxy = true;
        self
    }

    /// The links that the fault proxy of this plan carries: those whose two ends are in it.
    pub fn links(&self) -> Vec<Link> {
        let services = self.services();
        let carried = |link: &Link| self.fault_proxy && services.contains(&link.server());
        Link::ALL.into_iter().filter(carried).collect()
    }

    /// The services of this plan, in the order of their start.
    pub fn services(&self) -> Vec<Service> {
        let wanted = |service: &Service| match service {
            Service::ExchangeSim => self.exchange == Exchange::Sim,
            Service::TelegramStandin => self.telegram == Telegram::Standin,
            Service::FaultProxy => self.fault_proxy,
            Service::Audit | Service::Position | Service::Risk | Service::ExchangeGateway => true,
            Service::DrillOrchestrator => self.drill_orchestrator,
        };
        Service::ALL.into_iter().filter(wanted).collect()
    }
}
