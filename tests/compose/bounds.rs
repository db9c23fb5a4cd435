//! No container has more rights than it needs, nothing is published beyond this machine, and the image holds nothing to
//! work with for whoever gets in.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use thunes_supervisor::embedded::{SIM_API_KEY, SIM_API_SECRET, STANDIN_TOKEN};

use crate::docker::{docker, inspect, root};
use crate::environment::{Compose, PUBLISHED, Turn};

/// The one container that speaks to the Docker engine: root with no capability, no network and no port.
const GUARD: &str = "container-guard";
const USER: &str = "65532:65532";
const USER_ID: &str = "65532";
/// Hexadecimal, as in /proc/PID/status.
const NO_CAPABILITIES: &str = "0000000000000000";
const SECCOMP_FILTER: &str = "2";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_container_has_more_rights_than_it_needs_and_no_secret_is_in_its_description() {
    let Some(turn) = Turn::wait().await else { return };
    let compose = Compose::up(&turn).await;
    let mut published = BTreeSet::new();
    for (service, container) in compose.containers().await {
        let described = container.to_string();
        for secret in [SIM_API_KEY, SIM_API_SECRET, STANDIN_TOKEN] {
            assert!(
                !described.contains(secret),
                "{service}: {secret} is in `docker inspect`"
            );
        }
        assert_description(&service, &container);
        assert_process(&service, &container).await;
        published.extend(published_ports(&service, &container));
    }
    let wanted: BTreeSet<_> = PUBLISHED.iter().map(|(variable, _)| compose.port(variable)).collect();
    assert_eq!(published, wanted, "these ports are published and no others");
}

fn assert_description(service: &str, container: &Value) {
    let (config, host) = (&container["Config"], &container["HostConfig"]);
    let user = if service == GUARD { "0:0" } else { USER };
    assert_eq!(config["User"], user, "{service}");
    assert_eq!(host["ReadonlyRootfs"], true, "{service}");
    assert_eq!(host["Privileged"], false, "{service}");
    assert_eq!(host["CapDrop"], json!(["ALL"]), "{service}");
    let none = |value: &Value| value.as_array().is_none_or(Vec::is_empty);
    assert!(none(&host["CapAdd"]) && none(&host["Devices"]), "{service}: {host}");
    assert_eq!(host["SecurityOpt"], json!(["no-new-privileges:true"]), "{service}");
    for limit in ["Memory", "PidsLimit"] {
        assert!(
            host[limit].as_i64().is_some_and(|limit| limit > 0),
            "{service}: {limit} {}",
            host[limit]
        );
    }
    for shared in ["PidMode", "UTSMode", "IpcMode", "UsernsMode"] {
        assert_ne!(host[shared], "host", "{service}: {shared}");
    }
    assert_ne!(host["NetworkMode"], "host", "{service}");
    assert_eq!(
        host["LogConfig"]["Config"]["max-size"], "10m",
        "{service}: logs are bounded"
    );
    let drilled = config["Labels"]["io.thunes.drill"] == "true";
    let spared = ["drill-orchestrator", "exchange-proxy", GUARD].contains(&service);
    assert_eq!(drilled, !spared, "{service}: io.thunes.drill");
    assert_mounts(service, container);
}

fn assert_mounts(service: &str, container: &Value) {
    for mount in container["Mounts"].as_array().into_iter().flatten() {
        let at = mount["Destination"].as_str().unwrap_or_default();
        let writable = mount["RW"] == true;
        let good = match mount["Type"].as_str() {
            Some("volume") if service == GUARD => ["/run/guard", "/var/lib/thunes/guard"].contains(&at),
            Some("volume") => at == "/data" || (!writable && (at == "/run/guard" || at.starts_with("/evidence/"))),
            Some("bind") => at.starts_with("/run/secrets/") || (service == GUARD && at == "/var/run/docker.sock"),
            Some("tmpfs") => at == "/tmp",
            _ => false,
        };
        assert!(good, "{service}: {mount}");
        assert!(
            at != "/run/guard" || [GUARD, "drill-orchestrator"].contains(&service),
            "{service}: {mount}"
        );
    }
}

