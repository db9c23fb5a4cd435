//! An engine that is not there, or not well.

use std::path::Path;
use std::time::{Duration, Instant};

use thunes_supervisor::containers::{ContainerControl, ContainerError, DOCKER_SOCKET, Direct, Engine, Scope};
use thunes_testkit::docker::{Spec, service};
use tokio::io::copy_bidirectional;
use tokio::net::{UnixListener, UnixStream};

use crate::fleet;

#[tokio::test]
async fn no_docker_and_a_stopped_engine_and_one_that_hangs_are_told_apart() {
    let folder = tempfile::tempdir().expect("folder");
    let none = Engine::connect(&folder.path().join("none"))
        .await
        .expect_err("no socket");
    assert!(matches!(none, ContainerError::NoSocket { .. }), "{none}");
    assert!(none.to_string().contains("install Docker"), "{none}");

    let stale = folder.path().join("stale");
    drop(std::os::unix::net::UnixListener::bind(&stale).expect("bound"));
    let stopped = Engine::connect(&stale).await.expect_err("nobody listens");
    assert!(matches!(stopped, ContainerError::NotAnswering { .. }), "{stopped}");
    assert!(stopped.to_string().contains("systemctl start docker"), "{stopped}");

    let silent = folder.path().join("silent");
    let _listener = UnixListener::bind(&silent).expect("bound");
    let begun = Instant::now();
    let hangs = Engine::connect(&silent).await.expect_err("nobody answers");
    assert!(matches!(hangs, ContainerError::NotAnswering { .. }), "{hangs}");
    assert!(begun.elapsed() < Duration::from_secs(10), "it is given up in time");

    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("written");
    assert!(Engine::connect(&file).await.is_err());
}

/// A way to the real engine that can be cut.
async fn relay(at: &Path) -> tokio::task::JoinHandle<()> {
    let listener = UnixListener::bind(at).expect("bound");
    tokio::spawn(async move {
        let mut open = tokio::task::JoinSet::new();
        while let Ok((mut near, _)) = listener.accept().await {
            open.spawn(async move {
                let mut far = UnixStream::connect(DOCKER_SOCKET).await.expect("the engine");
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    })
}

#[tokio::test]
async fn an_engine_that_stops_is_an_error_and_is_used_again_when_it_is_back() {
    let fleet = fleet!();
    fleet.start(&Spec::new("risk", "tick")).await;
    let socket = fleet.folder().join("docker.sock");
    let running = relay(&socket).await;
    let engine = Engine::connect(&socket).await.expect("the engine");
    assert!(engine.api_version().starts_with("1."), "{}", engine.api_version());
    let direct = Direct::new(engine, Scope::new(fleet.project.clone()), fleet.state_dir());
    let risk = service("risk");
    direct.inspect(&risk).await.expect("inspected");

    running.abort();
    let _ = running.await;
    let stopped = direct.kill(&risk).await.expect_err("the engine is gone");
    assert!(matches!(stopped, ContainerError::NotAnswering { .. }), "{stopped}");
    std::fs::remove_file(&socket).expect("removed");
    let gone = direct.inspect(&risk).await.expect_err("its socket, too");
    assert!(matches!(gone, ContainerError::NoSocket { .. }), "{gone}");

    let _again = relay(&socket).await;
    assert!(
        direct.inspect(&risk).await.expect("inspected").is_running(),
        "nothing was done meanwhile"
    );
}
