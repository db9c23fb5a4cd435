use std::path::{Path, PathBuf};

use thunes_supervisor::containers::{ContainerControl, ContainerError, DOCKER_SOCKET, Direct, Engine, Project, Scope};
use thunes_supervisor::embedded::Service;

use crate::failure::{EXIT_USAGE, Exits, Usage};

/// The orchestrator's port inside its container.
const ORCHESTRATOR_PORT: u16 = 7105;
/// What no drill on containers can do without.
const NEEDED: [Service; 7] = [
    Service::Risk,
    Service::Position,
    Service::Audit,
    Service::ExchangeGateway,
    Service::ExchangeSim,
    Service::TelegramStandin,
    Service::FaultProxy,
];

/// The address of the orchestrator of a compose project, once everything that a drill needs is seen to run.
///
/// # Errors
/// No engine, no permission, no project or several, a container that is missing or down: each with its remedy.
pub async fn orchestrator_url(project: Option<&str>) -> anyhow::Result<String> {
    let engine = Engine::connect(&socket()).await.map_err(not_there)?;
    let project = match project {
        Some(name) => Project::parse(name).map_err(|fault| Usage(format!("--project: {fault}")))?,
        None => only_project(&engine).await?,
    };
    let scope = Scope::new(project.clone());
    let address = scope
        .published(&engine, Service::DrillOrchestrator.name(), ORCHESTRATOR_PORT)
        .await
        .map_err(not_there)?;
    let seen = Direct::new(engine, scope, PathBuf::new())
        .list()
        .await
        .map_err(not_there)?;
    let missing: Vec<_> = NEEDED
        .iter()
        .filter(|service| !seen.iter().any(|c| c.service == service.name() && c.is_running()))
        .map(|service| service.name())
        .collect();
    if missing.is_empty() {
        return Ok(format!("http://{address}"));
    }
    Err(cannot(format!(
        "project {project}: {} not running with the label io.thunes.drill=true; start it with `docker-compose -p {project} \
         up -d`",
        missing.join(", ")
    )))
}

async fn only_project(engine: &Engine) -> anyhow::Result<Project> {
    let projects = Scope::projects(engine).await.map_err(not_there)?;
    match projects.as_slice() {
        [one] => Ok(Project::parse(one).map_err(ContainerError::from)?),
        [] => Err(cannot(
            "no compose project has containers with the label io.thunes.drill=true; start one with `docker-compose up -d` in \
             the folder of docker-compose.yml"
                .to_owned(),
        )),
        several => Err(Usage(format!(
            "there are several environments: {}; say which with --project NAME",
            several.join(", ")
        ))
        .into()),
    }
}

/// DOCKER_HOST where it names a socket, otherwise the engine's usual one.
fn socket() -> PathBuf {
    let named = std::env::var("DOCKER_HOST").ok();
    let path = named.as_deref().and_then(|host| host.strip_prefix("unix://"));
    Path::new(path.unwrap_or(DOCKER_SOCKET)).to_owned()
}

fn not_there(error: ContainerError) -> anyhow::Error {
    cannot(error.to_string())
}

/// Nothing was tried yet, and the caller can change what is in the way.
fn cannot(message: String) -> anyhow::Error {
    Exits {
        exit: EXIT_USAGE,
        message,
    }
    .into()
}
