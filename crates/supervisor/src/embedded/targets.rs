use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::embedded::{Environment, Service};
use crate::{Exit, LogMark, ProcessState, SupervisorError, Targets, process_state};

/// Most of one log that is read at once. A drill's services write a few MiB; more is refused, never cut short in silence.
const LOG_BYTES_MAX: u64 = 256 * 1024 * 1024;

type Answer<'a, T> = BoxFuture<'a, Result<T, SupervisorError>>;

impl Targets for Environment {
    fn kind(&self) -> &'static str {
        "processes"
    }

    fn services(&self) -> Vec<Service> {
        Environment::services(self)
    }

    fn is_running(&self, service: Service) -> Answer<'_, bool> {
        async move { Ok(self.target(service)?.is_running()) }.boxed()
    }

    fn kill(&self, service: Service) -> Answer<'_, Exit> {
        Environment::kill(self, service).boxed()
    }

    fn stop(&self, service: Service, within: Duration) -> Answer<'_, Exit> {
        async move { self.target(service)?.stop(within).await }.boxed()
    }

    fn start(&self, service: Service) -> Answer<'_, Duration> {
        self.restart(service).boxed()
    }

    fn pause(&self, service: Service) -> Answer<'_, ()> {
        async move { self.target(service)?.pause().await }.boxed()
    }

    fn resume(&self, service: Service) -> Answer<'_, ()> {
        async move { self.target(service)?.resume().await }.boxed()
    }

    fn is_paused(&self, service: Service) -> Answer<'_, bool> {
        async move {
            let pid = self.target(service)?.pid();
            Ok(pid.is_some_and(|pid| process_state(pid) == ProcessState::Stopped))
        }
        .boxed()
    }

    fn exit(&self, service: Service) -> Answer<'_, Option<Exit>> {
        async move { Ok(self.target(service)?.exit()) }.boxed()
    }

    fn log_mark(&self, service: Service) -> Answer<'_, LogMark> {
        async move {
            self.target(service)?;
            let path = self.log_file(service);
            match std::fs::metadata(&path) {
                Ok(metadata) => Ok(LogMark(metadata.len())),
                // Before the first start there is no log, and everything in it will be new.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(LogMark(0)),
                Err(source) => Err(SupervisorError::ReadLog { path, source }),
            }
        }
        .boxed()
    }

    fn logs_since(&self, service: Service, mark: LogMark) -> Answer<'_, String> {
        async move {
            self.target(service)?;
            let path = self.log_file(service);
            let read = {
                let path = path.clone();
                tokio::task::spawn_blocking(move || whole_lines(&path, mark.0))
                    .await
                    .unwrap_or_else(|ended| Err(io::Error::other(ended)))
            };
            read.map_err(|source| SupervisorError::ReadLog { path, source })
        }
        .boxed()
    }

    fn disconnect(&self, service: Service) -> Answer<'_, Vec<String>> {
        async move {
            self.target(service)?;
            Err(SupervisorError::Unsupported {
                name: service.name().to_owned(),
                what: "disconnected from its networks: it is a process, and processes share this machine's network. Put the \
                       fault proxy between it and its peers, or run the drill against containers (docker compose)",
            })
        }
        .boxed()
    }

    fn reconnect(&self, service: Service) -> Answer<'_, Vec<String>> {
        async move { self.target(service).map(|_| Vec::new()) }.boxed()
    }
}

/// What stands in `path` from byte `from` on, up to the end of its last whole line.
fn whole_lines(path: &Path, from: u64) -> io::Result<String> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        opened => opened?,
    };
    let end = file.metadata()?.len();
    if end < from {
        return Err(io::Error::other(format!(
            "it is shorter ({end} bytes) than when its end was marked ({from}); somebody cut it"
        )));
    }
    if end - from > LOG_BYTES_MAX {
        return Err(io::Error::other(format!(
            "{} bytes were written since the mark, more than the {LOG_BYTES_MAX} that are read at once",
            end - from
        )));
    }
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(end - from).read_to_end(&mut bytes)?;
    // A line that is being written now belongs to the next reading.
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    bytes.truncate(whole);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn only_whole_lines_behind_the_mark_are_read_and_a_cut_log_is_an_error() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("log");
        assert_eq!(whole_lines(&path, 0).expect("no log yet"), "");
        std::fs::write(&path, "old\n").expect("written");
        let mark = std::fs::metadata(&path).expect("log").len();
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).expect("log");
        file.write_all(b"one\ntwo\nhal").expect("written");
        assert_eq!(whole_lines(&path, mark).expect("read"), "one\ntwo\n");
        file.write_all(b"f\n").expect("written");
        assert_eq!(whole_lines(&path, mark).expect("read"), "one\ntwo\nhalf\n");
        std::fs::write(&path, "").expect("cut");
        let error = whole_lines(&path, mark).expect_err("cut").to_string();
        assert!(error.contains("somebody cut it"), "{error}");
    }
}
