use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use thunes_runtime::clock;
use tokio::sync::OwnedMutexGuard;

use crate::containers::saved::Saved;
use crate::containers::{
    Answer, Container, ContainerControl, ContainerError, Engine, LogLine, NetworkName, Phase, Scope, ServiceName, logs,
};

/// The engine shows a change at once; only a machine on its knees takes longer than this.
const CONFIRM_MAX: Duration = Duration::from_secs(10);
const START_NOTED_WITHIN_MS: i64 = 2000;
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// A whole log of the largest size, from a slow disk.
const LOGS_MAX: Duration = Duration::from_secs(30);
/// Lines that the error of a failed start shows.
const TAIL_LINES: usize = 12;
/// The engine's word for "not in this state".
const CONFLICT: u16 = 409;

/// The containers of one project, through the engine itself.
#[derive(Debug)]
pub struct Direct {
    pub(crate) engine: Engine,
    pub(crate) scope: Scope,
    pub(crate) saved: Saved,
    /// One change of a container at a time: what confirms one must not be undone by another meanwhile. As many as there
    /// are containers.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// A container that may be changed, by whoever holds this.
pub(crate) struct Held {
    pub(crate) id: String,
    _turn: OwnedMutexGuard<()>,
}

impl Direct {
    /// `state_dir` keeps what a cut-off container had on its networks; it must outlive this process.
    pub fn new(engine: Engine, scope: Scope, state_dir: PathBuf) -> Self {
        Self {
            engine,
            scope,
            saved: Saved::new(state_dir),
            turns: Mutex::new(HashMap::new()),
        }
    }

    pub(crate) async fn hold(&self, service: &ServiceName) -> Result<Held, ContainerError> {
        let id = self.scope.find(&self.engine, service).await?;
        self.scope.may_touch(service, &id)?;
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.entry(service.to_string()).or_default().clone()
        };
        Ok(Held {
            id,
            _turn: turn.lock_owned().await,
        })
    }

    async fn state(&self, id: &str) -> Result<Container, ContainerError> {
        Container::of(self.engine.inspect(id).await?)
    }

