use crate::embedded::Service;

/// The links between the services of an environment that the fault proxy carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    GatewayRisk,
    GatewayPosition,
    GatewayAudit,
    RiskPosition,
    RiskAudit,
    PositionAudit,
    RiskTelegram,
    /// REST and WebSocket.
    GatewayExchange,
}

impl Link {
    /// In the order of their fixed ports.
    pub const ALL: [Link; 8] = [
        Link::GatewayRisk,
        Link::GatewayPosition,
        Link::GatewayAudit,
        Link::RiskPosition,
        Link::RiskAudit,
        Link::PositionAudit,
        Link::RiskTelegram,
        Link::GatewayExchange,
    ];

    /// `client:server`, as the fault proxy calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Link::GatewayRisk => "exchange-gateway:risk",
            Link::GatewayPosition => "exchange-gateway:position",
            Link::GatewayAudit => "exchange-gateway:audit",
            Link::RiskPosition => "risk:position",
            Link::RiskAudit => "risk:audit",
            Link::PositionAudit => "position:audit",
            Link::RiskTelegram => "risk:telegram",
            Link::GatewayExchange => "exchange-gateway:exchange",
        }
    }

    /// Who listens at its end.
    pub const fn server(self) -> Service {
        match self {
            Link::GatewayRisk => Service::Risk,
            Link::GatewayPosition | Link::RiskPosition => Service::Position,
            Link::GatewayAudit | Link::RiskAudit | Link::PositionAudit => Service::Audit,
            Link::RiskTelegram => Service::TelegramStandin,
            Link::GatewayExchange => Service::ExchangeSim,
        }
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}
