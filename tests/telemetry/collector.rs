//! Receivers of telemetry: a small one that writes down what it gets, and a real collector to put in front of it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use thunes_supervisor::embedded::Plan;
use thunes_testkit::{python_for, until_ok};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const STARTS_WITHIN: Duration = Duration::from_secs(20);
const INSTALL: &str =
    "pip install -r tests/clients/requirements-otlp.txt, and name the interpreter in THUNES_PYTHON_OTLP";

/// The interpreter that has the receivers; None where there is none.
pub async fn python() -> Option<String> {
    python_for(
        "otlp",
        "THUNES_PYTHON_OTLP",
        "grpc, opentelemetry.proto, rotel",
        INSTALL,
    )
    .await
}

/// A receiver that writes what it gets into a file. Dropping it kills it.
pub struct Receiver {
    pub url: String,
    file: PathBuf,
    _child: Child,
}

impl Receiver {
    pub async fn start(python: &str, file: &Path, hangs: bool) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients/otlp_sink.py");
        let mut command = Command::new(python);
        command.arg(script).arg(file).args(hangs.then_some("--hang"));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("python runs");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = tokio::time::timeout(STARTS_WITHIN, lines.next_line())
            .await
            .expect("it starts");
        let line = line.expect("readable").expect("it says its port");
        let port = line.strip_prefix("port ").expect("it says its port");
        Self {
            url: format!("http://127.0.0.1:{port}"),
            file: file.to_owned(),
            _child: child,
        }
    }

    /// What has arrived so far.
    pub fn received(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        // The last line may be half written.
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    pub fn of_kind(&self, kind: &str) -> Vec<Value> {
        self.received().into_iter().filter(|one| one["kind"] == kind).collect()
    }
}

/// A collector that takes OTLP and passes it on. Dropping it kills it.
pub struct Collector {
    pub url: String,
    _child: Child,
}

impl Collector {
    pub async fn start(python: &str, onward: &str) -> Self {
        let where_it_is = "import os, rotel; print(os.path.join(os.path.dirname(rotel.__file__), 'rotel-agent'))";
        let output = Command::new(python)
            .args(["-c", where_it_is])
            .output()
            .await
            .expect("python runs");
        let program = String::from_utf8(output.stdout).expect("a path");
        let (grpc, http) = (free_port(), free_port());
        let child = Command::new(program.trim())
            .arg("start")
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")])
            .args(["--exporter", "otlp", "--otlp-exporter-protocol", "grpc"])
            .args(["--otlp-exporter-endpoint", onward])
            .args(["--batch-timeout", "200ms"])
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("rotel runs");
        until_ok("the collector listens", STARTS_WITHIN, async || {
            let tried = tokio::net::TcpStream::connect(("127.0.0.1", grpc)).await;
            tried.map(drop).map_err(|e| e.to_string())
        })
        .await;
        Self {
            url: format!("http://127.0.0.1:{grpc}"),
            _child: child,
        }
    }
}

/// A port that was free a moment ago, for programs that cannot choose one themselves.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

/// Every service exports to `url`, metrics four times a second.
pub fn exporting(plan: Plan, url: &str) -> Plan {
    plan.services().into_iter().fold(plan, |plan, service| {
        plan.setting(service, "telemetry.otlp_endpoint", url)
            .setting(service, "telemetry.export_interval_ms", "250")
    })
}
