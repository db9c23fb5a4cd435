//! Nothing but labelled containers of the own project is touched.

use std::path::Path;
use std::time::Duration;

use thunes_supervisor::containers::{
    ContainerControl, ContainerError, DOCKER_SOCKET, Direct, Engine, PROJECT_LABEL, Project, Scope, ServiceName,
    container_id_in_mountinfo,
};
use thunes_testkit::docker::{Fleet, Spec, service};

use crate::{fleet, until_logged};

/// Every call that changes something, and those that look.
async fn refusals(direct: &Direct, name: &ServiceName, looking_too: bool) -> Vec<ContainerError> {
    let mut refused = vec![
        direct.kill(name).await.expect_err("kill"),
        direct.stop(name, Duration::from_secs(1)).await.expect_err("stop"),
        direct.start(name).await.expect_err("start"),
        direct.pause(name).await.expect_err("pause"),
        direct.unpause(name).await.expect_err("unpause"),
        direct.disconnect(name, None).await.expect_err("disconnect"),
        direct.reconnect(name, None).await.expect_err("reconnect"),
    ];
    if looking_too {
        refused.push(direct.inspect(name).await.expect_err("inspect"));
        refused.push(direct.logs(name, 0).await.expect_err("logs"));
    }
    refused
}

/// What the engine says of it, without us in between.
async fn raw(fleet: &Fleet, id: &str) -> String {
    let inspected = fleet
        .docker
        .inspect_container(id, None::<bollard::query_parameters::InspectContainerOptions>)
        .await;
    let inspected = inspected.expect("inspected");
    format!("{:?} {:?}", inspected.state, inspected.network_settings)
}

#[tokio::test]
async fn a_container_without_the_label_is_refused_by_every_call_and_untouched() {
    let fleet = fleet!();
    fleet.start(&Spec::new("risk", "tick")).await;
    let unlabelled = |service: &str, value: Option<&str>| Spec {
        drill_label: value.map(str::to_owned),
        ..Spec::new(service, "tick")
    };
    let direct = fleet.direct().await;
    for (name, value) in [("db", None), ("cache", Some("false")), ("proxy", Some(""))] {
        let id = fleet.start(&unlabelled(name, value)).await;
        let before = raw(&fleet, &id).await;
        for error in refusals(&direct, &service(name), true).await {
            assert!(matches!(error, ContainerError::NotLabelled { .. }), "{error}");
            assert!(error.to_string().contains("io.thunes.drill=true"), "{error}");
        }
        assert_eq!(raw(&fleet, &id).await, before);
    }
    let listed: Vec<_> = direct
        .list()
        .await
        .expect("listed")
        .into_iter()
        .map(|c| c.service)
        .collect();
    assert_eq!(listed, ["risk"]);
}

#[tokio::test]
async fn a_name_that_matches_none_is_an_error_that_lists_what_there_is() {
    let fleet = fleet!();
    let direct = fleet.direct().await;
    let nothing = direct.list().await.expect_err("an empty project");
    assert!(
        matches!(nothing, ContainerError::NotFound { service: None, .. }),
        "{nothing}"
    );

    let id = fleet.start(&Spec::new("risk", "tick")).await;
    fleet.start(&Spec::new("audit", "tick")).await;
    let before = raw(&fleet, &id).await;
    // Neither a container's id nor its name is a service's name.
    let name = direct.inspect(&service("risk")).await.expect("inspected").name;
    for wrong in [
        "rusk",
        "ris",
        "risk2",
        &id[..12],
        &id[..40],
        &name[..name.len().min(63)],
    ] {
        for error in refusals(&direct, &service(wrong), true).await {
            assert!(matches!(error, ContainerError::NotFound { .. }), "{error}");
            assert!(error.to_string().contains("audit, risk"), "{error}");
        }
    }
    assert_eq!(raw(&fleet, &id).await, before);
}

