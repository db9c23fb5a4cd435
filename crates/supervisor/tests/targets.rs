//! Targets against real processes.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use thunes_supervisor::{
    HealthProbe, ProcessSpec, ProcessState, SupervisorError, Target, check_health, process_state, wait_healthy,
};

const LONG: Duration = Duration::from_secs(20);

fn shell(folder: &Path, name: &str, script: &str) -> Target {
    Target::new(ProcessSpec::new(name, "/bin/sh", folder).args(["-c", script]))
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LONG, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn started(folder: &Path, name: &str, script: &str) -> (Target, u32) {
    let target = shell(
        folder,
        name,
        &format!("{script}; echo ready; while :; do sleep 0.01; done"),
    );
    let pid = target.start().await.expect("started");
    until("the shell is ready", || target.log_tail().contains("ready")).await;
    (target, pid)
}

#[tokio::test]
async fn a_kill_is_confirmed_by_the_wait_status() {
    let folder = tempfile::tempdir().expect("folder");
    let (target, pid) = started(folder.path(), "deaf", "trap '' TERM INT HUP").await;
    let pid_file = folder.path().join("run/deaf.pid");
    assert_eq!(
        std::fs::read_to_string(&pid_file).expect("pid file").trim(),
        pid.to_string()
    );

    let exit = target.kill().await.expect("killed");
    assert!(exit.is_sigkill(), "{exit}");
    assert_eq!(process_state(pid), ProcessState::Gone, "it was reaped");
    assert!(!target.is_running() && target.pid().is_none());
    assert!(!pid_file.exists(), "the pid file goes with the process");
    assert!(matches!(target.kill().await, Err(SupervisorError::NotRunning { .. })));

    let again = target.start().await.expect("started again");
    assert_ne!(again, pid);
    assert_eq!(target.exit(), None, "the new run has not ended");
}

#[tokio::test]
async fn a_second_start_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let (target, pid) = started(folder.path(), "one", ":").await;
    let refused = target.start().await.expect_err("it runs");
    assert!(
        matches!(refused, SupervisorError::AlreadyRunning { pid: known, .. } if known == pid),
        "{refused}"
    );
}

#[tokio::test]
async fn stop_asks_first_and_kills_after_the_bound() {
    let folder = tempfile::tempdir().expect("folder");
    let (polite, _) = started(folder.path(), "polite", "trap 'exit 7' TERM").await;
    let exit = polite.stop(LONG).await.expect("stopped");
    assert_eq!(exit.code, Some(7), "its own way out was used");

    let (deaf, _) = started(folder.path(), "deaf", "trap '' TERM").await;
    let exit = deaf.stop(Duration::from_millis(50)).await.expect("stopped");
    assert!(exit.is_sigkill(), "{exit}");
}

#[tokio::test]
async fn a_paused_process_can_be_stopped_and_killed() {
    let folder = tempfile::tempdir().expect("folder");
    let (target, _) = started(folder.path(), "paused", "trap 'exit 7' TERM").await;
    target.pause().await.expect("paused");
    assert_eq!(target.stop(LONG).await.expect("stopped").code, Some(7));

    let (target, _) = started(folder.path(), "paused-too", ":").await;
    target.pause().await.expect("paused");
    assert!(target.kill().await.expect("killed").is_sigkill());
}

#[tokio::test]
async fn a_pause_is_confirmed_by_proc_and_nothing_runs_meanwhile() {
    let folder = tempfile::tempdir().expect("folder");
    let counter = folder.path().join("counter");
    let script = format!(
        "n=0; echo ready; while :; do n=$((n+1)); echo $n > {}; done",
        counter.display()
    );
    let target = shell(folder.path(), "counting", &script);
    let pid = target.start().await.expect("started");
    let count = || std::fs::read_to_string(&counter).unwrap_or_default();
    until("it counts", || !count().is_empty()).await;

    target.pause().await.expect("paused");
    assert_eq!(process_state(pid), ProcessState::Stopped);
    let before = count();
    // Only time can show that something does not happen; a running loop writes hundreds of numbers meanwhile.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(count(), before, "a paused process writes nothing");

    target.resume().await.expect("resumed");
    assert_ne!(process_state(pid), ProcessState::Stopped);
    until("it counts again", || count() != before && !count().is_empty()).await;
}

#[tokio::test]
async fn an_early_exit_is_reported_with_the_end_of_this_runs_log() {
    let folder = tempfile::tempdir().expect("folder");
    let target = shell(folder.path(), "broken", "echo the disk is full >&2; exit 3");
    std::fs::create_dir_all(folder.path().join("logs")).expect("folder");
    std::fs::write(folder.path().join("logs/broken.log"), "an earlier run\n").expect("log");
    target.start().await.expect("started");
    let free = TcpListener::bind("127.0.0.1:0")
        .expect("bound")
        .local_addr()
        .expect("address");
    let error = wait_healthy(&target, &HealthProbe::grpc(free), LONG)
        .await
        .expect_err("it exits");
    let text = error.to_string();
    assert!(
        matches!(error, SupervisorError::ExitedEarly { exit, .. } if exit.code == Some(3)),
        "{text}"
    );
    assert!(
        text.contains("the disk is full") && text.contains("exit code 3"),
        "{text}"
    );
    assert!(!text.contains("an earlier run"), "{text}");
}

#[tokio::test]
async fn a_process_that_is_never_ready_is_reported_with_what_it_answered() {
    let folder = tempfile::tempdir().expect("folder");
    let (target, _) = started(folder.path(), "slow", ":").await;
    let silent = TcpListener::bind("127.0.0.1:0").expect("bound");
    let probe = HealthProbe::http(silent.local_addr().expect("address"), "/admin/health");
    let error = wait_healthy(&target, &probe, Duration::from_millis(50))
        .await
        .expect_err("nobody answers");
    assert!(matches!(error, SupervisorError::NotHealthy { .. }), "{error}");
    assert!(target.is_running(), "whether to end it is the caller's decision");
}

#[tokio::test]
async fn http_health_is_ok_only_with_200() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let probe = HealthProbe::http(listener.local_addr().expect("address"), "/admin/health");
    tokio::spawn(async move {
        for status in ["503 Service Unavailable", "200 OK"] {
            let (mut stream, _) = listener.accept().await.expect("connection");
            let mut request = [0; 512];
            let _ = stream.read(&mut request).await.expect("request");
            stream
                .write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes())
                .await
                .expect("answer");
        }
    });
    let refused = check_health(&probe).await.expect_err("503 is not ready");
    assert!(refused.contains("503"), "{refused}");
    check_health(&probe).await.expect("200 is ready");
}

#[tokio::test]
async fn what_cannot_be_started_names_the_program_or_the_path() {
    let folder = tempfile::tempdir().expect("folder");
    let target = Target::new(ProcessSpec::new("missing", "/no/such/program", folder.path()));
    let error = target.start().await.expect_err("no program").to_string();
    assert!(
        error.contains("missing") && error.contains("/no/such/program"),
        "{error}"
    );

    std::fs::write(folder.path().join("file"), "").expect("file");
    let target = Target::new(ProcessSpec::new("nowhere", "/bin/sh", &folder.path().join("file")));
    let error = target.start().await.expect_err("no folder").to_string();
    assert!(error.contains("file/logs/nowhere.log"), "{error}");
}

#[tokio::test]
async fn dropping_a_target_kills_its_process() {
    let folder = tempfile::tempdir().expect("folder");
    let (target, pid) = started(folder.path(), "dropped", "trap '' TERM").await;
    drop(target);
    until("it is gone", || process_state(pid) == ProcessState::Gone).await;
}
