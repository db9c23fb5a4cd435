//! What a service in a container says when something is wrong around it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use thunes_testkit::until_ok;

use crate::docker::root;
use crate::environment::{Compose, Turn};

const SAID_WITHIN: Duration = Duration::from_secs(60);

/// Waits until the service has ended at least once with all of `parts` in its log.
async fn wait_says(compose: &Compose, service: &str, parts: &[&str]) {
    until_ok("the service says what is wrong", SAID_WITHIN, async || {
        let said = compose.run(&["logs", "--no-color", service]).await;
        match parts.iter().find(|part| !said.out.contains(**part)) {
            None => Ok(()),
            Some(part) => Err(format!("{part:?} is not in {}{}", said.out, said.err)),
        }
    })
    .await;
}

fn write(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("mode set");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_the_container_may_not_read_is_named_with_the_user_who_must() {
    let Some(turn) = Turn::wait().await else { return };
    let folder = tempfile::tempdir().expect("folder");
    for name in ["sim-api-key", "sim-api-secret", "telegram-token"] {
        let text = std::fs::read_to_string(root().join("deploy/compose/secrets").join(name)).expect("it is there");
        let mode = if name == "telegram-token" { 0o600 } else { 0o644 };
        write(&folder.path().join(name), &text, mode);
    }
    let compose = Compose::new(&turn).with("THUNES_SECRETS_DIR", &folder.path().display().to_string());
    compose.run(&["up", "-d", "risk"]).await.assert_exit(0);
    let parts = [
        "risk.telegram.token_file",
        "/run/secrets/telegram-token",
        "Permission denied",
        "uid 65532",
    ];
    wait_says(&compose, "risk", &parts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_volume_is_named_with_what_to_do() {
    let Some(turn) = Turn::wait().await else { return };
    let folder = tempfile::tempdir().expect("folder");
    let full = folder.path().join("full.yml");
    // Room for a few pages, not for a database.
    let options = "{ type: tmpfs, device: tmpfs, o: \"size=16k,uid=65532,gid=65532,mode=0755\" }";
    write(
        &full,
        &format!("volumes: {{ risk-data: {{ driver: local, driver_opts: {options} }} }}\n"),
        0o644,
    );
    let compose = Compose::new(&turn).with_file(full);
    compose.run(&["up", "-d", "risk"]).await.assert_exit(0);
    wait_says(&compose, "risk", &["/data/risk.db", "full"]).await;
}
