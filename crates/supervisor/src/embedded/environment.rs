use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join_all;
use thunes_runtime::clock;

use crate::embedded::folder_lock::FolderLock;
use crate::embedded::ports::{Reserved, taken};
use crate::embedded::{Endpoints, Plan, PortChoice, Ports, Service, ServiceEndpoint, wiring};
use crate::{Exit, ProcessSpec, SupervisorError, Target, wait_healthy};

/// A service drains for up to three seconds after SIGTERM.
const STOP_WITHIN: Duration = Duration::from_secs(6);
/// Starts with other free ports after somebody took one of ours in the last moment.
const PORT_TRIES_MAX: usize = 3;

/// What a start is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    Starting {
        service: Service,
    },
    Ready {
        service: Service,
        pid: u32,
        url: String,
        took: Duration,
    },
}

/// A running environment. Dropping it kills its processes; [`Environment::stop_all`] ends them in order.
#[derive(Debug)]
pub struct Environment {
    plan: Plan,
    ports: Ports,
    targets: BTreeMap<Service, Target>,
    started_at_ms: i64,
    /// Two writes of the endpoints at once would take each other's draft away.
    writing: std::sync::Mutex<()>,
    _reserved: Reserved,
    _lock: FolderLock,
}

impl Environment {
    /// Starts every service of `plan`, one after the other, each when the one before is ready.
    ///
    /// # Errors
    /// When a port or the data folder is taken, or a service does not become ready; what was started is killed then.
    pub async fn start(plan: Plan) -> Result<Self, SupervisorError> {
        Self::start_with(plan, &mut |_| {}).await
    }

