//! Containers behind the interface that processes have.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use thunes_supervisor::containers::{ContainerControl, ContainerError, Environment};
use thunes_supervisor::embedded::Service;
use thunes_supervisor::{HealthProbe, SupervisorError, Targets};
use thunes_testkit::docker::{Fleet, Spec, service};

use crate::{LONG, fleet, until_logged};

async fn environment(fleet: &Fleet, probes: BTreeMap<Service, HealthProbe>) -> Result<Environment, SupervisorError> {
    Environment::connect(Arc::new(fleet.direct().await), probes).await
}

#[tokio::test]
async fn services_are_found_by_name_and_behave_as_processes_do() {
    let fleet = fleet!();
    for name in ["risk", "audit", "exchange-proxy", "drill-orchestrator"] {
        fleet.start(&Spec::new(name, "tick")).await;
    }
    let environment = environment(&fleet, BTreeMap::new()).await.expect("connected");
    let targets: &dyn Targets = &environment;
    assert_eq!(targets.kind(), "containers");
    assert_eq!(
        targets.services(),
        [Service::Audit, Service::Risk, Service::DrillOrchestrator],
        "the proxy is no service"
    );
    assert!(targets.is_running(Service::Risk).await.expect("asked"));
    assert_eq!(targets.exit(Service::Risk).await.expect("asked"), None);
    until_logged(&fleet, "risk", "it runs", |lines| lines.len() > 10).await;

    let mark = targets.log_mark(Service::Risk).await.expect("marked");
    targets.pause(Service::Risk).await.expect("paused");
    assert!(targets.is_paused(Service::Risk).await.expect("asked"));
    targets.resume(Service::Risk).await.expect("resumed");
    assert!(!targets.is_paused(Service::Risk).await.expect("asked"));
    let exit = targets.stop(Service::Risk, LONG).await.expect("stopped");
    assert_eq!((exit.code, exit.signal), (Some(7), None));
    let logged = targets.logs_since(Service::Risk, mark).await.expect("log");
    assert!(
        logged.contains("asked to end\n") && !logged.contains("out 1\n"),
        "{logged}"
    );

    let down = targets.kill(Service::Risk).await.expect_err("it is down");
    assert!(matches!(down, SupervisorError::NotRunning { .. }), "{down}");
    assert!(targets.kill(Service::Audit).await.expect("killed").is_sigkill());
    assert!(
        targets
            .exit(Service::Audit)
            .await
            .expect("asked")
            .is_some_and(|exit| exit.is_sigkill())
    );
    let orchestrator = targets
        .kill(Service::DrillOrchestrator)
        .await
        .expect_err("it runs the drill");
    assert!(
        matches!(
            orchestrator,
            SupervisorError::Container(ContainerError::Protected { .. })
        ),
        "{orchestrator}"
    );
    let absent = targets.kill(Service::Position).await.expect_err("there is none");
    assert!(matches!(absent, SupervisorError::NoSuchService { .. }), "{absent}");

    let cut = targets.disconnect(Service::DrillOrchestrator).await;
    assert!(cut.is_err());
    targets
        .start(Service::Risk)
        .await
        .expect_err("nothing says when it is ready");
    assert!(
        !targets.is_running(Service::Risk).await.expect("asked"),
        "it was not started blindly"
    );
}

#[tokio::test]
async fn a_start_lasts_until_the_service_answers_at_its_address() {
    let fleet = fleet!();
    let ready_after = Duration::from_millis(700);
    let risk = Spec {
        publish: Some(80),
        ..Spec::new("risk", &format!("serve 80 {}", ready_after.as_millis()))
    };
    let direct = fleet.direct().await;
    // The engine chooses another port at each start, so the address is one that the host reaches without it.
    fleet.start(&risk).await;
    let address =
        |container: thunes_supervisor::containers::Container| format!("{}:80", container.networks[0].ip_address);
    let at = address(direct.inspect(&service("risk")).await.expect("inspected"));
    let probes = BTreeMap::from([(Service::Risk, HealthProbe::http(at, "/"))]);
    let environment = environment(&fleet, probes).await.expect("connected");
    environment.kill(Service::Risk).await.expect("killed");
    let took = environment.start(Service::Risk).await.expect("ready");
    assert!(took >= ready_after, "{took:?}");
    assert!(took < LONG, "{took:?}");
    assert_eq!(
        environment.disconnect(Service::Risk).await.expect("cut off"),
        [fleet.network_name("default")]
    );
    assert_eq!(
        environment.reconnect(Service::Risk).await.expect("put back"),
        [fleet.network_name("default")]
    );
}

#[tokio::test]
async fn without_an_address_the_containers_own_healthcheck_says_when_it_is_ready() {
    let fleet = fleet!();
    let risk = Spec {
        healthcheck: true,
        ..Spec::new("risk", "tick")
    };
    fleet.create(&risk).await;
    let environment = environment(&fleet, BTreeMap::new()).await.expect("connected");
    let took = environment.start(Service::Risk).await.expect("healthy");
    assert!(
        took >= Duration::from_millis(100),
        "the engine has to ask first: {took:?}"
    );
}

#[tokio::test]
async fn a_service_that_ends_before_it_is_ready_shows_the_end_of_its_log() {
    let fleet = fleet!();
    fleet.create(&Spec::new("risk", "fail")).await;
    let probes = BTreeMap::from([(Service::Risk, HealthProbe::grpc("127.0.0.1:1"))]);
    let environment = environment(&fleet, probes).await.expect("connected");
    let error = environment.start(Service::Risk).await.expect_err("it ends");
    let SupervisorError::Container(ContainerError::ExitedEarly { exit_code, tail, .. }) = &error else {
        panic!("{error}")
    };
    assert_eq!(*exit_code, 3);
    assert!(tail.contains("the disk is full"), "{tail}");
}

#[tokio::test]
async fn an_environment_without_a_known_service_is_an_error() {
    let fleet = fleet!();
    let empty = environment(&fleet, BTreeMap::new()).await.expect_err("nothing runs");
    assert!(
        matches!(empty, SupervisorError::Container(ContainerError::NotFound { .. })),
        "{empty}"
    );
    fleet.start(&Spec::new("postgres", "tick")).await;
    let strange = environment(&fleet, BTreeMap::new())
        .await
        .expect_err("no service of ours");
    assert!(strange.to_string().contains("postgres"), "{strange}");
    assert_eq!(fleet.direct().await.list().await.expect("listed").len(), 1);
}
