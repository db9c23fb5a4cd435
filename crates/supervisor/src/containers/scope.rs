use std::collections::{BTreeMap, BTreeSet};

use bollard::models::ContainerSummary;

use crate::containers::own::own_container_id;
use crate::containers::{ContainerError, DRILL_LABEL, Engine, PROJECT_LABEL, Project, SERVICE_LABEL, ServiceName};

/// Compose services that hold the Docker socket and do nothing else.
pub const GUARD_SERVICES: [&str; 2] = ["guard", "container-guard"];
/// The compose service that runs the drills.
const ORCHESTRATOR_SERVICE: &str = "drill-orchestrator";
const DRILL_LABEL_VALUE: &str = "true";
/// What `docker compose run` starts bears the service's labels and is not the service.
const ONEOFF_LABEL: &str = "com.docker.compose.oneoff";

/// The containers that may be touched: those of one compose project that bear the drill label. Everything is found by
/// labels at each call and then acted on by its id; a container's name means nothing here.
#[derive(Debug, Clone)]
pub struct Scope {
    pub project: Project,
    /// The container that this process runs in.
    own_id: Option<String>,
}

impl Scope {
    pub fn new(project: Project) -> Self {
        Self {
            project,
            own_id: own_container_id(),
        }
    }

    /// The compose projects that have containers with the drill label, sorted.
    ///
    /// # Errors
    /// When the engine cannot be asked.
    pub async fn projects(engine: &Engine) -> Result<Vec<String>, ContainerError> {
        let found = engine
            .list(vec![
                format!("{DRILL_LABEL}={DRILL_LABEL_VALUE}"),
                PROJECT_LABEL.to_owned(),
            ])
            .await?;
        let projects: BTreeSet<String> = found.iter().filter_map(|c| label(c, PROJECT_LABEL)).collect();
        Ok(projects.into_iter().collect())
    }

    /// The compose project of the container that this process runs in.
    ///
    /// # Errors
    /// [`ContainerError::NoOwnProject`] outside of a compose project; or the engine cannot be asked.
    pub async fn own_project(engine: &Engine) -> Result<Project, ContainerError> {
        let id = own_container_id().ok_or(ContainerError::NoOwnProject)?;
        let inspected = match engine.inspect(&id).await {
            Err(ContainerError::Engine { status: 404, .. }) => return Err(ContainerError::NoOwnProject),
            other => other?,
        };
        let labels = inspected.config.and_then(|config| config.labels).unwrap_or_default();
        let project = labels.get(PROJECT_LABEL).ok_or(ContainerError::NoOwnProject)?;
        Ok(Project::parse(project)?)
    }

    /// Where the host reaches `port` of `service`, which need not bear the drill label: nothing is done to it.
    ///
    /// # Errors
    /// When it has no running container, does not publish the port, or the engine cannot be asked.
    pub async fn published(&self, engine: &Engine, service: &str, port: u16) -> Result<String, ContainerError> {
        let found = self.of_project(engine).await?;
        let of_service = found
            .iter()
            .filter(|c| label(c, SERVICE_LABEL).as_deref() == Some(service));
        let mut ports = of_service.flat_map(|c| c.ports.iter().flatten());
        let published = ports.find(|p| p.private_port == port && p.public_port.is_some());
        let address =
            published.and_then(|p| Some(format!("{}:{}", p.ip.as_deref().unwrap_or("127.0.0.1"), p.public_port?)));
        address.ok_or_else(|| ContainerError::NotPublished {
            project: self.project.to_string(),
            service: service.to_owned(),
            port,
        })
    }

    /// The ids of all containers that may be looked at, by service.
    ///
    /// # Errors
    /// When there is none, or the engine cannot be asked.
    pub(crate) async fn all(&self, engine: &Engine) -> Result<BTreeMap<String, Vec<String>>, ContainerError> {
        let found = self.of_project(engine).await?;
        let labelled = by_service(found.iter().filter(|container| self.permits(container)));
        if labelled.is_empty() {
            return Err(ContainerError::NotFound {
                project: self.project.to_string(),
                service: None,
                known: Vec::new(),
            });
        }
        Ok(labelled)
    }

    /// The id of the one container of `service`.
    ///
    /// # Errors
    /// No container, several, one without the label; or the engine cannot be asked.
    pub(crate) async fn find(&self, engine: &Engine, service: &ServiceName) -> Result<String, ContainerError> {
        let found = self.of_project(engine).await?;
        let named = |c: &&ContainerSummary| label(c, SERVICE_LABEL).as_deref() == Some(service.as_str());
        let (labelled, others): (Vec<_>, Vec<_>) = found.iter().filter(named).partition(|c| self.permits(c));
        let project = self.project.to_string();
        let service = service.to_string();
        match (labelled.as_slice(), others.as_slice()) {
            ([], []) => {
                let known = by_service(found.iter().filter(|c| self.permits(c)));
                Err(ContainerError::NotFound {
                    project,
                    service: Some(service),
                    known: known.into_keys().collect(),
                })
            }
            ([], [_, ..]) => Err(ContainerError::NotLabelled { project, service }),
            ([one], []) => one.id.clone().ok_or(ContainerError::Malformed {
                call: "list",
                what: "Id",
            }),
            (some, more) => Err(ContainerError::Ambiguous {
                project,
                service,
                count: some.len() + more.len(),
            }),
        }
    }

    /// Whether `service`, whose container is `id`, may be ended, paused and cut off.
    ///
    /// # Errors
    /// For the guard, the orchestrator, and whatever this process runs in.
    pub(crate) fn may_touch(&self, service: &ServiceName, id: &str) -> Result<(), ContainerError> {
        let why = if self.own_id.as_deref() == Some(id) {
            "the container that asks"
        } else if service.as_str() == ORCHESTRATOR_SERVICE {
            "the orchestrator"
        } else if GUARD_SERVICES.contains(&service.as_str()) {
            "the guard"
        } else {
            return Ok(());
        };
        Err(ContainerError::Protected {
            service: service.to_string(),
            why,
        })
    }

    async fn of_project(&self, engine: &Engine) -> Result<Vec<ContainerSummary>, ContainerError> {
        let found = engine
            .list(vec![
                format!("{PROJECT_LABEL}={}", self.project),
                SERVICE_LABEL.to_owned(),
            ])
            .await?;
        // Asked again here: a filter that an engine ignores must not widen what can be killed.
        let ours = |c: &ContainerSummary| {
            let oneoff = label(c, ONEOFF_LABEL).is_some_and(|value| value.eq_ignore_ascii_case("true"));
            label(c, PROJECT_LABEL).as_deref() == Some(self.project.as_str()) && !oneoff
        };
        Ok(found.into_iter().filter(ours).collect())
    }

    fn permits(&self, container: &ContainerSummary) -> bool {
        label(container, DRILL_LABEL).as_deref() == Some(DRILL_LABEL_VALUE)
    }
}

fn label(container: &ContainerSummary, name: &str) -> Option<String> {
    container.labels.as_ref()?.get(name).cloned()
}

fn by_service<'a>(containers: impl Iterator<Item = &'a ContainerSummary>) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for container in containers {
        if let (Some(service), Some(id)) = (label(container, SERVICE_LABEL), container.id.clone()) {
            all.entry(service).or_default().push(id);
        }
    }
    all
}