    /// Asks until the engine shows what was wanted.
    async fn until(
        &self,
        held: &Held,
        call: &'static str,
        wanted: impl Fn(&Container) -> bool,
    ) -> Result<Container, ContainerError> {
        let begun = clock::instant();
        loop {
            let seen = self.state(&held.id).await?;
            if wanted(&seen) {
                return Ok(seen);
            }
            if begun.elapsed() > CONFIRM_MAX {
                return Err(ContainerError::NotConfirmed {
                    service: seen.service.clone(),
                    call,
                    waited: CONFIRM_MAX,
                    seen: seen.summary(),
                });
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    async fn running(&self, held: &Held) -> Result<Container, ContainerError> {
        let seen = self.state(&held.id).await?;
        if seen.is_running() {
            Ok(seen)
        } else {
            Err(not_running(&seen))
        }
    }

    /// It may have ended by itself just before; then that is the answer.
    async fn or_not_running(&self, held: &Held, done: Result<(), ContainerError>) -> Result<(), ContainerError> {
        match done {
            Err(ContainerError::Engine { status: CONFLICT, .. }) => {
                let seen = self.state(&held.id).await?;
                if seen.is_running() {
                    done
                } else {
                    Err(not_running(&seen))
                }
            }
            done => done,
        }
    }

    async fn list_all(&self) -> Result<Vec<Container>, ContainerError> {
        let ids = self.scope.all(&self.engine).await?;
        let states = join_all(ids.values().flatten().map(|id| self.state(id))).await;
        states.into_iter().collect()
    }

    async fn inspect_one(&self, service: &ServiceName) -> Result<Container, ContainerError> {
        let id = self.scope.find(&self.engine, service).await?;
        self.state(&id).await
    }

    async fn kill_one(&self, service: &ServiceName) -> Result<Container, ContainerError> {
        let held = self.hold(service).await?;
        self.running(&held).await?;
        let done = self.engine.sigkill(&held.id).await;
        self.or_not_running(&held, done).await?;
        let ended = self.until(&held, "kill", |seen| seen.exit().is_some()).await?;
        if ended.was_sigkilled() {
            return Ok(ended);
        }
        Err(ContainerError::EndedOtherwise {
            service: service.to_string(),
            how: ended.summary(),
        })
    }

    async fn stop_one(&self, service: &ServiceName, within: Duration) -> Result<Container, ContainerError> {
        let held = self.hold(service).await?;
        self.running(&held).await?;
        self.engine.stop(&held.id, within).await?;
        self.until(&held, "stop", |seen| seen.exit().is_some()).await
    }

    async fn start_one(&self, service: &ServiceName) -> Result<Container, ContainerError> {
        let held = self.hold(service).await?;
        let before = self.state(&held.id).await?;
        if before.exit().is_none() && before.phase != Phase::Created {
            return Err(ContainerError::Running {
                service: service.to_string(),
            });
        }
        self.engine.start(&held.id).await?;
        let new_run = |seen: &Container| seen.started_at != before.started_at;
        let seen = self
            .until(&held, "start", |seen| {
                new_run(seen) && (seen.is_running() || seen.exit().is_some())
            })
            .await?;
        if seen.is_running() {
            return Ok(seen);
        }
        Err(ContainerError::ExitedEarly {
            service: service.to_string(),
            exit_code: seen.exit_code,
            tail: self.tail(&seen).await,
        })
    }

    async fn pause_one(&self, service: &ServiceName) -> Result<Container, ContainerError> {
        let held = self.hold(service).await?;
        let before = self.running(&held).await?;
        if before.phase == Phase::Paused {
            return Ok(before);
        }
        let done = self.engine.pause(&held.id).await;
        self.or_not_running(&held, done).await?;
        self.until(&held, "pause", |seen| seen.phase == Phase::Paused).await
    }

    async fn unpause_one(&self, service: &ServiceName) -> Result<Container, ContainerError> {
        let held = self.hold(service).await?;
        let before = self.running(&held).await?;
        if before.phase == Phase::Running {
            return Ok(before);
        }
        let done = self.engine.unpause(&held.id).await;
        self.or_not_running(&held, done).await?;
        self.until(&held, "unpause", |seen| seen.phase == Phase::Running).await
    }

    async fn logs_of(&self, service: &ServiceName, since_ms: i64) -> Result<Vec<LogLine>, ContainerError> {
        let id = self.scope.find(&self.engine, service).await?;
        self.read_log(service.as_str(), &id, since_ms).await
    }

    async fn read_log(&self, service: &str, id: &str, since_ms: i64) -> Result<Vec<LogLine>, ContainerError> {
        let since_s = i32::try_from(since_ms.max(0) / 1000).unwrap_or(i32::MAX);
        let gathered = logs::gather(service, self.engine.logs(id, since_s), since_ms);
        tokio::time::timeout(LOGS_MAX, gathered).await.unwrap_or_else(|_| {
            Err(ContainerError::NotConfirmed {
                service: service.to_owned(),
                call: "the reading of the log",
                waited: LOGS_MAX,
                seen: "a part of it".to_owned(),
            })
        })
    }

    async fn tail(&self, of: &Container) -> String {
        // The engine notes the start a moment after the first line was written.
        let since_ms = clock::parse_iso_utc(&of.started_at).unwrap_or_default() - START_NOTED_WITHIN_MS;
        match self.read_log(&of.service, &of.id, since_ms).await {
            Ok(lines) => {
                let texts: Vec<String> = lines.into_iter().map(|line| line.text).collect();
                texts[texts.len().saturating_sub(TAIL_LINES)..].join("\n")
            }
            Err(error) => format!("(it cannot be read: {error})"),
        }
    }
}

fn not_running(seen: &Container) -> ContainerError {
    ContainerError::NotRunning {
        service: seen.service.clone(),
        state: seen.summary(),
    }
}

impl ContainerControl for Direct {
    fn list(&self) -> Answer<'_, Vec<Container>> {
        self.list_all().boxed()
    }

    fn inspect<'a>(&'a self, service: &'a ServiceName) -> Answer<'a, Container> {
        self.inspect_one(service).boxed()
    }

    fn kill<'a>(&'a self, service: &'a ServiceName) -> Answer<'a, Container> {
        self.kill_one(service).boxed()
    }

    fn stop<'a>(&'a self, service: &'a ServiceName, within: Duration) -> Answer<'a, Container> {
        self.stop_one(service, within).boxed()
    }

    fn start<'a>(&'a self, service: &'a ServiceName) -> Answer<'a, Container> {
        self.start_one(service).boxed()
    }

    fn pause<'a>(&'a self, service: &'a ServiceName) -> Answer<'a, Container> {
        self.pause_one(service).boxed()
    }

    fn unpause<'a>(&'a self, service: &'a ServiceName) -> Answer<'a, Container> {
        self.unpause_one(service).boxed()
    }

    fn disconnect<'a>(&'a self, service: &'a ServiceName, network: Option<&'a NetworkName>) -> Answer<'a, Vec<String>> {
        self.take_off(service, network).boxed()
    }

    fn reconnect<'a>(&'a self, service: &'a ServiceName, network: Option<&'a NetworkName>) -> Answer<'a, Vec<String>> {
        self.put_back(service, network).boxed()
    }

    fn logs<'a>(&'a self, service: &'a ServiceName, since_ms: i64) -> Answer<'a, Vec<LogLine>> {
        self.logs_of(service, since_ms).boxed()
    }
}
