//! One environment of `docker-compose.yml` under a project name of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use thunes_testkit::{Calls, Said, Sim, until_ok};
use tokio::process::Command;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::docker::{compose_program, docker, finish, image, inspect, labelled, root, try_docker};

const PROJECT_PREFIX: &str = "thunes-test-";
const PROJECT_LABEL: &str = "com.docker.compose.project";
const SERVICE_LABEL: &str = "com.docker.compose.service";
const COMPOSE_WITHIN: Duration = Duration::from_secs(180);
const HEALTHY_WITHIN: Duration = Duration::from_secs(90);
/// Containers that do not stop by themselves are killed then.
const STOP_S: &str = "5";
/// Below the range of outgoing connections, above the ports that people choose.
const PORTS_FROM: u16 = 21_000;
const PORTS_TO: u16 = 32_000;
const PORT_TRIES_MAX: u32 = 1000;

/// Variable of `docker-compose.yml` and the port inside.
pub const PUBLISHED: [(&str, u16); 6] = [
    ("THUNES_RISK_PORT", 7101),
    ("THUNES_POSITION_PORT", 7102),
    ("THUNES_AUDIT_PORT", 7103),
    ("THUNES_GATEWAY_PORT", 7104),
    ("THUNES_DRILL_PORT", 7105),
    ("THUNES_SIM_ADMIN_PORT", 7111),
];

/// What `up -d` starts when no profile is named.
pub const SERVICES: [&str; 10] = [
    "audit",
    "container-guard",
    "drill-orchestrator",
    "exchange-gateway",
    "exchange-proxy",
    "exchange-sim",
    "fault-proxy",
    "position",
    "risk",
    "telegram-standin",
];

static NUMBER: AtomicU32 = AtomicU32::new(0);
static SWEPT: OnceCell<()> = OnceCell::const_new();
/// Environments of ten containers each are enough for a machine one at a time; a test may hold two itself.
static TURN: Mutex<()> = Mutex::const_new(());

/// The right to run environments; None where there is no Docker.
pub struct Turn {
    pub image: String,
    _guard: MutexGuard<'static, ()>,
}

impl Turn {
    pub async fn wait() -> Option<Self> {
        let image = image().await?;
        let guard = TURN.lock().await;
        SWEPT.get_or_init(sweep).await;
        Some(Self { image, _guard: guard })
    }
}

/// A project that goes away with everything in it when this is dropped.
pub struct Compose {
    pub project: String,
    variables: BTreeMap<String, String>,
    files: Vec<PathBuf>,
    /// Stand for the ports, so that no other test takes them while a container is down.
    _tokens: Vec<UdpSocket>,
}

impl Compose {
    /// A project that nothing has been started of.
    pub fn new(turn: &Turn) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut tokens = Vec::new();
        let mut variables = BTreeMap::from([("THUNES_IMAGE".to_owned(), turn.image.clone())]);
        for (variable, _) in PUBLISHED {
            variables.insert(variable.to_owned(), free_port(&mut tokens).to_string());
        }
        Self {
            project: format!("{PROJECT_PREFIX}{}-{number}", std::process::id()),
            variables,
            files: vec![root().join("docker-compose.yml")],
            _tokens: tokens,
        }
    }

    /// A project that is up and healthy; says how long that took.
    pub async fn up(turn: &Turn) -> Self {
        let compose = Self::new(turn);
        let begun = Instant::now();
        compose.run(&["up", "-d"]).await.assert_exit(0);
        let returned = begun.elapsed();
        compose.wait_healthy().await;
        println!(
            "{}: `up -d` took {:.1} s, all healthy after {:.1} s",
            compose.project,
            returned.as_secs_f64(),
            begun.elapsed().as_secs_f64()
        );
        compose
    }

    #[must_use]
    pub fn with(mut self, variable: &str, value: &str) -> Self {
        self.variables.insert(variable.to_owned(), value.to_owned());
        self
    }

    /// Adds a file of overrides.
    #[must_use]
    pub fn with_file(mut self, file: PathBuf) -> Self {
        self.files.push(file);
        self
    }

    /// Runs `docker-compose ARGS` for this project.
    pub async fn run(&self, args: &[&str]) -> Said {
        let mut command = Command::from(self.command());
        command.args(args);
        finish(command, COMPOSE_WITHIN).await
    }

    fn command(&self) -> std::process::Command {
        let (program, first) = compose_program();
        let mut command = std::process::Command::new(program);
        command.args(first).current_dir(root());
        // What the caller's shell happens to have set is no part of the test.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("THUNES_") || text.starts_with("COMPOSE_") {
                command.env_remove(name);
            }
        }
        command.envs(&self.variables).args(["-p", &self.project]);
        for file in &self.files {
            command.arg("-f").arg(file);
        }
        command
    }

    /// # Panics
    /// When something does not become healthy in time.
    pub async fn wait_healthy(&self) {
        until_ok("every container is healthy", HEALTHY_WITHIN, async || {
            let mut late = Vec::new();
            for (service, container) in self.containers().await {
                let health = container["State"]["Health"].clone();
                if health["Status"] != "healthy" {
                    let last = health["Log"].as_array().and_then(|log| log.last()).cloned();
                    late.push(format!("{service}: {} {last:?}", health["Status"]));
                }
            }
            if late.is_empty() { Ok(()) } else { Err(late.join("; ")) }
        })
        .await;
    }

    /// `docker inspect` of every container, by the name of its service.
    pub async fn containers(&self) -> BTreeMap<String, Value> {
        let mut all = BTreeMap::new();
        for id in labelled(&["ps", "--all"], &self.label()).await {
            let container = inspect("container", &id).await;
            let service = container["Config"]["Labels"][SERVICE_LABEL]
                .as_str()
                .expect("a service");
            all.insert(service.to_owned(), container.clone());
        }
        all
    }

    pub fn label(&self) -> String {
        format!("{PROJECT_LABEL}={}", self.project)
    }

    /// Every container, network and volume of this project.
    pub async fn leftovers(&self) -> Vec<String> {
        let mut all = Vec::new();
        for list in LISTS {
            all.extend(labelled(list, &self.label()).await);
        }
        all
    }

    /// The published port of that variable.
    pub fn port(&self, variable: &str) -> u16 {
        self.variables[variable].parse().expect("a port")
    }

    pub fn address(&self, variable: &str) -> String {
        format!("127.0.0.1:{}", self.port(variable))
    }

    pub fn calls(&self) -> Calls {
        let url = |variable| format!("http://{}", self.address(variable));
        Calls::new(
            &url("THUNES_RISK_PORT"),
            &url("THUNES_POSITION_PORT"),
            &url("THUNES_AUDIT_PORT"),
            &url("THUNES_GATEWAY_PORT"),
        )
    }

    pub fn sim(&self) -> Sim {
        Sim::new(&format!("http://{}", self.address("THUNES_SIM_ADMIN_PORT")))
    }
}

