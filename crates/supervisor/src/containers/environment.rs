use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use thunes_runtime::clock;
use thunes_types::ReasonCode;

use crate::containers::{
    Container, ContainerControl, ContainerError, Health, STOP_WITHIN_MAX, STOP_WITHIN_MIN, ServiceName,
};
use crate::embedded::Service;
use crate::{Exit, HealthProbe, LogMark, SupervisorError, Targets, check_health};

/// A container is given more time than a process: the engine sets its networks up first.
const READY_MAX: Duration = Duration::from_secs(60);
/// Pause between two questions to a service.
const PROBE_INTERVAL: Duration = Duration::from_millis(10);
/// Pause between two questions to the engine, whose healthchecks run every few seconds at best.
const HEALTH_INTERVAL: Duration = Duration::from_millis(100);

type Said<'a, T> = BoxFuture<'a, Result<T, SupervisorError>>;

/// The services of an environment that runs in containers. Other containers of the project, such as proxies and the guard,
/// are no services and are left alone.
#[derive(Debug)]
pub struct Environment {
    control: Arc<dyn ContainerControl>,
    names: BTreeMap<Service, ServiceName>,
    probes: BTreeMap<Service, HealthProbe>,
}

impl Environment {
    /// The services that have a labelled container now. `probes` says how to ask them whether they are ready, by an
    /// address that this process reaches; without one the container's own healthcheck is asked, which is slower.
    ///
    /// # Errors
    /// When there is none, or they cannot be asked for.
    pub async fn connect(
        control: Arc<dyn ContainerControl>,
        probes: BTreeMap<Service, HealthProbe>,
    ) -> Result<Self, SupervisorError> {
        let containers = control.list().await?;
        let known: Vec<String> = containers.iter().map(|container| container.service.clone()).collect();
        let mut names = BTreeMap::new();
        for name in &known {
            if let Some(service) = Service::parse(name) {
                names.insert(service, ServiceName::parse(name).map_err(ContainerError::from)?);
            }
        }
        if names.is_empty() {
            return Err(SupervisorError::NoSuchService {
                name: format!("none of the labelled containers ({})", known.join(", ")),
            });
        }
        Ok(Self { control, names, probes })
    }

    /// What the engine says of `service` now.
    ///
    /// # Errors
    /// When it has no container, or the engine cannot be asked.
    pub async fn container(&self, service: Service) -> Result<Container, SupervisorError> {
        Ok(self.control.inspect(self.name(service)?).await?)
    }

    fn name(&self, service: Service) -> Result<&ServiceName, SupervisorError> {
        self.names.get(&service).ok_or_else(|| SupervisorError::NoSuchService {
            name: service.name().to_owned(),
        })
    }

    async fn start_until_ready(&self, service: Service) -> Result<Duration, SupervisorError> {
        let name = self.name(service)?;
        let probe = self.probes.get(&service);
        if probe.is_none() && self.control.inspect(name).await?.health == Health::Absent {
            return Err(SupervisorError::Container(ContainerError::NoReadiness {
                service: name.to_string(),
            }));
        }
        let begun = clock::instant();
        let started = self.control.start(name).await.map_err(|error| told(service, error))?;
        let mut last = String::from("not asked yet");
        let ready = async {
            match probe {
                Some(probe) => self.until_answered(name, probe, &started, &mut last).await,
                None => self.until_healthy(name, &started, &mut last).await,
            }
        };
        match tokio::time::timeout(READY_MAX, ready).await {
            Ok(ready) => ready.map(|()| begun.elapsed()),
            Err(_) => Err(SupervisorError::Container(ContainerError::NotReady {
                service: name.to_string(),
                waited: READY_MAX,
                last,
            })),
        }
    }

    async fn until_answered(
        &self,
        name: &ServiceName,
        probe: &HealthProbe,
        started: &Container,
        last: &mut String,
    ) -> Result<(), SupervisorError> {
        let mut asked_engine = clock::instant();
        while let Err(reason) = check_health(probe).await {
            *last = reason;
            if asked_engine.elapsed() >= HEALTH_INTERVAL {
                self.still_the_same_run(name, started).await?;
                asked_engine = clock::instant();
            }
            tokio::time::sleep(PROBE_INTERVAL).await;
        }
        // Somebody else may have answered at that address.
        self.still_the_same_run(name, started).await.map(|_| ())
    }

