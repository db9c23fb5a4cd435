//! `thunes guard` as a process and as the container that it is meant for.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use thunes_supervisor::containers::{ContainerControl, ContainerError, GuardClient};
use thunes_supervisor::{HealthProbe, check_health};
use thunes_testkit::docker::{Fleet, Spec, service};
use thunes_testkit::{python_with, until_ok};

use crate::THUNES;

const LONG: Duration = Duration::from_secs(30);
/// Somebody who is not root and in no group.
const NOBODY: u32 = 65_534;

fn guard_spec(fleet: &Fleet, folder: &Path) -> Spec {
    let real = |path: &str| {
        std::fs::canonicalize(path)
            .expect("a system folder")
            .display()
            .to_string()
    };
    // The tests' binary is not static, so it brings this machine's libraries.
    let libraries = ["/usr/lib", "/lib", "/lib64"].map(|path| format!("{}:{path}:ro", real(path)));
    let mut binds = libraries.to_vec();
    binds.push(format!("{THUNES}:/thunes:ro"));
    binds.push("/var/run/docker.sock:/var/run/docker.sock".to_owned());
    binds.push(format!("{}:/run/thunes", folder.display()));
    binds.push(format!("{}:/var/lib/thunes/guard", fleet.state_dir().display()));
    Spec {
        program: Some(vec!["/thunes".to_owned()]),
        binds,
        ..Spec::new("guard", "guard")
    }
}

async fn ready(socket: &Path) {
    let probe = HealthProbe::unix(socket);
    until_ok("the guard answers", LONG, async || check_health(&probe).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guard_in_a_container_knows_its_project_and_puts_back_after_its_own_kill_9_what_it_cut_off() {
    let Some(fleet) = Fleet::new().await else { return };
    let other = Fleet::new().await.expect("there is Docker");
    fleet.start(&Spec::new("risk", "tick")).await;
    other.start(&Spec::new("audit", "tick")).await;
    let folder = fleet.folder().join("shared");
    std::fs::create_dir_all(&folder).expect("folder");
    let id = fleet.start(&guard_spec(&fleet, &folder)).await;
    let socket = folder.join("guard.sock");
    ready(&socket).await;
    let client = GuardClient::new(&socket).expect("a client");
    let risk = service("risk");

    let foreign = client.kill(&service("audit")).await.expect_err("of another project");
    assert!(
        foreign.to_string().contains(fleet.project.as_str()),
        "it found its own project: {foreign}"
    );
    assert!(client.kill(&service("guard")).await.is_err(), "not itself");
    let before = client.inspect(&risk).await.expect("inspected");
    let networks = client.disconnect(&risk, None).await.expect("cut off");

    let kill = bollard::query_parameters::KillContainerOptionsBuilder::default()
        .signal("SIGKILL")
        .build();
    fleet
        .docker
        .kill_container(&id, Some(kill))
        .await
        .expect("the guard is killed");
    let gone = client.list().await.expect_err("nobody is there");
    assert!(matches!(gone, ContainerError::GuardUnreachable { .. }), "{gone}");
    let start = None::<bollard::query_parameters::StartContainerOptions>;
    fleet
        .docker
        .start_container(&id, start)
        .await
        .expect("the guard starts again");
    ready(&socket).await;
    assert_eq!(client.reconnect(&risk, None).await.expect("put back"), networks);
    let after = client.inspect(&risk).await.expect("inspected");
    assert_eq!(after.networks[0].aliases, before.networks[0].aliases);

    let log = fleet.direct().await.logs(&service("guard"), 0).await;
    let lines: Vec<String> = log.expect("its log").into_iter().map(|line| line.text).collect();
    let disconnect = lines
        .iter()
        .find(|line| line.contains("\"disconnect\""))
        .expect("every call is logged");
    assert!(
        disconnect.contains("uid:0") && disconnect.contains("OK") && disconnect.contains("risk"),
        "{disconnect}"
    );

    let Some(python) = python_with(
        "grpc, grpc_reflection, grpc_status",
        "pip install grpcio grpcio-reflection grpcio-status",
    )
    .await
    else {
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients/guard_client.py");
    let run = tokio::process::Command::new(python)
        .arg(script)
        .args([&format!("unix:{}", socket.display()), "risk"])
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LONG, run)
        .await
        .expect("it ends")
        .expect("python runs");
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(
        out.trim_end().ends_with("ok"),
        "{out}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(client.inspect(&risk).await.expect("inspected").was_sigkilled());
}

fn guard_command(folder: &Path, docker_socket: &Path) -> Command {
    let mut command = Command::new(THUNES);
    command
        .args(["guard", "--project", "p", "--socket"])
        .arg(folder.join("guard.sock"));
    command
        .arg("--docker-socket")
        .arg(docker_socket)
        .arg("--state-dir")
        .arg(folder.join("state"));
    command
}

#[test]
fn no_docker_and_no_permission_end_it_with_the_remedy_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().expect("folder");
    let output = guard_command(folder.path(), &folder.path().join("none"))
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("install Docker Engine"), "{said}");

    let socket = folder.path().join("docker.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o000)).expect("closed");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("open");
    let mut command = guard_command(folder.path(), &socket);
    if rustix::process::geteuid().is_root() {
        // Root may do everything, so it is tried as somebody else, with a binary that anybody can reach.
        let binary = folder.path().join("thunes");
        std::fs::copy(THUNES, &binary).expect("copied");
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        command = Command::new(&binary);
        command.args(arguments).uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("no permission on") && said.contains("usermod -aG docker"),
        "{said}"
    );
    assert!(!folder.path().join("guard.sock").exists() && !folder.path().join("state").exists());
}