impl Drop for Compose {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = self.command().args(["logs", "--no-color", "--tail", "20"]).output();
            if let Ok(logs) = logs {
                println!("{}", String::from_utf8_lossy(&logs.stdout));
            }
        }
        let down = self
            .command()
            .args(["down", "--volumes", "--remove-orphans", "--timeout", STOP_S])
            .output();
        match down {
            Ok(output) if output.status.success() => {}
            Ok(output) => println!("{}: {}", self.project, String::from_utf8_lossy(&output.stderr)),
            Err(error) => println!("{}: {error}", self.project),
        }
    }
}

/// A port that is free now, and that no other test of this kind takes.
pub fn free_port(tokens: &mut Vec<UdpSocket>) -> u16 {
    for _ in 0..PORT_TRIES_MAX {
        let port = rand::random_range(PORTS_FROM..PORTS_TO);
        let Ok(token) = UdpSocket::bind(("127.0.0.1", port)) else {
            continue;
        };
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            tokens.push(token);
            return port;
        }
    }
    panic!("no free port from {PORTS_FROM} to {PORTS_TO}");
}

const LISTS: [&[&str]; 3] = [&["ps", "--all"], &["network", "ls"], &["volume", "ls"]];

/// Removes what test runs left behind that are gone; projects of runs that live, and everything else, are not touched.
async fn sweep() {
    let mut projects = BTreeSet::new();
    for list in LISTS {
        let format = format!("{{{{.Label \"{PROJECT_LABEL}\"}}}}");
        let filter = format!("label={PROJECT_LABEL}");
        let text = docker(&[list, &["--filter", &filter, "--format", &format]].concat()).await;
        projects.extend(text.lines().filter(|name| is_abandoned(name)).map(str::to_owned));
    }
    for project in projects {
        let label = format!("{PROJECT_LABEL}={project}");
        for (list, remove) in LISTS
            .iter()
            .zip([["rm", "--force"].as_slice(), &["network", "rm"], &["volume", "rm"]])
        {
            let found = labelled(list, &label).await;
            if !found.is_empty() {
                let found: Vec<&str> = found.iter().map(String::as_str).collect();
                // Another run may sweep the same at this moment.
                let _ = try_docker(&[remove, &found].concat()).await;
            }
        }
        println!("{project}: left behind by a test run that is gone; removed");
    }
}

fn is_abandoned(project: &str) -> bool {
    let process = project
        .strip_prefix(PROJECT_PREFIX)
        .and_then(|rest| rest.split_once('-'))
        .and_then(|(process, _)| process.parse::<u32>().ok());
    process.is_some_and(|process| !std::path::Path::new(&format!("/proc/{process}")).exists())
}