    async fn until_healthy(
        &self,
        name: &ServiceName,
        started: &Container,
        last: &mut String,
    ) -> Result<(), SupervisorError> {
        loop {
            let seen = self.still_the_same_run(name, started).await?;
            if seen.health == Health::Healthy {
                return Ok(());
            }
            *last = format!("the engine says {:?}", seen.health).to_lowercase();
            tokio::time::sleep(HEALTH_INTERVAL).await;
        }
    }

    async fn still_the_same_run(&self, name: &ServiceName, started: &Container) -> Result<Container, SupervisorError> {
        let seen = self.control.inspect(name).await?;
        if seen.is_running() && seen.started_at == started.started_at {
            return Ok(seen);
        }
        let since_ms = clock::parse_iso_utc(&started.started_at).unwrap_or_default();
        let lines = self.control.logs(name, since_ms).await.unwrap_or_default();
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        let tail = texts[texts.len().saturating_sub(crate::TAIL_LINES)..].join("\n");
        Err(SupervisorError::Container(ContainerError::ExitedEarly {
            service: name.to_string(),
            exit_code: seen.exit_code,
            tail,
        }))
    }

    async fn ended(&self, service: Service, ended: Result<Container, ContainerError>) -> Result<Exit, SupervisorError> {
        let ended = ended.map_err(|error| told(service, error))?;
        ended.exit().ok_or_else(|| SupervisorError::NotRunning {
            name: service.name().to_owned(),
        })
    }
}

/// The errors that callers tell apart are the same for processes and containers.
fn told(service: Service, error: ContainerError) -> SupervisorError {
    match error.reason() {
        ReasonCode::ContainerNotRunning => SupervisorError::NotRunning {
            name: service.name().to_owned(),
        },
        _ => SupervisorError::Container(error),
    }
}

impl Targets for Environment {
    fn kind(&self) -> &'static str {
        "containers"
    }

    fn services(&self) -> Vec<Service> {
        self.names.keys().copied().collect()
    }

    fn is_running(&self, service: Service) -> Said<'_, bool> {
        async move { Ok(self.container(service).await?.is_running()) }.boxed()
    }

    fn kill(&self, service: Service) -> Said<'_, Exit> {
        async move {
            let killed = self.control.kill(self.name(service)?).await;
            self.ended(service, killed).await
        }
        .boxed()
    }

    fn stop(&self, service: Service, within: Duration) -> Said<'_, Exit> {
        async move {
            let within = within.clamp(STOP_WITHIN_MIN, STOP_WITHIN_MAX);
            let stopped = self.control.stop(self.name(service)?, within).await;
            self.ended(service, stopped).await
        }
        .boxed()
    }

    fn start(&self, service: Service) -> Said<'_, Duration> {
        self.start_until_ready(service).boxed()
    }

    fn pause(&self, service: Service) -> Said<'_, ()> {
        async move {
            let paused = self.control.pause(self.name(service)?).await;
            paused.map(|_| ()).map_err(|error| told(service, error))
        }
        .boxed()
    }

    fn resume(&self, service: Service) -> Said<'_, ()> {
        async move {
            let resumed = self.control.unpause(self.name(service)?).await;
            resumed.map(|_| ()).map_err(|error| told(service, error))
        }
        .boxed()
    }

    fn is_paused(&self, service: Service) -> Said<'_, bool> {
        async move { Ok(self.container(service).await?.phase == crate::containers::Phase::Paused) }.boxed()
    }

    fn exit(&self, service: Service) -> Said<'_, Option<Exit>> {
        async move { Ok(self.container(service).await?.exit()) }.boxed()
    }

    fn log_mark(&self, service: Service) -> Said<'_, LogMark> {
        async move {
            self.name(service)?;
            Ok(LogMark(u64::try_from(clock::now_ms()).unwrap_or_default()))
        }
        .boxed()
    }

    fn logs_since(&self, service: Service, mark: LogMark) -> Said<'_, String> {
        async move {
            let since_ms = i64::try_from(mark.0).unwrap_or(i64::MAX);
            let lines = self.control.logs(self.name(service)?, since_ms).await?;
            Ok(lines.into_iter().map(|line| line.text + "\n").collect())
        }
        .boxed()
    }

    fn disconnect(&self, service: Service) -> Said<'_, Vec<String>> {
        async move { Ok(self.control.disconnect(self.name(service)?, None).await?) }.boxed()
    }

    fn reconnect(&self, service: Service) -> Said<'_, Vec<String>> {
        async move { Ok(self.control.reconnect(self.name(service)?, None).await?) }.boxed()
    }
}
