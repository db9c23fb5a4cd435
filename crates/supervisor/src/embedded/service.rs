use std::fmt;

/// The processes of an environment, in the order in which they start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    ExchangeSim,
    TelegramStandin,
    /// Before the services whose links it carries.
    FaultProxy,
    Audit,
    Position,
    Risk,
    ExchangeGateway,
    DrillOrchestrator,
}

impl Service {
    /// In the order of their start; they stop in the opposite one.
    pub const ALL: [Service; 8] = [
        Service::ExchangeSim,
        Service::TelegramStandin,
        Service::FaultProxy,
        Service::Audit,
        Service::Position,
        Service::Risk,
        Service::ExchangeGateway,
        Service::DrillOrchestrator,
    ];

    /// As in `thunes serve NAME`, log files and pid files.
    pub const fn name(self) -> &'static str {
        match self {
            Service::ExchangeSim => "exchange-sim",
            Service::TelegramStandin => "telegram-standin",
            Service::FaultProxy => "fault-proxy",
            Service::Audit => "audit",
            Service::Position => "position",
            Service::Risk => "risk",
            Service::ExchangeGateway => "exchange-gateway",
            Service::DrillOrchestrator => "drill-orchestrator",
        }
    }

    /// Its section of the settings.
    pub const fn section(self) -> &'static str {
        match self {
            Service::ExchangeSim => "sim",
            Service::TelegramStandin => "telegram",
            Service::FaultProxy => "proxy",
            Service::Audit => "audit",
            Service::Position => "position",
            Service::Risk => "risk",
            Service::ExchangeGateway => "gateway",
            Service::DrillOrchestrator => "drill",
        }
    }

    /// The service of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name() == name)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
