//! The guard over its Unix socket, with the real engine behind it. Skipped where there is none, unless `THUNES_REQUIRE`
//! names docker.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use thunes_container_guard::{GuardConfig, GuardError, serve};
use thunes_proto::guard::v1::container_guard_service_client::ContainerGuardServiceClient;
use thunes_proto::guard::v1::{
    DisconnectContainerRequest, InspectContainerRequest, KillContainerRequest, ListContainersRequest, ReadLogsRequest,
    ReconnectContainerRequest, StopContainerRequest,
};
use thunes_rpc::reason_of;
use thunes_supervisor::containers::{
    ContainerControl, ContainerError, DOCKER_SOCKET, GuardClient, NetworkName, Phase, Project,
};
use thunes_supervisor::{HealthProbe, check_health};
use thunes_testkit::docker::{Fleet, Spec, service};
use thunes_types::ReasonCode;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Code;

const LONG: Duration = Duration::from_secs(20);

struct Running {
    socket: PathBuf,
    served: JoinHandle<Result<(), GuardError>>,
    stop: DropGuard,
}

fn config(fleet: &Fleet) -> GuardConfig {
    GuardConfig {
        socket: fleet.folder().join("guard.sock"),
        docker_socket: DOCKER_SOCKET.into(),
        state_dir: fleet.state_dir(),
        project: Some(fleet.project.clone()),
    }
}

