use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Signal, pidfd_send_signal};
use tokio::sync::watch;

use crate::{Exit, PARENT_PID_ENV, ProcessSpec, ProcessState, SupervisorError, process_state, spawner};

/// The kernel ends and stops processes at once; only one that hangs in the kernel itself takes longer than this.
const CONFIRM_MAX: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// One process that can be started, ended and started again. Dropping it kills what runs.
#[derive(Debug)]
pub struct Target {
    inner: Mutex<Inner>,
    /// Two starts at once would make two processes of one target.
    starting: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Inner {
    spec: ProcessSpec,
    run: Option<Arc<Run>>,
}

/// One life of the process.
#[derive(Debug)]
struct Run {
    pid: u32,
    handle: OwnedFd,
    ended: watch::Receiver<Option<Exit>>,
    started: Instant,
    log_from: u64,
}

impl Run {
    fn exit(&self) -> Option<Exit> {
        *self.ended.borrow()
    }

    async fn ended(&self) -> Exit {
        let mut ended = self.ended.clone();
        let exit = ended.wait_for(Option::is_some).await.map_or(None, |exit| *exit);
        // The waiting thread always sends before it ends; if it could not, nothing is known but that it is over.
        exit.unwrap_or(Exit {
            code: None,
            signal: None,
        })
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.exit().is_none() {
            // Fails only for a process that has ended.
            let _ = pidfd_send_signal(&self.handle, Signal::KILL);
        }
    }
}

impl Target {
    pub fn new(spec: ProcessSpec) -> Self {
        Self {
            inner: Mutex::new(Inner { spec, run: None }),
            starting: tokio::sync::Mutex::new(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn name(&self) -> String {
        self.lock().spec.name.clone()
    }

    pub fn spec(&self) -> ProcessSpec {
        self.lock().spec.clone()
    }

    /// Changes what the next start runs.
    pub fn change_spec(&self, change: impl FnOnce(&mut ProcessSpec)) {
        change(&mut self.lock().spec);
    }

    /// The process that runs now.
    pub fn pid(&self) -> Option<u32> {
        self.running().ok().map(|run| run.pid)
    }

    pub fn is_running(&self) -> bool {
        self.running().is_ok()
    }

    /// How the last run ended; `None` while it runs and before the first start.
    pub fn exit(&self) -> Option<Exit> {
        self.lock().run.as_ref().and_then(|run| run.exit())
    }

    /// When the present or last run was started.
    pub fn started(&self) -> Option<Instant> {
        self.lock().run.as_ref().map(|run| run.started)
    }

    /// The last log lines of the present or last run.
    pub fn log_tail(&self) -> String {
        let inner = self.lock();
        let from = inner.run.as_ref().map_or(u64::MAX, |run| run.log_from);
        crate::tail_of(&inner.spec.log_file, from)
    }

    fn running(&self) -> Result<Arc<Run>, SupervisorError> {
        let inner = self.lock();
        match &inner.run {
            Some(run) if run.exit().is_none() => Ok(run.clone()),
            _ => Err(SupervisorError::NotRunning {
                name: inner.spec.name.clone(),
            }),
        }
    }

    /// Starts the process and returns its pid; it may not be ready yet.
    ///
    /// # Errors
    /// When it runs already, cannot be started, or its log or pid file cannot be written.
    pub async fn start(&self) -> Result<u32, SupervisorError> {
        let _one_at_a_time = self.starting.lock().await;
        let spec = self.spec();
        if let Ok(run) = self.running() {
            return Err(SupervisorError::AlreadyRunning {
                name: spec.name,
                pid: run.pid,
            });
        }
        let (command, log_from) = command(&spec)?;
        let (child, handle) = spawner::spawn(command).await.map_err(|source| SupervisorError::Spawn {
            name: spec.name.clone(),
            program: spec.program.clone(),
            source,
        })?;
        let started = Instant::now();
        let pid = child.id();
        let (ended, ending) = watch::channel(None);
        let run = Arc::new(Run {
            pid,
            handle,
            ended: ending,
            started,
            log_from,
        });
        let written = write_pid_file(&spec.pid_file, pid);
        wait_in_background(&spec, child, ended)?;
        // Dropping the run kills it: one that cannot be found by its pid file must not stay.
        written?;
        self.lock().run = Some(run);
        Ok(pid)
    }

    /// SIGKILL, confirmed by the wait status.
    ///
    /// # Errors
    /// When it does not run, or had ended otherwise before the signal came.
    pub async fn kill(&self) -> Result<Exit, SupervisorError> {
        let run = self.running()?;
        self.signal(&run, Signal::KILL, "SIGKILL")?;
        let exit = self.ended_within(&run, CONFIRM_MAX, "SIGKILL").await?;
        if exit.is_sigkill() {
            Ok(exit)
        } else {
            Err(SupervisorError::EndedOtherwise {
                name: self.name(),
                exit,
            })
        }
    }

    /// SIGTERM, and SIGKILL after `bound`. A paused process is resumed, so that it can hear the signal.
    ///
    /// # Errors
    /// When it does not run, or not even SIGKILL ends it.
    pub async fn stop(&self, bound: Duration) -> Result<Exit, SupervisorError> {
        let run = self.running()?;
        self.signal(&run, Signal::TERM, "SIGTERM")?;
        self.signal(&run, Signal::CONT, "SIGCONT")?;
        if let Ok(exit) = tokio::time::timeout(bound, run.ended()).await {
            return Ok(exit);
        }
        tracing::warn!(
            name = self.name(),
            pid = run.pid,
            ?bound,
            "did not end after SIGTERM; sending SIGKILL"
        );
        self.signal(&run, Signal::KILL, "SIGKILL")?;
        self.ended_within(&run, CONFIRM_MAX, "SIGKILL").await
    }

    /// SIGSTOP, confirmed by /proc: every thread of the process is stopped.
    ///
    /// # Errors
    /// When it does not run, or the kernel does not show it as stopped.
    pub async fn pause(&self) -> Result<(), SupervisorError> {
        let run = self.running()?;
        self.signal(&run, Signal::STOP, "SIGSTOP")?;
        self.state_becomes(&run, "SIGSTOP", |state| state == ProcessState::Stopped)
            .await
    }

    /// SIGCONT, confirmed by /proc.
    ///
    /// # Errors
    /// When it does not run, or the kernel still shows it as stopped.
    pub async fn resume(&self) -> Result<(), SupervisorError> {
        let run = self.running()?;
        self.signal(&run, Signal::CONT, "SIGCONT")?;
        self.state_becomes(&run, "SIGCONT", |state| state != ProcessState::Stopped)
            .await
    }

    /// Waits until the present run has ended; at once when it has.
    ///
    /// # Errors
    /// When it was never started.
    pub async fn wait_exit(&self) -> Result<Exit, SupervisorError> {
        let run = self.lock().run.clone();
        match run {
            Some(run) => Ok(run.ended().await),
            None => Err(SupervisorError::NotRunning { name: self.name() }),
        }
    }

    fn signal(&self, run: &Run, signal: Signal, shown: &'static str) -> Result<(), SupervisorError> {
        match pidfd_send_signal(&run.handle, signal) {
            // It ended in the meantime, which the caller is about to see.
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(SupervisorError::Signal {
                name: self.name(),
                pid: run.pid,
                signal: shown,
                source: errno.into(),
            }),
        }
    }

    async fn ended_within(&self, run: &Run, bound: Duration, signal: &'static str) -> Result<Exit, SupervisorError> {
        let name = self.name();
        let late = |_| SupervisorError::NotConfirmed {
            name,
            pid: run.pid,
            signal,
            waited: bound,
        };
        tokio::time::timeout(bound, run.ended()).await.map_err(late)
    }

    async fn state_becomes(
        &self,
        run: &Run,
        signal: &'static str,
        wanted: impl Fn(ProcessState) -> bool,
    ) -> Result<(), SupervisorError> {
        let begun = Instant::now();
        while begun.elapsed() < CONFIRM_MAX {
            if run.exit().is_some() {
                return Err(SupervisorError::NotRunning { name: self.name() });
            }
            if wanted(process_state(run.pid)) {
                return Ok(());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Err(SupervisorError::NotConfirmed {
            name: self.name(),
            pid: run.pid,
            signal,
            waited: CONFIRM_MAX,
        })
    }
}

fn command(spec: &ProcessSpec) -> Result<(Command, u64), SupervisorError> {
    let written = |source| SupervisorError::Write {
        path: spec.log_file.clone(),
        source,
    };
    let log = open_log(&spec.log_file).map_err(written)?;
    let log_from = log.metadata().map_err(written)?.len();
    let errors = log.try_clone().map_err(written)?;
    let mut command = Command::new(&spec.program);
    command.args(&spec.args);
    for name in &spec.env_remove {
        command.env_remove(name);
    }
    command.envs(spec.env.iter().map(|(name, value)| (name, value)));
    command.env(PARENT_PID_ENV, std::process::id().to_string());
    command.stdin(Stdio::null()).stdout(log).stderr(errors);
    // Its own group: Ctrl-C at the terminal reaches the supervisor alone, which then ends its children in order.
    command.process_group(0);
    if let Some(folder) = &spec.current_dir {
        command.current_dir(folder);
    }
    Ok((command, log_from))
}

fn open_log(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

fn write_pid_file(path: &Path, pid: u32) -> Result<(), SupervisorError> {
    let write = || -> io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let fresh = path.with_extension("pid.new");
        std::fs::write(&fresh, format!("{pid}\n"))?;
        std::fs::rename(&fresh, path)
    };
    write().map_err(|source| SupervisorError::Write {
        path: path.to_owned(),
        source,
    })
}

/// A thread that does nothing but wait: it reaps the child whatever the runtime does.
fn wait_in_background(
    spec: &ProcessSpec,
    mut child: Child,
    ended: watch::Sender<Option<Exit>>,
) -> Result<(), SupervisorError> {
    let pid_file = spec.pid_file.clone();
    let pid = child.id();
    let wait = move || {
        let exit = child.wait().map_or(
            Exit {
                code: None,
                signal: None,
            },
            Exit::from,
        );
        let ours = std::fs::read_to_string(&pid_file).is_ok_and(|text| text.trim() == pid.to_string());
        if ours {
            // A pid file that stays behind misleads people, but breaks nothing.
            let _ = std::fs::remove_file(&pid_file);
        }
        ended.send_replace(Some(exit));
    };
    // When no thread can be made, dropping the run kills the child.
    std::thread::Builder::new()
        .name(format!("wait-{pid}"))
        .spawn(wait)
        .map(|_| ())
        .map_err(|source| SupervisorError::Spawn {
            name: spec.name.clone(),
            program: spec.program.clone(),
            source,
        })
}
