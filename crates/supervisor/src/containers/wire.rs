//! Containers as the guard's messages have them, both ways.

use thunes_proto::guard::v1 as pb;

use crate::containers::{Container, ContainerError, Health, LogLine, LogStream, Network, Phase, Published};

const fn lacks(what: &'static str) -> ContainerError {
    ContainerError::Malformed {
        call: "the guard",
        what,
    }
}

impl From<Container> for pb::Container {
    fn from(container: Container) -> Self {
        let network = |network: Network| pb::Network {
            name: network.name,
            aliases: network.aliases,
            ip_address: network.ip_address,
        };
        let port = |port: Published| pb::PublishedPort {
            host_ip: port.host_ip,
            host_port: port.host_port.into(),
            container_port: port.container_port.into(),
            protocol: port.protocol,
        };
        Self {
            service: container.service,
            id: container.id,
            name: container.name,
            phase: phase(container.phase).into(),
            exit_code: container.exit_code,
            oom_killed: container.oom_killed,
            health: health(container.health).into(),
            started_at: container.started_at,
            finished_at: container.finished_at,
            networks: container.networks.into_iter().map(network).collect(),
            published: container.published.into_iter().map(port).collect(),
        }
    }
}

impl TryFrom<pb::Container> for Container {
    type Error = ContainerError;

    fn try_from(container: pb::Container) -> Result<Self, ContainerError> {
        let phase = match container.phase() {
            pb::Phase::Created => Phase::Created,
            pb::Phase::Running => Phase::Running,
            pb::Phase::Paused => Phase::Paused,
            pb::Phase::Restarting => Phase::Restarting,
            pb::Phase::Exited => Phase::Exited,
            pb::Phase::Dead => Phase::Dead,
            pb::Phase::Unspecified => return Err(lacks("a known phase")),
        };
        let health = match container.health() {
            pb::Health::Absent => Health::Absent,
            pb::Health::Starting => Health::Starting,
            pb::Health::Healthy => Health::Healthy,
            pb::Health::Unhealthy => Health::Unhealthy,
            pb::Health::Unspecified => return Err(lacks("a known health")),
        };
        let network = |network: pb::Network| Network {
            name: network.name,
            aliases: network.aliases,
            ip_address: network.ip_address,
        };
        let port = |port: pb::PublishedPort| -> Result<Published, ContainerError> {
            Ok(Published {
                host_ip: port.host_ip,
                host_port: u16::try_from(port.host_port).map_err(|_| lacks("a port below 65536"))?,
                container_port: u16::try_from(port.container_port).map_err(|_| lacks("a port below 65536"))?,
                protocol: port.protocol,
            })
        };
        Ok(Self {
            service: container.service,
            id: container.id,
            name: container.name,
            phase,
            exit_code: container.exit_code,
            oom_killed: container.oom_killed,
            health,
            started_at: container.started_at,
            finished_at: container.finished_at,
            networks: container.networks.into_iter().map(network).collect(),
            published: container.published.into_iter().map(port).collect::<Result<_, _>>()?,
        })
    }
}

fn phase(phase: Phase) -> pb::Phase {
    match phase {
        Phase::Created => pb::Phase::Created,
        Phase::Running => pb::Phase::Running,
        Phase::Paused => pb::Phase::Paused,
        Phase::Restarting => pb::Phase::Restarting,
        Phase::Exited => pb::Phase::Exited,
        Phase::Dead => pb::Phase::Dead,
    }
}

fn health(health: Health) -> pb::Health {
    match health {
        Health::Absent => pb::Health::Absent,
        Health::Starting => pb::Health::Starting,
        Health::Healthy => pb::Health::Healthy,
        Health::Unhealthy => pb::Health::Unhealthy,
    }
}

impl From<LogLine> for pb::LogLine {
    fn from(line: LogLine) -> Self {
        let stream = match line.stream {
            LogStream::Stdout => pb::LogStream::Stdout,
            LogStream::Stderr => pb::LogStream::Stderr,
        };
        Self {
            at_ms: line.at_ms,
            stream: stream.into(),
            text: line.text,
        }
    }
}

impl TryFrom<pb::LogLine> for LogLine {
    type Error = ContainerError;

    fn try_from(line: pb::LogLine) -> Result<Self, ContainerError> {
        let stream = match line.stream() {
            pb::LogStream::Stdout => LogStream::Stdout,
            pb::LogStream::Stderr => LogStream::Stderr,
            pb::LogStream::Unspecified => return Err(lacks("a known stream")),
        };
        Ok(Self {
            at_ms: line.at_ms,
            stream,
            text: line.text,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_goes_over_the_wire_and_comes_back_the_same() {
        let container = Container {
            service: "risk".into(),
            id: "0123".into(),
            name: "p-risk-1".into(),
            phase: Phase::Exited,
            exit_code: 137,
            oom_killed: true,
            health: Health::Unhealthy,
            started_at: "2026-11-24T06:11:34.1Z".into(),
            finished_at: "2026-11-24T06:11:35.1Z".into(),
            networks: vec![Network {
                name: "p_default".into(),
                aliases: vec!["risk".into()],
                ip_address: "172.18.0.2".into(),
            }],
            published: vec![Published {
                host_ip: "127.0.0.1".into(),
                host_port: 7101,
                container_port: 7101,
                protocol: "tcp".into(),
            }],
        };
        let wire = pb::Container::from(container.clone());
        assert_eq!(Container::try_from(wire.clone()).expect("same"), container);
        assert!(Container::try_from(pb::Container { phase: 0, ..wire }).is_err());
    }
}
