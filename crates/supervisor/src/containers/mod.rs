//! Containers of one compose project that bear the drill label, through the Docker engine or through the guard.

mod control;
mod direct;
mod endpoints;
mod engine;
mod environment;
mod error;
mod guard_client;
mod logs;
mod names;
mod own;
mod saved;
mod scope;
mod state;
pub mod wire;

pub use control::{Answer, ContainerControl, STOP_WITHIN_MAX, STOP_WITHIN_MIN};
pub use direct::Direct;
pub use engine::{DOCKER_SOCKET, Engine};
pub use environment::Environment;
pub use error::ContainerError;
pub use guard_client::GuardClient;
pub use logs::{LOG_BYTES_MAX, LogLine, LogStream};
pub use names::{NetworkName, Project, ServiceName};
pub use own::container_id_in_mountinfo;
pub use scope::{GUARD_SERVICES, Scope};
pub use state::{Container, Health, Network, Phase, Published};

/// Docker Compose's own labels.
pub const PROJECT_LABEL: &str = "com.docker.compose.project";
pub const SERVICE_LABEL: &str = "com.docker.compose.service";
/// What a container must bear so that a drill may touch it, with the value `true`.
pub const DRILL_LABEL: &str = "io.thunes.drill";
