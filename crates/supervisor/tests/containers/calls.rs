//! Each call is confirmed by the engine.

use std::time::Duration;

use thunes_supervisor::containers::{ContainerControl, ContainerError, Phase};
use thunes_testkit::docker::{Spec, service};

use crate::{LONG, fleet, until_last_line, until_logged};

#[tokio::test]
async fn a_kill_is_confirmed_by_exit_code_137_and_a_start_by_a_new_run() {
    let fleet = fleet!();
    fleet.start(&Spec::new("risk", "deaf")).await;
    fleet.start(&Spec::new("audit", "tick")).await;
    let (direct, risk) = (fleet.direct().await, service("risk"));
    let before = direct.inspect(&risk).await.expect("inspected");
    assert_eq!(before.phase, Phase::Running);
    assert_eq!(before.exit(), None);

    let refused = direct.start(&risk).await.expect_err("it runs");
    assert!(matches!(refused, ContainerError::Running { .. }), "{refused}");
    let killed = direct.kill(&risk).await.expect("killed");
    assert_eq!(
        (killed.phase, killed.exit_code, killed.oom_killed),
        (Phase::Exited, 137, false)
    );
    assert!(killed.exit().is_some_and(|exit| exit.is_sigkill()));
    assert_eq!(
        direct.inspect(&risk).await.expect("inspected"),
        killed,
        "the answer is what the engine says"
    );
    let again = direct.kill(&risk).await.expect_err("it is down");
    assert!(
        matches!(&again, ContainerError::NotRunning { state, .. } if state.contains("137")),
        "{again}"
    );
    assert!(matches!(
        direct.pause(&risk).await,
        Err(ContainerError::NotRunning { .. })
    ));
    assert!(matches!(
        direct.unpause(&risk).await,
        Err(ContainerError::NotRunning { .. })
    ));
    assert!(matches!(
        direct.stop(&risk, LONG).await,
        Err(ContainerError::NotRunning { .. })
    ));

    let started = direct.start(&risk).await.expect("started");
    assert_eq!(started.phase, Phase::Running);
    assert_ne!(started.started_at, before.started_at, "a new run of the same container");
    assert_eq!(started.id, before.id);
    assert!(direct.inspect(&service("audit")).await.expect("inspected").is_running());
}

#[tokio::test]
async fn stop_asks_first_and_kills_after_the_bound() {
    let fleet = fleet!();
    fleet.start(&Spec::new("risk", "tick")).await;
    fleet.start(&Spec::new("audit", "deaf")).await;
    let direct = fleet.direct().await;
    for name in ["risk", "audit"] {
        until_logged(&fleet, name, "it runs", |lines| !lines.is_empty()).await;
    }
    let polite = direct.stop(&service("risk"), LONG).await.expect("stopped");
    assert_eq!(
        (polite.phase, polite.exit_code),
        (Phase::Exited, 7),
        "its own way out was used"
    );
    until_last_line(&fleet, "risk", "asked to end").await;
    let deaf = direct
        .stop(&service("audit"), Duration::from_millis(900))
        .await
        .expect("stopped");
    assert!(deaf.was_sigkilled(), "{}", deaf.summary());
}

#[tokio::test]
async fn a_paused_container_writes_nothing_goes_on_when_resumed_and_can_be_killed_and_stopped() {
    let fleet = fleet!();
    fleet.start(&Spec::new("risk", "tick")).await;
    let (direct, risk) = (fleet.direct().await, service("risk"));
    until_logged(&fleet, "risk", "it runs", |lines| lines.len() > 4).await;

    let paused = direct.pause(&risk).await.expect("paused");
    assert_eq!(
        (paused.phase, paused.is_running(), paused.exit()),
        (Phase::Paused, true, None)
    );
    assert_eq!(direct.pause(&risk).await.expect("paused already").phase, Phase::Paused);
    // What was in the pipe when it stopped is read by now; it would write a hundred lines in this time.
    let quiet = || async {
        let before = direct.logs(&risk, 0).await.expect("log").len();
        tokio::time::sleep(Duration::from_millis(500)).await;
        direct.logs(&risk, 0).await.expect("log").len() - before
    };
    let drained = quiet().await;
    assert_eq!(
        quiet().await,
        0,
        "nothing is written while it is paused ({drained} lines came late)"
    );
    assert!(matches!(direct.start(&risk).await, Err(ContainerError::Running { .. })));

    assert_eq!(direct.unpause(&risk).await.expect("resumed").phase, Phase::Running);
    assert_eq!(
        direct.unpause(&risk).await.expect("resumed already").phase,
        Phase::Running
    );
    let seen = direct.logs(&risk, 0).await.expect("log").len();
    until_logged(&fleet, "risk", "it goes on", |lines| lines.len() > seen + 4).await;

    direct.pause(&risk).await.expect("paused");
    assert!(direct.kill(&risk).await.expect("killed while paused").was_sigkilled());
    direct.start(&risk).await.expect("started");
    direct.pause(&risk).await.expect("paused");
    let stopped = direct.stop(&risk, LONG).await.expect("stopped while paused");
    assert_eq!(stopped.exit_code, 7, "it was resumed and heard the signal");
}

#[tokio::test]
async fn a_container_that_ends_at_its_start_is_an_error_with_the_end_of_its_log() {
    let fleet = fleet!();
    fleet.create(&Spec::new("risk", "fail")).await;
    let (direct, risk) = (fleet.direct().await, service("risk"));
    let created = direct.inspect(&risk).await.expect("inspected");
    assert_eq!((created.phase, created.exit()), (Phase::Created, None));
    // The engine may show it as running for a moment; then it is caught in its readiness.
    match direct.start(&risk).await {
        Ok(seen) => assert!(seen.is_running()),
        Err(ContainerError::ExitedEarly { exit_code, tail, .. }) => {
            assert_eq!(exit_code, 3);
            assert!(tail.contains("the disk is full"), "{tail}");
        }
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn calls_on_one_container_take_turns() {
    let fleet = fleet!();
    fleet.start(&Spec::new("risk", "deaf")).await;
    let (direct, risk) = (fleet.direct().await, service("risk"));
    let kills = futures_util::future::join_all((0..8).map(|_| direct.kill(&risk))).await;
    let (done, refused): (Vec<_>, Vec<_>) = kills.into_iter().partition(Result::is_ok);
    assert_eq!(
        (done.len(), refused.len()),
        (1, 7),
        "one killed it, the others found it down"
    );
    for error in refused {
        assert!(matches!(error, Err(ContainerError::NotRunning { .. })), "{error:?}");
    }
    let (killed, started) = tokio::join!(direct.kill(&risk), direct.start(&risk));
    assert!(matches!(killed, Err(ContainerError::NotRunning { .. })) || started.is_ok());
}
