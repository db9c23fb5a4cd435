//! Docker and docker-compose as commands, and the image that everything runs.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use thunes_testkit::{Said, required};
use tokio::process::Command;
use tokio::sync::OnceCell;

/// No single command takes longer, pulling aside, and nothing is pulled here.
const COMMAND_WITHIN: Duration = Duration::from_secs(120);
/// A build of everything with optimisation, on a slow machine.
const BUILD_WITHIN: Duration = Duration::from_secs(1800);
const IMAGE_ENV: &str = "THUNES_TEST_IMAGE";
/// The tag of the image that the tests build; nobody else's.
const OWN_IMAGE: &str = "thunes:test";

static IMAGE: OnceCell<Option<String>> = OnceCell::const_new();

/// The top of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The image under test; None, said aloud, where there is no Docker.
///
/// # Panics
/// When there is no Docker and `THUNES_REQUIRE` names docker, or the image cannot be built.
pub async fn image() -> Option<String> {
    IMAGE.get_or_init(find_image).await.clone()
}

async fn find_image() -> Option<String> {
    let engine = run("docker", &["version", "--format", "{{.Server.Version}}"]).await;
    let compose = run(compose_program().0, &[compose_program().1, &["version"]].concat()).await;
    for (what, said) in [("the Docker engine", engine), ("docker-compose", compose)] {
        if said.exit != Some(0) {
            assert!(
                !required("docker"),
                "THUNES_REQUIRE names docker, but {what} does not answer: {}",
                said.err
            );
            println!("skipped: {what} does not answer");
            return None;
        }
    }
    if let Ok(named) = std::env::var(IMAGE_ENV) {
        docker(&["image", "inspect", &named]).await;
        return Some(named);
    }
    let mut build = Command::new(root().join("deploy/image/build"));
    build.arg(OWN_IMAGE);
    finish(build, BUILD_WITHIN).await.assert_exit(0);
    Some(OWN_IMAGE.to_owned())
}

/// The program, and what comes before its own arguments. Compose 1 is a program, Compose 2 a part of docker.
pub fn compose_program() -> (&'static str, &'static [&'static str]) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join("docker-compose").is_file()) {
        ("docker-compose", &[])
    } else {
        ("docker", &["compose"])
    }
}

/// Runs `docker ARGS`, which must succeed, and returns what it printed.
///
/// # Panics
/// When it fails.
pub async fn docker(args: &[&str]) -> String {
    let said = try_docker(args).await;
    assert_eq!(said.exit, Some(0), "docker {args:?}: {}{}", said.out, said.err);
    said.out
}

/// Runs `docker ARGS`, however it ends.
pub async fn try_docker(args: &[&str]) -> Said {
    run("docker", args).await
}

/// `docker inspect` of one thing.
///
/// # Panics
/// When there is no such thing.
pub async fn inspect(kind: &str, id: &str) -> Value {
    let text = docker(&["inspect", "--type", kind, id]).await;
    let mut all: Vec<Value> = serde_json::from_str(&text).expect("docker prints JSON");
    all.pop().expect("one thing was asked for")
}

/// The ids, or names, that a `docker … ls --quiet` with this label lists.
pub async fn labelled(list: &[&str], label: &str) -> Vec<String> {
    let filter = format!("label={label}");
    let text = docker(&[list, &["--quiet", "--filter", &filter]].concat()).await;
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

async fn run(program: &str, args: &[&str]) -> Said {
    let mut command = Command::new(program);
    command.args(args);
    finish(command, COMMAND_WITHIN).await
}

/// Runs a command to its end; one that does not exist ends with no exit code.
///
/// # Panics
/// When it does not end.
pub async fn finish(mut command: Command, within: Duration) -> Said {
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let ended = tokio::time::timeout(within, running).await;
    match ended.unwrap_or_else(|_| panic!("{command:?} did not end within {within:?}")) {
        Ok(output) => Said {
            exit: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        },
        Err(error) => Said {
            exit: None,
            out: String::new(),
            err: error.to_string(),
        },
    }
}