async fn guard(fleet: &Fleet) -> Running {
    let config = config(fleet);
    let socket = config.socket.clone();
    let stop = CancellationToken::new();
    let served = tokio::spawn(serve(config, stop.clone()));
    let begun = Instant::now();
    while let Err(why) = check_health(&HealthProbe::unix(&socket)).await {
        assert!(
            begun.elapsed() < LONG && !served.is_finished(),
            "the guard is not ready: {why}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Running {
        socket,
        served,
        stop: stop.drop_guard(),
    }
}

impl Running {
    fn client(&self) -> GuardClient {
        GuardClient::new(&self.socket).expect("a client")
    }

    /// Without what our own client checks before it asks.
    fn raw(&self) -> ContainerGuardServiceClient<thunes_rpc::Client> {
        ContainerGuardServiceClient::new(thunes_rpc::connect_unix(&self.socket).expect("a channel"))
    }

    async fn end(self) {
        drop(self.stop);
        tokio::time::timeout(LONG, self.served)
            .await
            .expect("it ends")
            .expect("no panic")
            .expect("in order");
    }
}

macro_rules! fleet {
    () => {
        match Fleet::new().await {
            Some(fleet) => fleet,
            None => return,
        }
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_does_through_the_guard_what_it_does_directly() {
    let fleet = fleet!();
    fleet.start(&Spec::new("risk", "tick")).await;
    fleet.start(&Spec::new("audit", "flood 3000")).await;
    let running = guard(&fleet).await;
    let (client, direct) = (running.client(), fleet.direct().await);
    let (risk, audit) = (service("risk"), service("audit"));

    assert_eq!(
        client.list().await.expect("listed"),
        direct.list().await.expect("listed")
    );
    let before = client.inspect(&risk).await.expect("inspected");
    assert_eq!(before, direct.inspect(&risk).await.expect("inspected"));
    assert_eq!(client.pause(&risk).await.expect("paused").phase, Phase::Paused);
    assert_eq!(direct.inspect(&risk).await.expect("inspected").phase, Phase::Paused);
    assert_eq!(client.unpause(&risk).await.expect("resumed").phase, Phase::Running);
    let network = NetworkName::parse(&fleet.network_name("default")).expect("a name");
    assert_eq!(
        client.disconnect(&risk, Some(&network)).await.expect("cut off"),
        [network.to_string()]
    );
    assert_eq!(direct.inspect(&risk).await.expect("inspected").networks, []);
    assert_eq!(
        client.reconnect(&risk, None).await.expect("put back"),
        [network.to_string()]
    );
    let aliases = |c: &thunes_supervisor::containers::Container| c.networks[0].aliases.clone();
    assert_eq!(
        aliases(&direct.inspect(&risk).await.expect("inspected")),
        aliases(&before)
    );
    let stopped = client.stop(&risk, LONG).await.expect("stopped");
    assert_eq!((stopped.phase, stopped.exit_code), (Phase::Exited, 7));
    let refused = client.kill(&risk).await.expect_err("it is down");
    assert_eq!(refused.reason(), ReasonCode::ContainerNotRunning);
    assert!(client.start(&risk).await.expect("started").is_running());
    let running_already = client.start(&risk).await.expect_err("it runs");
    assert_eq!(running_already.reason(), ReasonCode::ContainerRunning);
    assert!(client.kill(&risk).await.expect("killed").was_sigkilled());
    assert!(direct.inspect(&risk).await.expect("inspected").was_sigkilled());

    client.kill(&audit).await.expect("killed");
    let lines = client.logs(&audit, 0).await.expect("log");
    assert!(lines.len() > 2000);
    assert_eq!(lines, direct.logs(&audit, 0).await.expect("log"));
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_carry_a_stable_reason_and_touch_nothing() {
    let fleet = fleet!();
    let other = Fleet::new().await.expect("there is Docker");
    fleet.start(&Spec::new("risk", "tick")).await;
    fleet
        .start(&Spec {
            drill_label: None,
            ..Spec::new("db", "tick")
        })
        .await;
    fleet.start(&Spec::new("drill-orchestrator", "tick")).await;
    other.start(&Spec::new("audit", "tick")).await;
    let theirs = other
        .direct()
        .await
        .inspect(&service("audit"))
        .await
        .expect("inspected");
    let running = guard(&fleet).await;
    let mut raw = running.raw();
    for (name, code, reason) in [
        ("rusk", Code::NotFound, ReasonCode::ContainerNotFound),
        ("audit", Code::NotFound, ReasonCode::ContainerNotFound),
        ("db", Code::PermissionDenied, ReasonCode::ContainerNotLabelled),
        (
            "drill-orchestrator",
            Code::PermissionDenied,
            ReasonCode::ContainerProtected,
        ),
    ] {
        let request = KillContainerRequest {
            service: name.to_owned(),
        };
        let status = raw.kill_container(request).await.expect_err(name);
        assert_eq!(
            (status.code(), reason_of(&status)),
            (code, Some(reason)),
            "{name}: {status}"
        );
    }
    assert_eq!(
        other
            .direct()
            .await
            .inspect(&service("audit"))
            .await
            .expect("inspected"),
        theirs
    );
    let listed = raw
        .list_containers(ListContainersRequest {})
        .await
        .expect("listed")
        .into_inner();
    let names: Vec<_> = listed.containers.iter().map(|c| c.service.as_str()).collect();
    assert_eq!(names, ["drill-orchestrator", "risk"]);
    assert!(
        listed
            .containers
            .iter()
            .all(|c| c.phase() == thunes_proto::guard::v1::Phase::Running)
    );
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_input_is_refused_with_the_rule_and_harms_nothing() {
    let fleet = fleet!();
    fleet.start(&Spec::new("risk", "tick")).await;
    let before = fleet.direct().await.inspect(&service("risk")).await.expect("inspected");
    let running = guard(&fleet).await;
    let mut raw = running.raw();
    let long = "a".repeat(10_000);
    let hostile = [
        "",
        " ",
        "/",
        "risk/",
        "../risk",
        "risk/../../images",
        "risk?signal=TERM",
        "risk\0",
        "risk\n",
        "rísk",
        "💥",
        "*",
        "-risk",
        ".risk",
        "risk json",
        "%72isk",
        &long,
    ];
    for name in hostile {
        let service = name.to_owned();
        let answers = [
            raw.kill_container(KillContainerRequest {
                service: service.clone(),
            })
            .await
            .err(),
            raw.inspect_container(InspectContainerRequest {
                service: service.clone(),
            })
            .await
            .err(),
            raw.read_logs(ReadLogsRequest {
                service: service.clone(),
                since_ms: 0,
            })
            .await
            .err(),
            raw.stop_container(StopContainerRequest { service, within_ms: 1 })
                .await
                .err(),
        ];
        for status in answers {
            let status = status.expect("refused");
            assert_eq!(
                reason_of(&status),
                Some(ReasonCode::InvalidArgument),
                "{name:?}: {status}"
            );
            assert!(status.message().len() < 600, "a hostile value is not echoed whole");
        }
    }
    for within_ms in [i64::MIN, -1, 0, 60_001, i64::MAX] {
        let request = StopContainerRequest {
            service: "risk".into(),
            within_ms,
        };
        let status = raw.stop_container(request).await.expect_err("out of bounds");
        assert_eq!(reason_of(&status), Some(ReasonCode::InvalidArgument), "{within_ms}");
        assert!(status.message().contains("60000"), "{status}");
    }
    for network in ["../x", "a b", "*", &long] {
        let request = DisconnectContainerRequest {
            service: "risk".into(),
            network: network.into(),
        };
        let status = raw.disconnect_container(request).await.expect_err("no name");
        assert_eq!(reason_of(&status), Some(ReasonCode::InvalidArgument), "{network:?}");
        let request = ReconnectContainerRequest {
            service: "risk".into(),
            network: network.into(),
        };
        assert!(raw.reconnect_container(request).await.is_err());
    }
    let bridge = ReconnectContainerRequest {
        service: "risk".into(),
        network: "bridge".into(),
    };
    let status = raw.reconnect_container(bridge).await.expect_err("it was never on it");
    assert_eq!(reason_of(&status), Some(ReasonCode::NetworkNotFound));
    assert!(
        raw.read_logs(ReadLogsRequest {
            service: "risk".into(),
            since_ms: -1
        })
        .await
        .is_err()
    );
    let huge = KillContainerRequest {
        service: "a".repeat(1024 * 1024),
    };
    assert!(raw.kill_container(huge).await.is_err(), "a message beyond the bound");

    let after = fleet.direct().await.inspect(&service("risk")).await.expect("inspected");
    assert_eq!(after, before);
    check_health(&HealthProbe::unix(&running.socket))
        .await
        .expect("the guard is well");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_refused_beyond_the_bound_and_the_guard_serves_on() {
    let fleet = fleet!();
    fleet.start(&Spec::new("risk", "tick")).await;
    fleet.start(&Spec::new("audit", "deaf")).await;
    let deaf = service("audit");
    let running = guard(&fleet).await;
    let calls = (0..1000).map(|_| {
        let mut raw = running.raw();
        tokio::spawn(async move {
            raw.inspect_container(InspectContainerRequest { service: "risk".into() })
                .await
        })
    });
    let answers = futures_join(calls.collect()).await;
    let (mut done, mut overloaded) = (0, 0);
    for answer in answers {
        match answer {
            Ok(_) => done += 1,
            Err(status) if reason_of(&status) == Some(ReasonCode::Overloaded) => overloaded += 1,
            Err(status) => panic!("{status}"),
        }
    }
    assert_eq!(done + overloaded, 1000);
    assert!(done >= 64, "{done} were served");
    println!("{done} served, {overloaded} refused");
    let risk = service("risk");
    assert!(
        running
            .client()
            .kill(&risk)
            .await
            .expect("it serves on")
            .was_sigkilled()
    );

    // A call is carried out to its end, also when whoever made it goes away.
    running.client().start(&risk).await.expect("started");
    let impatient = running.client();
    let gone = tokio::time::timeout(
        Duration::from_millis(200),
        impatient.stop(&deaf, Duration::from_secs(2)),
    )
    .await;
    assert!(gone.is_err(), "it takes two seconds");
    drop(impatient);
    let begun = Instant::now();
    while running.client().inspect(&deaf).await.expect("inspected").is_running() {
        assert!(begun.elapsed() < LONG, "it was stopped all the same");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    running.end().await;
}

async fn futures_join<T: Send + 'static>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await.expect("no panic"));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_guard_on_the_same_socket_is_refused_and_a_stale_socket_is_replaced() {
    let fleet = fleet!();
    fleet.start(&Spec::new("risk", "tick")).await;
    drop(std::os::unix::net::UnixListener::bind(config(&fleet).socket).expect("a stale socket"));
    let running = guard(&fleet).await;
    let second = serve(config(&fleet), CancellationToken::new())
        .await
        .expect_err("somebody answers");
    assert!(second.to_string().contains("somebody answers"), "{second}");
    running.client().list().await.expect("the first one is unharmed");
    let socket = running.socket.clone();
    running.end().await;
    assert!(!socket.exists(), "nothing is left behind");
    let gone = GuardClient::new(&socket)
        .expect("a client")
        .list()
        .await
        .expect_err("nobody is there");
    assert!(matches!(gone, ContainerError::GuardUnreachable { .. }), "{gone}");
    assert!(
        gone.to_string().contains("docker-compose up -d container-guard"),
        "{gone}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_guard_puts_back_what_the_one_before_cut_off() {
    let fleet = fleet!();
    fleet.start(&Spec::new("risk", "tick")).await;
    let risk = service("risk");
    let first = guard(&fleet).await;
    let before = first.client().inspect(&risk).await.expect("inspected");
    let cut = first.client().disconnect(&risk, None).await.expect("cut off");
    first.served.abort();
    let _ = first.served.await;
    drop(first.stop);
    let second = guard(&fleet).await;
    assert_eq!(second.client().reconnect(&risk, None).await.expect("put back"), cut);
    let after = second.client().inspect(&risk).await.expect("inspected");
    assert_eq!(after.networks[0].aliases, before.networks[0].aliases);
    second.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_engine_or_a_project_it_does_not_start_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("folder");
    let config = |docker_socket: &Path, project: Option<&str>| GuardConfig {
        socket: folder.path().join("guard.sock"),
        docker_socket: docker_socket.to_owned(),
        state_dir: folder.path().join("state"),
        project: project.map(|name| Project::parse(name).expect("a name")),
    };
    let none = serve(config(&folder.path().join("none"), Some("p")), CancellationToken::new()).await;
    assert!(none.expect_err("no engine").to_string().contains("install Docker"));
    assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 0);
    if thunes_testkit::docker::docker().await.is_some() {
        let outside = serve(config(Path::new(DOCKER_SOCKET), None), CancellationToken::new()).await;
        let text = outside.expect_err("it runs in no container").to_string();
        assert!(text.contains("guard.project"), "{text}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 0);
    }
}