#[tokio::test]
async fn a_service_with_two_containers_is_refused_and_one_off_runs_do_not_count() {
    let fleet = fleet!();
    let first = fleet.start(&Spec::new("risk", "tick")).await;
    let direct = fleet.direct().await;
    let one_off = Spec {
        more_labels: vec![("com.docker.compose.oneoff".to_owned(), "True".to_owned())],
        ..Spec::new("risk", "tick")
    };
    let beside = fleet.start(&one_off).await;
    let seen = direct.inspect(&service("risk")).await.expect("one container");
    assert_eq!(seen.id, first);
    let second = fleet.start(&Spec::new("risk", "tick")).await;
    let before = [
        raw(&fleet, &first).await,
        raw(&fleet, &beside).await,
        raw(&fleet, &second).await,
    ];
    for error in refusals(&direct, &service("risk"), true).await {
        assert!(matches!(error, ContainerError::Ambiguous { count: 2, .. }), "{error}");
    }
    let after = [
        raw(&fleet, &first).await,
        raw(&fleet, &beside).await,
        raw(&fleet, &second).await,
    ];
    assert_eq!(after, before);
}

#[tokio::test]
async fn two_projects_side_by_side_are_kept_apart_by_their_names() {
    let fleet = fleet!();
    let other = Fleet::new().await.expect("there is Docker");
    let ours = fleet.start(&Spec::new("risk", "tick")).await;
    let theirs = other.start(&Spec::new("risk", "tick")).await;
    let only_theirs = other.start(&Spec::new("audit", "tick")).await;
    let before = [raw(&other, &theirs).await, raw(&other, &only_theirs).await];

    let direct = fleet.direct().await;
    assert_eq!(direct.kill(&service("risk")).await.expect("ours").id, ours);
    direct.start(&service("risk")).await.expect("started");
    direct.disconnect(&service("risk"), None).await.expect("cut off");
    direct.reconnect(&service("risk"), None).await.expect("put back");
    for error in refusals(&direct, &service("audit"), true).await {
        assert!(matches!(error, ContainerError::NotFound { .. }), "{error}");
    }
    assert_eq!([raw(&other, &theirs).await, raw(&other, &only_theirs).await], before);

    let engine = Engine::connect(Path::new(DOCKER_SOCKET)).await.expect("the engine");
    let projects = Scope::projects(&engine).await.expect("projects");
    for project in [&fleet.project, &other.project] {
        assert!(projects.contains(&project.to_string()), "{projects:?}");
    }
}

#[tokio::test]
async fn the_guard_and_the_orchestrator_can_be_looked_at_and_not_touched() {
    let fleet = fleet!();
    let direct = fleet.direct().await;
    for name in ["drill-orchestrator", "guard", "container-guard"] {
        let id = fleet.start(&Spec::new(name, "tick")).await;
        until_logged(&fleet, name, "it runs", |lines| !lines.is_empty()).await;
        let before = raw(&fleet, &id).await;
        for error in refusals(&direct, &service(name), false).await {
            assert!(matches!(error, ContainerError::Protected { .. }), "{error}");
        }
        assert_eq!(raw(&fleet, &id).await, before);
        assert_eq!(direct.inspect(&service(name)).await.expect("looked at").id, id);
    }
}

#[tokio::test]
async fn a_process_finds_its_own_container_by_what_the_engine_mounted() {
    let fleet = fleet!();
    let id = fleet.start(&Spec::new("risk", "show /proc/self/mountinfo")).await;
    let lines = until_logged(&fleet, "risk", "it showed its mounts", |lines| {
        lines.iter().any(|line| line.text == "out 1")
    })
    .await;
    let mountinfo: Vec<String> = lines.into_iter().map(|line| line.text).collect();
    assert_eq!(container_id_in_mountinfo(&mountinfo.join("\n")), Some(id));

    let engine = Engine::connect(Path::new(DOCKER_SOCKET)).await.expect("the engine");
    let outside = Scope::own_project(&engine).await;
    assert!(
        matches!(outside, Err(ContainerError::NoOwnProject)),
        "this test runs in no container: {outside:?}"
    );
}

#[tokio::test]
async fn a_projects_name_cannot_widen_what_is_found() {
    let fleet = fleet!();
    fleet.start(&Spec::new("risk", "tick")).await;
    for hostile in [
        "",
        "*",
        "a b",
        "a,b",
        "A",
        &format!("{}\",\"{PROJECT_LABEL}", fleet.project),
    ] {
        assert!(Project::parse(hostile).is_err(), "{hostile:?}");
    }
    let engine = Engine::connect(Path::new(DOCKER_SOCKET)).await.expect("the engine");
    let prefix = Project::parse(&fleet.project.as_str()[..20]).expect("a name");
    let direct = Direct::new(engine, Scope::new(prefix), fleet.state_dir());
    assert!(
        matches!(direct.list().await, Err(ContainerError::NotFound { .. })),
        "a part of a name is another name"
    );
}
