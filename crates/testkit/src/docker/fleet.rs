use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use bollard::Docker;
use bollard::models::{
    ContainerCreateBody, EndpointSettings, HealthConfig, HostConfig, NetworkConnectRequest, NetworkCreateRequest,
    NetworkingConfig, PortBinding,
};
use bollard::query_parameters::{CreateContainerOptionsBuilder, CreateImageOptionsBuilder, StartContainerOptions};
use thunes_supervisor::containers::{
    DOCKER_SOCKET, DRILL_LABEL, Direct, Engine, PROJECT_LABEL, Project, SERVICE_LABEL, Scope, ServiceName,
};

use super::image;
use super::sweep::{Run, TEST_LABEL, remove, sweep};
use crate::required;

/// Runs that this process has begun; with its pid they make project names that nothing else has.
static FLEETS: AtomicU32 = AtomicU32::new(0);

/// A connection to the engine; None, said aloud, where there is none.
///
/// # Panics
/// When there is none and `THUNES_REQUIRE` names docker.
pub async fn docker() -> Option<Docker> {
    match Engine::connect(Path::new(DOCKER_SOCKET)).await {
        Ok(_) => {}
        Err(error) => {
            assert!(!required("docker"), "THUNES_REQUIRE names docker: {error}");
            println!("skipped: {error}");
            return None;
        }
    }
    let docker = Docker::connect_with_unix_defaults().expect("the engine's socket");
    Some(docker.negotiate_version().await.expect("the engine's version"))
}

/// A container to be made.
#[derive(Debug, Clone)]
pub struct Spec {
    pub service: String,
    /// Words for the probe: `tick`, `deaf`, `fail`, `flood N`, `resolve NAME`, `serve PORT READY_AFTER_MS`, `show PATH`.
    pub words: Vec<String>,
    /// With the value that it shall have; None for no drill label at all.
    pub drill_label: Option<String>,
    pub more_labels: Vec<(String, String)>,
    /// Names of networks of the fleet, each with the aliases on it besides the service's own.
    pub networks: Vec<(String, Vec<String>)>,
    /// Published on any port of 127.0.0.1.
    pub publish: Option<u16>,
    /// Whether the engine asks `serve` for its health.
    pub healthcheck: bool,
    /// `HOST:CONTAINER[:ro]`
    pub binds: Vec<String>,
    /// Instead of the probe.
    pub program: Option<Vec<String>>,
    pub env: Vec<String>,
}

impl Spec {
    /// A labelled container on the fleet's network `default`.
    pub fn new(service: &str, words: &str) -> Self {
        Self {
            service: service.to_owned(),
            words: words.split(' ').map(str::to_owned).collect(),
            drill_label: Some("true".to_owned()),
            more_labels: Vec::new(),
            networks: vec![("default".to_owned(), Vec::new())],
            publish: None,
            healthcheck: false,
            binds: Vec::new(),
            program: None,
            env: Vec::new(),
        }
    }
}

/// A made-up compose project. Dropping it removes everything that it made.
#[derive(Debug)]
pub struct Fleet {
    pub docker: Docker,
    pub project: Project,
    folder: tempfile::TempDir,
    run: Run,
    image: String,
    made: AtomicU32,
}

impl Fleet {
    /// None where there is no Docker.
    pub async fn new() -> Option<Self> {
        let docker = docker().await?;
        let run = Run::of_this_process();
        sweep(&docker, &run).await;
        let number = FLEETS.fetch_add(1, Ordering::Relaxed);
        let name = format!("thunes-test-{}-{number}", run.label());
        let fleet = Self {
            image: format!("{name}:probe"),
            project: Project::parse(&name).expect("a project's name"),
            folder: tempfile::tempdir().expect("temporary folder"),
            run,
            docker,
            made: AtomicU32::new(0),
        };
        fleet.import_image().await;
        fleet.network("default").await;
        Some(fleet)
    }

    async fn import_image(&self) {
        use futures_util::TryStreamExt;
        let archive = image::archive(&image::compile_probe(self.folder.path()));
        let (repo, tag) = self.image.split_once(':').expect("it has a tag");
        let label = |(name, value): (&str, String)| format!("LABEL {name}={value}");
        let options = CreateImageOptionsBuilder::default()
            .from_src("-")
            .repo(repo)
            .tag(tag)
            .changes(self.own_labels().map(label).to_vec())
            .build();
        let imported = self
            .docker
            .create_image(Some(options), Some(bollard::body_full(archive.into())), None);
        imported.try_collect::<Vec<_>>().await.expect("the image is imported");
    }