    /// Like [`Environment::start`], telling `progress` of every step.
    ///
    /// # Errors
    /// As [`Environment::start`].
    pub async fn start_with(
        mut plan: Plan,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Self, SupervisorError> {
        plan.data_dir = absolute(&plan.data_dir);
        plan.config_file = plan.config_file.as_deref().map(absolute);
        let mut lock = Some(FolderLock::take(&plan.data_dir).await?);
        for attempt in 1.. {
            let reserved = match plan.ports {
                PortChoice::Fixed(ports) => fixed_ports(&plan, ports)?,
                PortChoice::Free => Reserved::free()?,
            };
            let held = match lock.take() {
                Some(held) => held,
                None => FolderLock::take(&plan.data_dir).await?,
            };
            let environment = Self::of(plan.clone(), reserved, held);
            match environment.start_in_order(progress).await {
                Ok(()) => return Ok(environment),
                Err((service, error)) => {
                    let retry = matches!(plan.ports, PortChoice::Free)
                        && attempt < PORT_TRIES_MAX
                        && matches!(error, SupervisorError::ExitedEarly { .. })
                        && !taken(environment.ports.listened_on(&[service], &plan.links())).is_empty();
                    environment.kill_all().await;
                    if !retry {
                        return Err(error);
                    }
                }
            }
        }
        unreachable!("the loop ends by returning")
    }

    fn of(plan: Plan, reserved: Reserved, lock: FolderLock) -> Self {
        let ports = reserved.ports;
        let target = |service| (service, Target::new(wiring::service_spec(&plan, &ports, service)));
        let targets = plan.services().into_iter().map(target).collect();
        Self {
            plan,
            ports,
            targets,
            started_at_ms: clock::now_ms(),
            writing: std::sync::Mutex::new(()),
            _reserved: reserved,
            _lock: lock,
        }
    }

    async fn start_in_order(
        &self,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(), (Service, SupervisorError)> {
        // The order of the keys is the order of the start.
        for (&service, target) in &self.targets {
            progress(Progress::Starting { service });
            let took = self.start_one(service).await.map_err(|error| (service, error))?;
            let (pid, url) = (target.pid().unwrap_or_default(), self.url(service));
            progress(Progress::Ready {
                service,
                pid,
                url,
                took,
            });
        }
        self.write_endpoints().map_err(|error| (Service::ExchangeSim, error))
    }

    async fn start_one(&self, service: Service) -> Result<Duration, SupervisorError> {
        let target = self.target(service)?;
        target.start().await?;
        wait_healthy(target, &wiring::probe(&self.ports, service), self.plan.ready_within).await
    }

    /// The services of this environment, in the order of their start.
    pub fn services(&self) -> Vec<Service> {
        self.targets.keys().copied().collect()
    }

    pub fn data_dir(&self) -> &Path {
        &self.plan.data_dir
    }

    pub fn seed(&self) -> u64 {
        self.plan.seed
    }

    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// Where `service` listens: `http://127.0.0.1:PORT`.
    pub fn url(&self, service: Service) -> String {
        self.ports.url(service)
    }

    /// The simulated exchange's admin interface.
    pub fn admin_url(&self) -> String {
        self.ports.admin_url()
    }

    /// The fault proxy's admin API, where the plan has one.
    pub fn proxy_admin_url(&self) -> Option<String> {
        self.plan.fault_proxy.then(|| self.url(Service::FaultProxy))
    }

    /// DIR/logs/NAME.log.
    pub fn log_file(&self, service: Service) -> PathBuf {
        self.plan.data_dir.join("logs").join(format!("{service}.log"))
    }

    /// # Errors
    /// When this environment has no such service.
    pub fn target(&self, service: Service) -> Result<&Target, SupervisorError> {
        self.targets
            .get(&service)
            .ok_or_else(|| SupervisorError::NoSuchService {
                name: service.name().to_owned(),
            })
    }

    /// Another command of the same binary in this environment, such as `trade loop`: it logs to DIR/logs/NAME.log and
    /// finds the services by itself. The caller adds its arguments and owns the target.
    pub fn tool(&self, name: &str) -> ProcessSpec {
        wiring::tool_spec(&self.plan, name)
    }

    /// The variables with which `thunes …` in a shell means this binary and this environment.
    pub fn shell_env(&self) -> Vec<(String, String)> {
        wiring::tool_env(&self.plan.program, &self.plan.data_dir)
    }

    /// What THUNES_FAILPOINTS says to `service` from its next start on; empty for nothing.
    ///
    /// # Errors
    /// When this environment has no such service.
    pub fn set_failpoints(&self, service: Service, text: &str) -> Result<(), SupervisorError> {
        self.target(service)?
            .change_spec(|spec| spec.set_env("THUNES_FAILPOINTS", text));
        Ok(())
    }

    /// `kill -9`, confirmed by the wait status.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn kill(&self, service: Service) -> Result<Exit, SupervisorError> {
        let exit = self.target(service)?.kill().await?;
        self.write_endpoints()?;
        Ok(exit)
    }

    /// Starts a service that is down; returns how long it took from the start until it was ready.
    ///
    /// # Errors
    /// When it runs, or does not become ready.
    pub async fn restart(&self, service: Service) -> Result<Duration, SupervisorError> {
        let took = self.start_one(service).await?;
        self.write_endpoints()?;
        Ok(took)
    }

    /// Starts several services at once; returns for each how long it took until it was ready.
    ///
    /// # Errors
    /// The first service that does not become ready; the others are waited for all the same.
    pub async fn restart_many(&self, services: &[Service]) -> Result<BTreeMap<Service, Duration>, SupervisorError> {
        let starts = services
            .iter()
            .map(|&service| async move { (service, self.start_one(service).await) });
        let ended = join_all(starts).await;
        self.write_endpoints()?;
        ended.into_iter().map(|(service, took)| Ok((service, took?))).collect()
    }

    /// `kill -9` of everything that runs, at once; returns what was killed.
    pub async fn kill_all(&self) -> Vec<Service> {
        let kills = self
            .targets
            .iter()
            .map(|(&service, target)| async move { (service, target.kill().await) });
        let killed = join_all(kills).await.into_iter().filter(|(_, exit)| exit.is_ok());
        killed.map(|(service, _)| service).collect()
    }

    /// Ends everything that runs, in the opposite order of the start; returns how each ended.
    pub async fn stop_all(&self) -> Vec<(Service, Exit)> {
        let mut ended = Vec::new();
        for (&service, target) in self.targets.iter().rev() {
            match target.stop(STOP_WITHIN).await {
                Ok(exit) => ended.push((service, exit)),
                Err(SupervisorError::NotRunning { .. }) => {}
                Err(error) => tracing::error!(%service, %error, "cannot be stopped"),
            }
        }
        // Who finds no file knows that nothing runs here.
        let _ = std::fs::remove_file(Endpoints::path(&self.plan.data_dir));
        ended
    }

    /// Where everything is now.
    pub fn endpoints(&self) -> Endpoints {
        let services = self.targets.iter().map(|(&service, target)| {
            let endpoint = ServiceEndpoint {
                url: self.url(service),
                admin_url: (service == Service::ExchangeSim).then(|| self.admin_url()),
                pid: target.pid(),
                log_file: self.log_file(service),
            };
            (service.name().to_owned(), endpoint)
        });
        Endpoints {
            schema_version: Endpoints::SCHEMA_VERSION,
            pid: std::process::id(),
            data_dir: self.plan.data_dir.clone(),
            seed: self.plan.seed,
            started_at_ms: self.started_at_ms,
            services: services.collect(),
        }
    }

    fn write_endpoints(&self) -> Result<(), SupervisorError> {
        let path = Endpoints::path(&self.plan.data_dir);
        let _one_at_a_time = self.writing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.endpoints()
            .write()
            .map_err(|source| SupervisorError::Write { path, source })
    }
}

/// Fails only for an empty path, or where the present folder is gone; the services then say so themselves.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn fixed_ports(plan: &Plan, ports: Ports) -> Result<Reserved, SupervisorError> {
    let in_use = taken(ports.listened_on(&plan.services(), &plan.links()));
    if in_use.is_empty() {
        Ok(Reserved::fixed(ports))
    } else {
        Err(SupervisorError::PortsInUse(in_use))
    }
}
