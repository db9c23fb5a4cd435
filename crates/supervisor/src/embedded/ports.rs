use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};

use crate::SupervisorError;
use crate::embedded::{Link, Service};

/// Free ports are taken from here upwards, out of the way of the fixed ones.
const FREE_PORT_MIN: u16 = 10_240;
/// Fewer numbers than this below the kernel's own range, and that range is used as well.
const FREE_PORTS_WANTED: u16 = 1000;
const TRIES_MAX: usize = 2000;

/// The port of each service on 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    pub risk: u16,
    pub position: u16,
    pub audit: u16,
    pub exchange_gateway: u16,
    pub drill_orchestrator: u16,
    pub exchange_sim: u16,
    pub exchange_sim_admin: u16,
    pub telegram_standin: u16,
    pub fault_proxy: u16,
    /// Where the fault proxy listens for each of [`Link::ALL`].
    pub links: [u16; Link::ALL.len()],
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            risk: 7101,
            position: 7102,
            audit: 7103,
            exchange_gateway: 7104,
            drill_orchestrator: 7105,
            exchange_sim: 7110,
            exchange_sim_admin: 7111,
            telegram_standin: 7112,
            fault_proxy: 7113,
            links: [7121, 7122, 7123, 7124, 7125, 7126, 7127, 7128],
        }
    }
}

impl Ports {
    pub fn of(&self, service: Service) -> u16 {
        match service {
            Service::ExchangeSim => self.exchange_sim,
            Service::TelegramStandin => self.telegram_standin,
            Service::FaultProxy => self.fault_proxy,
            Service::Audit => self.audit,
            Service::Position => self.position,
            Service::Risk => self.risk,
            Service::ExchangeGateway => self.exchange_gateway,
            Service::DrillOrchestrator => self.drill_orchestrator,
        }
    }

    /// Chooses the port of one service.
    pub fn set(&mut self, service: Service, port: u16) {
        match service {
            Service::ExchangeSim => self.exchange_sim = port,
            Service::TelegramStandin => self.telegram_standin = port,
            Service::FaultProxy => self.fault_proxy = port,
            Service::Audit => self.audit = port,
            Service::Position => self.position = port,
            Service::Risk => self.risk = port,
            Service::ExchangeGateway => self.exchange_gateway = port,
            Service::DrillOrchestrator => self.drill_orchestrator = port,
        }
    }

    pub fn url(&self, service: Service) -> String {
        format!("http://{}", loopback(self.of(service)))
    }

    /// The simulated exchange's admin interface.
    pub fn admin_url(&self) -> String {
        format!("http://{}", loopback(self.exchange_sim_admin))
    }

    /// Where the fault proxy listens for `link`.
    pub fn of_link(&self, link: Link) -> u16 {
        self.links[link.index()]
    }

    /// Every port that `services` listen on, the fault proxy for `links`, with whose it is.
    pub(crate) fn listened_on(&self, services: &[Service], links: &[Link]) -> Vec<(&'static str, u16)> {
        let mut all: Vec<_> = services
            .iter()
            .map(|service| (service.name(), self.of(*service)))
            .collect();
        if services.contains(&Service::ExchangeSim) {
            all.push(("exchange-sim admin", self.exchange_sim_admin));
        }
        if services.contains(&Service::FaultProxy) {
            all.extend(links.iter().map(|link| (link.name(), self.of_link(*link))));
        }
        all
    }
}

/// Where the ports come from.
#[derive(Debug, Clone, Copy)]
pub enum PortChoice {
    /// These; one that is taken is an error.
    Fixed(Ports),
    /// Any that are free.
    Free,
}

pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}

/// Ports that no other environment on this machine takes while this lives.
#[derive(Debug)]
pub(crate) struct Reserved {
    pub(crate) ports: Ports,
    /// A UDP socket of the same number stands for each port: it leaves the TCP port to the service, also while the
    /// service is down for a restart, and the kernel drops it whatever ends this process.
    _tokens: Vec<UdpSocket>,
}

impl Reserved {
    pub(crate) fn fixed(ports: Ports) -> Self {
        Self {
            ports,
            _tokens: Vec::new(),
        }
    }

    pub(crate) fn free() -> Result<Self, SupervisorError> {
        let mut tokens = Vec::new();
        let mut ports = Ports::default();
        for service in Service::ALL {
            ports.set(service, one_free(&mut tokens)?);
        }
        ports.exchange_sim_admin = one_free(&mut tokens)?;
        for port in &mut ports.links {
            *port = one_free(&mut tokens)?;
        }
        Ok(Self { ports, _tokens: tokens })
    }
}

/// Which of these ports something else listens on.
pub(crate) fn taken(ports: Vec<(&'static str, u16)>) -> Vec<(&'static str, u16)> {
    // The standard library's listener sets SO_REUSEADDR, as the services' do, so closed connections do not count.
    ports
        .into_iter()
        .filter(|(_, port)| TcpListener::bind(loopback(*port)).is_err())
        .collect()
}

fn one_free(tokens: &mut Vec<UdpSocket>) -> Result<u16, SupervisorError> {
    let (low, span) = candidates();
    for _ in 0..TRIES_MAX {
        let port = low + u16::try_from(random() % u64::from(span)).unwrap_or(0);
        let Ok(token) = UdpSocket::bind(loopback(port)) else {
            continue;
        };
        if TcpListener::bind(loopback(port)).is_ok() {
            tokens.push(token);
            return Ok(port);
        }
    }
    Err(SupervisorError::NoFreePorts { tried: TRIES_MAX })
}

/// Below the range from which the kernel numbers outgoing connections: one of those could otherwise hold the port of a
/// service that is down for a moment.
fn candidates() -> (u16, u16) {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let low = range
        .split_ascii_whitespace()
        .next()
        .and_then(|low| low.parse::<u16>().ok())
        .unwrap_or(0);
    let span = low.saturating_sub(FREE_PORT_MIN);
    if span >= FREE_PORTS_WANTED {
        (FREE_PORT_MIN, span)
    } else {
        (FREE_PORT_MIN, u16::MAX - FREE_PORT_MIN)
    }
}

/// The standard library seeds each of these from the operating system.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn reserved_ports_are_distinct_and_stay_reserved() {
        let environments: Vec<_> = (0..20).map(|_| Reserved::free().expect("ports")).collect();
        let all: Vec<u16> = environments
            .iter()
            .flat_map(|e| e.ports.listened_on(&Service::ALL, &Link::ALL))
            .map(|(_, port)| port)
            .collect();
        assert_eq!(all.len(), 20 * (8 + 1 + 8));
        assert_eq!(
            all.iter().collect::<BTreeSet<_>>().len(),
            all.len(),
            "no port was given twice: {all:?}"
        );
        for port in all {
            TcpListener::bind(loopback(port)).expect("the TCP port is left to the service");
        }
    }

    #[test]
    fn a_port_in_use_is_named() {
        let holder = TcpListener::bind(loopback(0)).expect("bound");
        let port = holder.local_addr().expect("address").port();
        assert_eq!(taken(vec![("risk", port)]), vec![("risk", port)]);
        drop(holder);
        assert_eq!(taken(vec![("risk", port)]), vec![]);
    }
}