    fn own_labels(&self) -> [(&'static str, String); 2] {
        [
            (TEST_LABEL, self.run.label()),
            ("io.thunes.test.project", self.project.to_string()),
        ]
    }

    fn labels(&self) -> HashMap<String, String> {
        self.own_labels().map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// The full name of a network of this fleet.
    pub fn network_name(&self, name: &str) -> String {
        format!("{}_{name}", self.project)
    }

    /// Makes a network.
    pub async fn network(&self, name: &str) {
        let request = NetworkCreateRequest {
            name: self.network_name(name),
            labels: Some(self.labels()),
            ..NetworkCreateRequest::default()
        };
        self.docker.create_network(request).await.expect("a network is made");
    }

    /// Makes a container, without starting it; returns its id.
    pub async fn create(&self, spec: &Spec) -> String {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{}-{number}", self.project, spec.service);
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let made = self.docker.create_container(Some(options), self.body(spec)).await;
        let id = made.expect("a container is made").id;
        // The engine takes one network at the making, and the others afterwards.
        for (network, aliases) in spec.networks.iter().skip(1) {
            let request = NetworkConnectRequest {
                container: id.clone(),
                endpoint_config: Some(endpoint(spec, aliases)),
            };
            let connected = self.docker.connect_network(&self.network_name(network), request).await;
            connected.expect("connected");
        }
        id
    }

    fn body(&self, spec: &Spec) -> ContainerCreateBody {
        let mut labels = self.labels();
        labels.insert(PROJECT_LABEL.to_owned(), self.project.to_string());
        labels.insert(SERVICE_LABEL.to_owned(), spec.service.clone());
        labels.extend(
            spec.drill_label
                .iter()
                .map(|value| (DRILL_LABEL.to_owned(), value.clone())),
        );
        labels.extend(spec.more_labels.iter().cloned());
        let first = spec.networks.first();
        let endpoints = first.map(|(network, aliases)| (self.network_name(network), endpoint(spec, aliases)));
        let program = spec.program.clone().unwrap_or_else(|| vec!["/probe".to_owned()]);
        ContainerCreateBody {
            image: Some(self.image.clone()),
            entrypoint: Some(program),
            cmd: Some(spec.words.clone()),
            labels: Some(labels),
            env: Some(spec.env.clone()),
            exposed_ports: spec.publish.map(|port| vec![format!("{port}/tcp")]),
            healthcheck: spec.healthcheck.then(healthy_by_itself),
            host_config: Some(HostConfig {
                network_mode: first.map(|(network, _)| self.network_name(network)),
                binds: Some(spec.binds.clone()),
                port_bindings: spec.publish.map(published),
                ..HostConfig::default()
            }),
            networking_config: Some(NetworkingConfig {
                endpoints_config: Some(endpoints.into_iter().collect()),
            }),
            ..ContainerCreateBody::default()
        }
    }

    /// Makes a container and starts it; returns its id.
    pub async fn start(&self, spec: &Spec) -> String {
        let id = self.create(spec).await;
        let started = self.docker.start_container(&id, None::<StartContainerOptions>).await;
        started.expect("a container starts");
        id
    }

    /// Where a guard of this fleet keeps its state.
    pub fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// A folder that is gone with the fleet.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The containers of this project, through the engine; each call makes one that knows nothing of those before.
    pub async fn direct(&self) -> Direct {
        let engine = Engine::connect(Path::new(DOCKER_SOCKET)).await.expect("the engine");
        Direct::new(engine, Scope::new(self.project.clone()), self.state_dir())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let label = format!("io.thunes.test.project={}", self.project);
        // A runtime of its own: dropping happens within another, and also while a test fails.
        let clean = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                // Connections belong to the runtime that made them.
                let Ok(docker) = Docker::connect_with_unix_defaults() else {
                    return;
                };
                if let Ok(docker) = docker.negotiate_version().await {
                    remove(&docker, label, |_| true).await;
                }
            });
            Ok::<_, std::io::Error>(())
        });
        // What stays behind is swept by the next run.
        let _ = clean.join();
    }
}

/// Compose gives every container its service's name on each of its networks.
fn endpoint(spec: &Spec, aliases: &[String]) -> EndpointSettings {
    let mut all = vec![spec.service.clone()];
    all.extend(aliases.iter().cloned());
    EndpointSettings {
        aliases: Some(all),
        ..EndpointSettings::default()
    }
}

fn published(port: u16) -> HashMap<String, Option<Vec<PortBinding>>> {
    let binding = PortBinding {
        host_ip: Some("127.0.0.1".to_owned()),
        host_port: Some(String::new()),
    };
    HashMap::from([(format!("{port}/tcp"), Some(vec![binding]))])
}

fn healthy_by_itself() -> HealthConfig {
    HealthConfig {
        // Exits at once with a code of its own, which the engine takes for healthy when it is 0.
        test: Some(vec!["CMD".to_owned(), "/probe".to_owned(), "well".to_owned()]),
        interval: Some(200_000_000),
        timeout: Some(2_000_000_000),
        retries: Some(3),
        start_period: Some(0),
        ..HealthConfig::default()
    }
}

/// # Panics
/// When `text` is no service's name.
pub fn service(text: &str) -> ServiceName {
    ServiceName::parse(text).expect("a service's name")
}
