use std::fmt;

use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, EndpointSettings, HealthStatusEnum, NetworkSettings,
};

use crate::Exit;
use crate::containers::{ContainerError, SERVICE_LABEL};

/// A shell reports the end by a signal as 128 and its number, and so does the engine.
const SIGNAL_BASE: i64 = 128;
const SIGNAL_MAX: i64 = 64;
const SIGKILL: i64 = 9;
/// How many characters of its id the engine gives a container as a name on each network.
pub(crate) const SHORT_ID: usize = 12;

/// What the engine says that a container is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Never started.
    Created,
    Running,
    Paused,
    Restarting,
    Exited,
    /// The engine is removing it, or failed to.
    Dead,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Dead => "dead",
        })
    }
}

/// The word of a container's own healthcheck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It has no healthcheck.
    Absent,
    Starting,
    Healthy,
    Unhealthy,
}

/// One network that a container is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    pub name: String,
    /// The names by which others find it there, sorted; the engine adds the container's name and its short id.
    pub aliases: Vec<String>,
    /// Empty while it does not run.
    pub ip_address: String,
}

/// One port of the host that leads into a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Published {
    pub host_ip: String,
    pub host_port: u16,
    pub container_port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// A container as the engine reports it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Of its compose service.
    pub service: String,
    pub id: String,
    pub name: String,
    pub phase: Phase,
    /// Of the last run; 0 before the first.
    pub exit_code: i64,
    pub oom_killed: bool,
    pub health: Health,
    /// RFC 3339, of the present or last run.
    pub started_at: String,
    pub finished_at: String,
    /// Sorted by name.
    pub networks: Vec<Network>,
    pub published: Vec<Published>,
}

impl Container {
    /// It has a process, paused or not.
    pub fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Paused)
    }

    /// How its last run ended; `None` while it runs and before the first start.
    pub fn exit(&self) -> Option<Exit> {
        match self.phase {
            Phase::Created | Phase::Running | Phase::Paused | Phase::Restarting => None,
            Phase::Exited | Phase::Dead => Some(exit_of(self.exit_code)),
        }
    }

    /// Ended by SIGKILL that the kernel did not send for want of memory.
    pub fn was_sigkilled(&self) -> bool {
        self.phase == Phase::Exited && self.exit_code == SIGNAL_BASE + SIGKILL && !self.oom_killed
    }

    /// One line for errors and logs.
    pub fn summary(&self) -> String {
        let oom = if self.oom_killed { ", out of memory" } else { "" };
        match self.exit() {
            Some(_) => format!("{} with exit code {}{oom}", self.phase, self.exit_code),
            None => format!("{}{oom}", self.phase),
        }
    }

    pub(crate) fn of(inspected: ContainerInspectResponse) -> Result<Self, ContainerError> {
        let lacks = |what| ContainerError::Malformed { call: "inspect", what };
        let state = inspected.state.ok_or(lacks("State"))?;
        let config = inspected.config.ok_or(lacks("Config"))?;
        let id = inspected.id.ok_or(lacks("Id"))?;
        let phase = phase_of(state.status, state.running, state.paused).ok_or(lacks("State.Status"))?;
        let service = config.labels.unwrap_or_default().remove(SERVICE_LABEL);
        let asked = config.healthcheck.and_then(|check| check.test).unwrap_or_default();
        let (networks, published) = network_state(&id, inspected.network_settings.unwrap_or_default());
        Ok(Self {
            service: service.ok_or(lacks("the compose service label"))?,
            name: inspected.name.unwrap_or_default().trim_start_matches('/').to_owned(),
            phase,
            exit_code: state.exit_code.unwrap_or_default(),
            oom_killed: state.oom_killed.unwrap_or_default(),
            health: health_of(state.health.and_then(|health| health.status), &asked),
            started_at: state.started_at.unwrap_or_default(),
            finished_at: state.finished_at.unwrap_or_default(),
            networks,
            published,
            id,
        })
    }
}

/// The engine cannot tell exit code 143 from the end by SIGTERM; a signal is what it means for our services.
fn exit_of(exit_code: i64) -> Exit {
    let signal = exit_code - SIGNAL_BASE;
    if (1..=SIGNAL_MAX).contains(&signal) {
        return Exit {
            code: None,
            signal: i32::try_from(signal).ok(),
        };
    }
    Exit {
        code: i32::try_from(exit_code).ok(),
        signal: None,
    }
}

fn phase_of(status: Option<ContainerStateStatusEnum>, running: Option<bool>, paused: Option<bool>) -> Option<Phase> {
    use ContainerStateStatusEnum as S;
    Some(match status? {
        S::CREATED => Phase::Created,
        S::RUNNING if paused == Some(true) => Phase::Paused,
        S::RUNNING | S::STOPPING => Phase::Running,
        S::PAUSED => Phase::Paused,
        S::RESTARTING => Phase::Restarting,
        // Some engines say so for a moment in which the process is still being reaped.
        S::EXITED if running == Some(true) => Phase::Running,
        S::EXITED => Phase::Exited,
        S::REMOVING | S::DEAD => Phase::Dead,
        S::EMPTY => return None,
    })
}

/// `asked` is what the healthcheck runs; the engine says nothing of it before the first start.
fn health_of(status: Option<HealthStatusEnum>, asked: &[String]) -> Health {
    match status {
        None if !matches!(asked, [] | [_]) => Health::Starting,
        None | Some(HealthStatusEnum::EMPTY | HealthStatusEnum::NONE) => Health::Absent,
        Some(HealthStatusEnum::STARTING) => Health::Starting,
        Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => Health::Unhealthy,
    }
}

fn network_state(id: &str, settings: NetworkSettings) -> (Vec<Network>, Vec<Published>) {
    let network = |(name, endpoint): (String, EndpointSettings)| Network {
        name,
        aliases: aliases_of(id, &endpoint),
        ip_address: endpoint.ip_address.unwrap_or_default(),
    };
    let mut networks: Vec<Network> = settings.networks.unwrap_or_default().into_iter().map(network).collect();
    networks.sort_by(|a, b| a.name.cmp(&b.name));
    let mut published = Vec::new();
    for (port, bindings) in settings.ports.unwrap_or_default() {
        let Some((number, protocol)) = port.split_once('/') else {
            continue;
        };
        for binding in bindings.unwrap_or_default() {
            let host_port = binding.host_port.and_then(|port| port.parse().ok());
            if let (Some(host_port), Ok(container_port)) = (host_port, number.parse()) {
                published.push(Published {
                    host_ip: binding.host_ip.unwrap_or_default(),
                    host_port,
                    container_port,
                    protocol: protocol.to_owned(),
                });
            }
        }
    }
    published.sort();
    (networks, published)
}

/// The given aliases: without the short id, which the engine adds itself at every connection.
pub(crate) fn aliases_of(id: &str, endpoint: &EndpointSettings) -> Vec<String> {
    let given = endpoint.aliases.iter().flatten();
    let mut aliases: Vec<String> = given.filter(|alias| !is_short_id(id, alias)).cloned().collect();
    aliases.sort();
    aliases.dedup();
    aliases
}

fn is_short_id(id: &str, alias: &str) -> bool {
    alias.len() == SHORT_ID && id.starts_with(alias)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_above_128_is_a_signal_and_others_are_codes() {
        assert!(exit_of(137).is_sigkill());
        assert_eq!(exit_of(143).signal, Some(15));
        assert_eq!(
            (exit_of(0).code, exit_of(7).code, exit_of(255).code),
            (Some(0), Some(7), Some(255))
        );
    }
}
