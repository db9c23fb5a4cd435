//! `thunes up`: everything on this machine, and nothing left of it whatever ends it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use thunes_supervisor::embedded::Endpoints;
use thunes_supervisor::{ProcessState, process_state};
use thunes_testkit::{Said, thunes, until, until_ok};

use crate::THUNES;

const LONG: Duration = Duration::from_secs(20);

/// `thunes up` as a child of this test.
struct Up {
    child: Child,
    folder: TempDir,
}

impl Up {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let mut command = Command::new(THUNES);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("THUNES_")) {
            command.env_remove(name);
        }
        let log = std::fs::File::create(folder.path().join("up.log")).expect("created");
        let child = command
            .args(["up", "--free-ports", "--data-dir", "data"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("cloned"))
            .stderr(log)
            .spawn()
            .expect("started");
        let up = Self { child, folder };
        until_ok("everything is up", LONG, async || {
            let endpoints = up.endpoints().map_err(|e| format!("{e}: {}", up.log()))?;
            let all = endpoints.services.values().all(|service| service.pid.is_some());
            if all && up.log().contains("Ctrl-C stops everything") {
                Ok(())
            } else {
                Err(up.log())
            }
        })
        .await;
        up
    }

    fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("up.log")).unwrap_or_default()
    }

    fn endpoints(&self) -> std::io::Result<Endpoints> {
        Endpoints::load(&self.data_dir())
    }

    fn pids(&self) -> Vec<u32> {
        self.endpoints()
            .expect("it runs")
            .services
            .values()
            .filter_map(|service| service.pid)
            .collect()
    }

    async fn run(&self, args: &[&str]) -> Said {
        let mut all = vec!["--data-dir", "data"];
        all.extend(args);
        thunes(Path::new(THUNES), self.folder.path(), &all).await
    }

    fn signal(&self, name: &str, pid: u32) {
        let sent = Command::new("kill")
            .args([name, &pid.to_string()])
            .status()
            .expect("kill");
        assert!(sent.success());
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn until_gone(pids: &[u32]) {
    until("no process is left", LONG, async || {
        // Nobody may be there to reap it in a container without an init: a zombie has ended, too.
        pids.iter()
            .all(|pid| matches!(process_state(*pid), ProcessState::Gone | ProcessState::Zombie))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_restarts_what_crashes_and_sigkill_of_it_leaves_no_process() {
    let mut up = Up::start().await;
    let pids = up.pids();
    assert_eq!(pids.len(), 7, "seven services: {}", up.log());
    for pid in &pids {
        assert_eq!(process_state(*pid), ProcessState::Alive);
    }
    // The default limits and walking prices: what a newcomer types works.
    until_ok("the first trade passes", LONG, async || {
        let said = up
            .run(&["trade", "--symbol", "BTCUSDT", "--side", "BUY", "--amount", "100"])
            .await;
        if said.exit == Some(0) {
            Ok(())
        } else {
            Err(format!("{said:?}"))
        }
    })
    .await;
    up.run(&["kill-switch", "activate", "--reason", "before the crash"])
        .await
        .assert_exit(0);
    let risk = up.endpoints().expect("it runs").services["risk"]
        .pid
        .expect("risk runs");
    up.signal("-KILL", risk);
    until_ok("risk is back, and remembers", LONG, async || {
        let now = up.endpoints().map_err(|e| e.to_string())?.services["risk"].pid;
        let said = up.run(&["kill-switch", "status"]).await;
        let back = now.is_some_and(|pid| pid != risk) && said.exit == Some(0);
        if !back {
            return Err(format!("{now:?} {said:?}"));
        }
        said.assert_says("Kill-switch active: True");
        Ok(())
    })
    .await;
    let second = up.run(&["up", "--free-ports"]).await;
    assert_eq!(second.exit, Some(1), "two environments in one folder: {second:?}");
    second.assert_says("data");
    up.run(&["kill-switch", "status"]).await.assert_exit(0);

    let pids = up.pids();
    up.signal("-STOP", pids[0]);
    up.child.kill().expect("killed");
    up.child.wait().expect("reaped");
    until_gone(&pids).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_ends_in_order_at_sigterm_and_the_state_is_there_at_the_next_start() {
    let mut up = Up::start().await;
    up.run(&["kill-switch", "activate", "--reason", "for the night"])
        .await
        .assert_exit(0);
    let pids = up.pids();
    up.signal("-TERM", up.child.id());
    until("it has ended", LONG, async || {
        up.child.try_wait().expect("waited").is_some()
    })
    .await;
    assert_eq!(up.child.wait().expect("reaped").code(), Some(0), "{}", up.log());
    until_gone(&pids).await;
    assert!(up.log().contains("All services have ended"), "{}", up.log());
    up.run(&["kill-switch", "status"])
        .await
        .assert_exit(1)
        .assert_says("no environment runs");
    up.run(&["audit", "verify"]).await.assert_exit(0);
}
