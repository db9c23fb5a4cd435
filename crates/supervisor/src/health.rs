use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::{SupervisorError, Target};

const PROBE_INTERVAL: Duration = Duration::from_millis(10);
/// One question; a process that is stopped accepts connections and never answers.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
const STATUS_LINE_BYTES_MAX: u64 = 256;

/// How to ask a process whether it is ready. An address is HOST:PORT; a name is resolved at each question, since a container
/// has another address after each start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthProbe {
    /// The standard gRPC health service.
    Grpc { address: String },
    /// GET answers 200.
    Http { address: String, path: String },
    /// The standard gRPC health service on a Unix socket.
    Unix { path: PathBuf },
}

impl HealthProbe {
    /// The gRPC health service at `address`.
    pub fn grpc(address: impl ToString) -> Self {
        Self::Grpc {
            address: address.to_string(),
        }
    }

    /// GET of `path` at `address`.
    pub fn http(address: impl ToString, path: impl Into<String>) -> Self {
        Self::Http {
            address: address.to_string(),
            path: path.into(),
        }
    }

    /// The gRPC health service on the Unix socket `path`.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::Unix { path: path.into() }
    }
}

/// Asks once.
///
/// # Errors
/// What was answered instead of "ready".
pub async fn check_health(probe: &HealthProbe) -> Result<(), String> {
    let asked = async {
        match probe {
            HealthProbe::Grpc { address } => check_grpc(format!("http://{address}"), address).await,
            HealthProbe::Http { address, path } => check_http(address, path).await,
            HealthProbe::Unix { path } => {
                let shown = path.display().to_string();
                check_grpc(format!("unix://{shown}"), &shown).await
            }
        }
    };
    tokio::time::timeout(PROBE_TIMEOUT, asked)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} ms", PROBE_TIMEOUT.as_millis())))
}

async fn check_grpc(uri: String, shown: &str) -> Result<(), String> {
    let endpoint = Endpoint::from_shared(uri).map_err(|e| format!("{shown:?} is not an address: {e}"))?;
    let channel = endpoint
        .connect()
        .await
        .map_err(|e| format!("{shown} does not take connections: {e}"))?;
    let request = HealthCheckRequest { service: String::new() };
    let answer = HealthClient::new(channel)
        .check(request)
        .await
        .map_err(|status| status.message().to_owned())?;
    match answer.into_inner().status() {
        ServingStatus::Serving => Ok(()),
        other => Err(format!("health says {}", other.as_str_name())),
    }
}

async fn check_http(address: &str, path: &str) -> Result<(), String> {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(STATUS_LINE_BYTES_MAX).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = ask.await.map_err(|e| format!("{address} does not answer: {e}"))?;
    let text = String::from_utf8_lossy(&answer);
    let line = text.lines().next().unwrap_or_default();
    match line.split_ascii_whitespace().nth(1) {
        Some("200") => Ok(()),
        _ => Err(format!("GET {path} answered {line:?}")),
    }
}

/// Waits until `target` is ready and returns how long that took since its start. Watches for its end meanwhile.
///
/// # Errors
/// When the process ends, or `deadline` passes; both show the end of its log.
pub async fn wait_healthy(
    target: &Target,
    probe: &HealthProbe,
    deadline: Duration,
) -> Result<Duration, SupervisorError> {
    let since = target
        .started()
        .ok_or_else(|| SupervisorError::NotRunning { name: target.name() })?;
    let mut last = String::from("not asked yet");
    let poll = async {
        while let Err(reason) = check_health(probe).await {
            last = reason;
            tokio::time::sleep(PROBE_INTERVAL).await;
        }
    };
    let begun = Instant::now();
    tokio::select! {
        biased;
        exit = target.wait_exit() => return Err(exited_early(target, exit?)),
        () = poll => {}
        () = tokio::time::sleep(deadline) => {
            let spec = target.spec();
            let (waited, tail) = (begun.elapsed(), target.log_tail());
            return Err(SupervisorError::NotHealthy { name: spec.name, waited, last, log_file: spec.log_file, tail });
        }
    }
    // Somebody else may answer at that address while our process has just failed to bind it.
    match target.exit() {
        Some(exit) => Err(exited_early(target, exit)),
        None => Ok(since.elapsed()),
    }
}

fn exited_early(target: &Target, exit: crate::Exit) -> SupervisorError {
    let spec = target.spec();
    SupervisorError::ExitedEarly {
        name: spec.name,
        exit,
        log_file: spec.log_file,
        tail: target.log_tail(),
    }
}
