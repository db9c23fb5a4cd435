use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::Exit;
use crate::containers::ContainerError;

/// What can go wrong with a target or an environment of them.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    #[error("{name} cannot be started from {program}: {source}")]
    Spawn {
        name: String,
        program: PathBuf,
        source: io::Error,
    },
    #[error("{path} cannot be written: {source}; choose a data folder that this user can write, with room on its disk")]
    Write { path: PathBuf, source: io::Error },
    #[error("{name} runs already, as pid {pid}")]
    AlreadyRunning { name: String, pid: u32 },
    #[error("{name} is not running")]
    NotRunning { name: String },
    #[error("{name} (pid {pid}) cannot be sent {signal}: {source}")]
    Signal {
        name: String,
        pid: u32,
        signal: &'static str,
        source: io::Error,
    },
    #[error("{name} (pid {pid}) was sent {signal} and did not show it within {waited:?}")]
    NotConfirmed {
        name: String,
        pid: u32,
        signal: &'static str,
        waited: Duration,
    },
    #[error("{name} was to be ended by SIGKILL, but had ended otherwise: {exit}")]
    EndedOtherwise { name: String, exit: Exit },
    #[error("{name} ended before it was ready ({exit}); the end of its log {log_file}:\n{tail}")]
    ExitedEarly {
        name: String,
        exit: Exit,
        log_file: PathBuf,
        tail: String,
    },
    #[error("{name} was not ready within {waited:?} ({last}); the end of its log {log_file}:\n{tail}")]
    NotHealthy {
        name: String,
        waited: Duration,
        last: String,
        log_file: PathBuf,
        tail: String,
    },
    #[error("{}", ports_in_use(.0))]
    PortsInUse(Vec<(&'static str, u16)>),
    #[error("no free ports were found on 127.0.0.1 after {tried} tries")]
    NoFreePorts { tried: usize },
    #[error(
        "the data folder {path} is in use by process {holder}: stop that environment, or choose another folder with \
         --data-dir"
    )]
    DataDirInUse { path: PathBuf, holder: String },
    #[error("{name} is not part of this environment")]
    NoSuchService { name: String },
    #[error("{name} cannot be {what}")]
    Unsupported { name: String, what: &'static str },
    #[error("the log {path} cannot be read: {source}")]
    ReadLog { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Container(#[from] ContainerError),
}

fn ports_in_use(ports: &[(&'static str, u16)]) -> String {
    let list: Vec<String> = ports
        .iter()
        .map(|(name, port)| format!("  {name}: 127.0.0.1:{port}"))
        .collect();
    format!(
        "port(s) that cannot be listened on:\n{}\nstop what listens there (another `thunes up`?), or choose other ports \
         with the `listen` settings, or any that are free with --free-ports",
        list.join("\n")
    )
}
