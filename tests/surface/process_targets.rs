//! The services of an environment of processes, behind the interface that containers have too.

use std::time::Duration;

use thunes_supervisor::embedded::Service;
use thunes_supervisor::{SupervisorError, Targets};
use thunes_testkit::{Cluster, Seed};

use crate::THUNES;

const LONG: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_are_killed_stopped_paused_started_and_read_through_the_common_interface() {
    let seed = Seed::of("processes_are_killed_stopped_paused_started_and_read_through_the_common_interface");
    let cluster = Cluster::start(THUNES, seed.number).await;
    let targets: &dyn Targets = &cluster.env;
    let audit = Service::Audit;
    assert_eq!(targets.kind(), "processes");
    assert!(targets.services().contains(&audit) && targets.is_running(audit).await.expect("asked"));
    assert_eq!(targets.exit(audit).await.expect("asked"), None);

    targets.pause(audit).await.expect("paused");
    assert!(targets.is_paused(audit).await.expect("asked"));
    targets.resume(audit).await.expect("resumed");
    assert!(!targets.is_paused(audit).await.expect("asked"));

    assert!(targets.kill(audit).await.expect("killed").is_sigkill());
    assert!(
        targets
            .exit(audit)
            .await
            .expect("asked")
            .is_some_and(|exit| exit.is_sigkill())
    );
    assert!(
        !targets.is_paused(audit).await.expect("asked"),
        "what is down is not paused"
    );
    let down = targets.kill(audit).await.expect_err("it is down");
    assert!(matches!(down, SupervisorError::NotRunning { .. }), "{down}");

    let mark = targets.log_mark(audit).await.expect("marked");
    assert_eq!(targets.logs_since(audit, mark).await.expect("read"), "");
    assert!(targets.start(audit).await.expect("ready") < LONG);
    let logged = targets.logs_since(audit, mark).await.expect("read");
    assert!(logged.contains("serving") && logged.ends_with('\n'), "{logged}");
    assert!(targets.stop(audit, LONG).await.expect("stopped").is_success());

    let cut = targets.disconnect(audit).await.expect_err("processes have no networks");
    assert!(
        matches!(cut, SupervisorError::Unsupported { .. }) && cut.to_string().contains("fault proxy"),
        "{cut}"
    );
    assert_eq!(
        targets.reconnect(audit).await.expect("nothing to do"),
        Vec::<String>::new()
    );
    let absent = targets
        .is_running(Service::DrillOrchestrator)
        .await
        .expect_err("not in this cluster");
    assert!(matches!(absent, SupervisorError::NoSuchService { .. }), "{absent}");
}