/// What the kernel says of the process, rather than what Docker was told. Only where the engine runs on this machine.
async fn assert_process(service: &str, container: &Value) {
    let process = container["State"]["Pid"].as_i64().expect("a process");
    let Ok(status) = std::fs::read_to_string(format!("/proc/{process}/status")) else {
        println!("{service}: process {process} cannot be seen from here");
        return;
    };
    let field = |name: &str| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|rest| rest.split_ascii_whitespace().next().unwrap_or_default().to_owned())
    };
    let user = if service == GUARD { "0" } else { USER_ID };
    assert_eq!(field("Uid").as_deref(), Some(user), "{service}");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(field(set).as_deref(), Some(NO_CAPABILITIES), "{service}: {set}");
    }
    assert_eq!(field("NoNewPrivs").as_deref(), Some("1"), "{service}");
    assert_eq!(field("Seccomp").as_deref(), Some(SECCOMP_FILTER), "{service}");
}

fn published_ports(service: &str, container: &Value) -> BTreeSet<u16> {
    let ports = container["NetworkSettings"]["Ports"].as_object();
    let bindings = ports
        .into_iter()
        .flat_map(|ports| ports.values())
        .filter_map(Value::as_array)
        .flatten();
    bindings
        .map(|binding| {
            assert_eq!(
                binding["HostIp"], "127.0.0.1",
                "{service} is published beyond this machine"
            );
            binding["HostPort"]
                .as_str()
                .and_then(|port| port.parse().ok())
                .expect("a port")
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_image_holds_one_binary_and_no_shell() {
    let Some(turn) = Turn::wait().await else { return };
    let folder = tempfile::tempdir().expect("folder");
    let mut found: Vec<String> = Vec::new();
    for layer in layers(&turn.image, folder.path()).await {
        found.extend(list(&layer).await);
    }
    found.sort();
    found.dedup();
    let wanted = [
        "-rw-r--r-- 0/0 etc/group",
        "-rw-r--r-- 0/0 etc/host.conf",
        "-rw-r--r-- 0/0 etc/passwd",
        "-rwxr-xr-x 0/0 thunes",
        "drwxr-xr-x 0/0 etc/",
        "drwxr-xr-x 0/0 run/",
        "drwxr-xr-x 0/0 run/guard/",
        "drwxr-xr-x 65532/65532 data/",
        "drwxrwxrwt 0/0 tmp/",
    ];
    assert_eq!(found, wanted);

    let config = inspect("image", &turn.image).await["Config"].clone();
    assert_eq!(config["User"], USER);
    assert_eq!(config["Entrypoint"], json!(["/thunes"]));
    let labels = &config["Labels"];
    let version = docker(&[
        "run",
        "--rm",
        "--network",
        "none",
        "--read-only",
        &turn.image,
        "--version",
    ])
    .await;
    let label = labels["org.opencontainers.image.version"].as_str().unwrap_or_default();
    assert_eq!(version.trim(), format!("thunes {label}"));
    assert_eq!(labels["org.opencontainers.image.title"], "THUNES");
    assert_eq!(labels["org.opencontainers.image.licenses"], "MIT OR Apache-2.0");
    assert!(labels["org.opencontainers.image.revision"].is_string(), "{labels}");
    let dockerfile = std::fs::read_to_string(root().join("Dockerfile")).expect("there is one");
    assert!(
        dockerfile.contains(&format!("ARG VERSION={label}\n")),
        "the other way to build it names the same version"
    );
}

/// The layers of an image as files.
async fn layers(image: &str, folder: &Path) -> Vec<std::path::PathBuf> {
    let archive = folder.join("image.tar");
    docker(&["save", "--output", &archive.display().to_string(), image]).await;
    tar(&[
        "--extract",
        "--file",
        &archive.display().to_string(),
        "--directory",
        &folder.display().to_string(),
    ])
    .await;
    let manifest = std::fs::read(folder.join("manifest.json")).expect("a saved image has a manifest");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let layers = manifest[0]["Layers"].as_array().expect("layers").iter();
    layers
        .map(|layer| folder.join(layer.as_str().expect("a path")))
        .collect()
}

/// Mode, owner and name of everything in an archive.
async fn list(archive: &Path) -> Vec<String> {
    let text = tar(&[
        "--list",
        "--verbose",
        "--numeric-owner",
        "--file",
        &archive.display().to_string(),
    ])
    .await;
    let line = |line: &str| {
        let parts: Vec<&str> = line.split_ascii_whitespace().collect();
        format!("{} {} {}", parts[0], parts[1], parts.last().expect("a name"))
    };
    text.lines()
        .map(line)
        .filter(|line| !line.ends_with(" ./") && !line.ends_with(" /"))
        .collect()
}

async fn tar(args: &[&str]) -> String {
    let output = tokio::process::Command::new("tar")
        .args(args)
        .output()
        .await
        .expect("tar runs");
    assert!(
        output.status.success(),
        "tar {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}
