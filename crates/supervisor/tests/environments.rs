//! Whole environments. The "services" are this test program, run again behind a script: they listen and answer health
//! as the real ones do, and say in a file what settings they got.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use thunes_supervisor::embedded::{
    Endpoints, Environment, Exchange, Link, Plan, PortChoice, Ports, Progress, RestartEvent, RestartPolicy, Service,
    Telegram,
};
use thunes_supervisor::{ProcessState, SupervisorError, Target, die_with_parent, process_state};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

const LONG: Duration = Duration::from_secs(30);

/// A script that stands for the `thunes` binary. Written once, before anything forks: a program that is open for
/// writing in any process cannot be run.
fn program() -> PathBuf {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("folder");
        let this = std::env::current_exe().expect("this program");
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = serve ] || {{ echo \"$@\"; env | grep THUNES; exit 0; }}\n\
             ROLE_SERVICE=$2 exec {} --exact role --ignored --nocapture\n",
            this.display()
        );
        let path = folder.path().join("thunes");
        std::fs::write(&path, script).expect("script");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
        folder
    });
    folder.path().join("thunes")
}

/// Not a test: what this program does when it runs as a service.
#[test]
#[ignore = "a role that the other tests start"]
fn role() {
    let Some(service) = std::env::var("ROLE_SERVICE")
        .ok()
        .and_then(|name| Service::parse(&name))
    else {
        return;
    };
    die_with_parent().expect("bound to the supervisor");
    let setting = |key: &str| {
        let name = format!("THUNES_{}_{}", service.section(), key).to_uppercase();
        std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set"))
    };
    let settings: BTreeMap<String, String> = std::env::vars()
        .filter(|(name, _)| name.starts_with("THUNES_"))
        .collect();
    let file = PathBuf::from(setting("data_dir")).join(format!("{service}.settings"));
    std::fs::write(file, serde_json::to_vec(&settings).expect("JSON")).expect("written");
    if std::env::var("THUNES_FAILPOINTS").is_ok_and(|text| text == "start=exit") {
        eprintln!("the journal is corrupt");
        std::process::exit(9);
    }
    let listen = setting("listen");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        match service {
            Service::ExchangeSim => answer_http(&setting("admin_listen")).await,
            Service::TelegramStandin | Service::FaultProxy => answer_http(&listen).await,
            Service::Audit
            | Service::Position
            | Service::Risk
            | Service::ExchangeGateway
            | Service::DrillOrchestrator => {
                let (_reporter, health) = tonic_health::server::health_reporter();
                let address = listen.parse().expect("an address");
                tonic::transport::Server::builder()
                    .add_service(health)
                    .serve(address)
                    .await
                    .expect("served");
            }
        }
    });
}

async fn answer_http(listen: &str) {
    let listener = tokio::net::TcpListener::bind(listen).await.expect("bound");
    loop {
        let (mut stream, _) = listener.accept().await.expect("connection");
        let mut request = [0; 512];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    }
}

fn settings_of(data_dir: &Path, service: Service) -> BTreeMap<String, String> {
    let text = std::fs::read(data_dir.join(format!("{service}.settings"))).expect("settings");
    serde_json::from_slice(&text).expect("JSON")
}

fn without_proxy() -> Vec<Service> {
    let all = Service::ALL.into_iter();
    all.filter(|service| *service != Service::FaultProxy).collect()
}

#[tokio::test]
async fn an_environment_starts_in_order_with_every_peer_wired() {
    let folder = tempfile::tempdir().expect("folder");
    let plan = Plan {
        drill_orchestrator: true,
        ..Plan::isolated(program(), folder.path(), 77)
    }
    .setting(Service::Risk, "risk.limits.order_notional_max", "500")
    .setting(Service::Audit, "audit.listen_backlog", "9");
    let mut steps = Vec::new();
    let environment = Environment::start_with(plan, &mut |step| steps.push(step))
        .await
        .expect("started");
    let ready: Vec<_> = steps
        .iter()
        .filter_map(|step| match step {
            Progress::Starting { .. } => None,
            Progress::Ready { service, .. } => Some(*service),
        })
        .collect();
    assert_eq!(ready, without_proxy());

    let at = |service| environment.url(service);
    let risk = settings_of(folder.path(), Service::Risk);
    assert_eq!(risk["THUNES_RISK_POSITION_URL"], at(Service::Position));
    assert_eq!(risk["THUNES_RISK_AUDIT_URL"], at(Service::Audit));
    assert_eq!(risk["THUNES_RISK_TELEGRAM_BASE_URL"], at(Service::TelegramStandin));
    assert_eq!(risk["THUNES_RISK_TELEGRAM_RECEIVER"], "standin");
    assert_eq!(risk["THUNES_RISK_LIMITS_ORDER_NOTIONAL_MAX"], "500");
    let gateway = settings_of(folder.path(), Service::ExchangeGateway);
    assert_eq!(gateway["THUNES_GATEWAY_EXCHANGE_BASE_URL"], at(Service::ExchangeSim));
    assert_eq!(gateway["THUNES_GATEWAY_RISK_URL"], at(Service::Risk));
    let sim = settings_of(folder.path(), Service::ExchangeSim);
    assert_eq!(sim["THUNES_SIM_SEED"], "77");
    assert_eq!(
        sim["THUNES_SIM_API_SECRET"],
        gateway["THUNES_GATEWAY_EXCHANGE_API_SECRET"]
    );
    let drill = settings_of(folder.path(), Service::DrillOrchestrator);
    assert_eq!(drill["THUNES_DRILL_SIM_ADMIN_URL"], environment.admin_url());

    let endpoints = Endpoints::load(folder.path()).expect("endpoints");
    assert_eq!(endpoints, environment.endpoints());
    assert!(endpoints.owner_is_alive());
    let pid = environment.target(Service::Risk).expect("risk").pid();
    assert!(pid.is_some() && endpoints.services["risk"].pid == pid);

    let ended = environment.stop_all().await;
    assert_eq!(ended.len(), without_proxy().len());
    assert_eq!(
        ended[0].0,
        Service::DrillOrchestrator,
        "the last to start is the first to stop"
    );
    assert!(Endpoints::load(folder.path()).is_err(), "nothing runs here any more");
}

#[tokio::test]
async fn with_a_fault_proxy_the_services_reach_each_other_through_it_and_everybody_else_directly() {
    let folder = tempfile::tempdir().expect("folder");
    let plan = Plan {
        drill_orchestrator: true,
        ..Plan::isolated(program(), folder.path(), 1)
    };
    let environment = Environment::start(plan.with_fault_proxy()).await.expect("started");
    assert_eq!(environment.services(), Service::ALL);
    let through = |link| format!("http://127.0.0.1:{}", environment.ports().of_link(link));
    let risk = settings_of(folder.path(), Service::Risk);
    let gateway = settings_of(folder.path(), Service::ExchangeGateway);
    let position = settings_of(folder.path(), Service::Position);
    for (settings, key, link) in [
        (&gateway, "GATEWAY_RISK_URL", Link::GatewayRisk),
        (&gateway, "GATEWAY_POSITION_URL", Link::GatewayPosition),
        (&gateway, "GATEWAY_AUDIT_URL", Link::GatewayAudit),
        (&gateway, "GATEWAY_EXCHANGE_BASE_URL", Link::GatewayExchange),
        (&risk, "RISK_POSITION_URL", Link::RiskPosition),
        (&risk, "RISK_AUDIT_URL", Link::RiskAudit),
        (&risk, "RISK_TELEGRAM_BASE_URL", Link::RiskTelegram),
        (&position, "POSITION_AUDIT_URL", Link::PositionAudit),
    ] {
        assert_eq!(settings[&format!("THUNES_{key}")], through(link), "{key}");
    }
    let ws = through(Link::GatewayExchange).replace("http:", "ws:") + "/ws-api/v3";
    assert_eq!(gateway["THUNES_GATEWAY_EXCHANGE_WS_URL"], ws);
    let proxy = settings_of(folder.path(), Service::FaultProxy);
    let links: Vec<String> = Link::ALL
        .iter()
        .map(|link| {
            let [listen, upstream] =
                [through(*link), environment.url(link.server())].map(|url| url.replace("http://", ""));
            format!("{}={listen}>{upstream}", link.name())
        })
        .collect();
    assert_eq!(proxy["THUNES_PROXY_LINKS"], links.join(","));
    let drill = settings_of(folder.path(), Service::DrillOrchestrator);
    assert_eq!(drill["THUNES_DRILL_RISK_URL"], environment.url(Service::Risk));
    assert_eq!(drill["THUNES_DRILL_SIM_ADMIN_URL"], environment.admin_url());
    let admin = environment.proxy_admin_url().expect("there is one");
    assert_eq!(drill["THUNES_DRILL_PROXY_URLS"], admin);
    let endpoints = Endpoints::load(folder.path()).expect("endpoints");
    assert_eq!(endpoints.url(Service::FaultProxy), Some(admin.as_str()));
    assert_eq!(
        endpoints.url(Service::Risk),
        Some(environment.url(Service::Risk).as_str())
    );
}

#[test]
fn only_links_with_both_ends_in_the_environment_are_carried_and_only_with_a_proxy() {
    let plan = Plan::new("thunes", "data");
    assert!(!plan.fault_proxy && plan.links().is_empty());
    let plan = plan.with_fault_proxy();
    let fixed: Vec<u16> = plan
        .links()
        .into_iter()
        .map(|link| Ports::default().of_link(link))
        .collect();
    assert_eq!(fixed, [7121, 7122, 7123, 7124, 7125, 7126, 7127, 7128]);
    let outward = Plan {
        exchange: Exchange::External,
        telegram: Telegram::External,
        ..plan
    };
    assert_eq!(outward.links(), Link::ALL[..6]);
}

#[tokio::test]
async fn a_killed_service_comes_back_at_the_same_address() {
    let folder = tempfile::tempdir().expect("folder");
    let environment = Environment::start(Plan::isolated(program(), folder.path(), 1))
        .await
        .expect("started");
    let url = environment.url(Service::Risk);
    assert!(environment.kill(Service::Risk).await.expect("killed").is_sigkill());
    assert_eq!(
        Endpoints::load(folder.path()).expect("endpoints").services["risk"].pid,
        None
    );
    let took = environment.restart(Service::Risk).await.expect("restarted");
    assert!(took > Duration::ZERO && took < LONG, "{took:?}");
    let endpoints = Endpoints::load(folder.path()).expect("endpoints");
    assert_eq!(endpoints.url(Service::Risk), Some(url.as_str()));
    assert_eq!(
        endpoints.services["risk"].pid,
        environment.target(Service::Risk).expect("risk").pid()
    );

    let killed = environment.kill_all().await;
    assert_eq!(killed, environment.services());
    let took = environment.restart_many(&killed).await.expect("all are back");
    assert_eq!(took.len(), killed.len());
}

#[tokio::test]
async fn dropping_an_environment_leaves_no_process() {
    let folder = tempfile::tempdir().expect("folder");
    let environment = Environment::start(Plan::isolated(program(), folder.path(), 1))
        .await
        .expect("started");
    let pids: Vec<u32> = environment
        .endpoints()
        .services
        .values()
        .filter_map(|service| service.pid)
        .collect();
    assert_eq!(pids.len(), 6);
    drop(environment);
    let begun = Instant::now();
    while !pids.iter().all(|pid| process_state(*pid) == ProcessState::Gone) {
        assert!(begun.elapsed() < LONG, "a process is left of {pids:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn every_fixed_port_that_is_taken_is_named_before_anything_starts() {
    let folder = tempfile::tempdir().expect("folder");
    let holders: Vec<_> = (0..3)
        .map(|_| TcpListener::bind("127.0.0.1:0").expect("bound"))
        .collect();
    let taken: Vec<u16> = holders
        .iter()
        .map(|holder| holder.local_addr().expect("address").port())
        .collect();
    let mut ports = Ports::default();
    ports.set(Service::Risk, taken[0]);
    ports.exchange_sim_admin = taken[1];
    ports.links[Link::RiskAudit as usize] = taken[2];
    let plan = Plan {
        ports: PortChoice::Fixed(ports),
        ..Plan::isolated(program(), folder.path(), 1).with_fault_proxy()
    };
    let error = Environment::start(plan).await.expect_err("three ports are taken");
    let SupervisorError::PortsInUse(named) = &error else {
        panic!("{error}")
    };
    assert!(
        named.contains(&("risk", taken[0])) && named.contains(&("exchange-sim admin", taken[1])),
        "{named:?}"
    );
    assert!(
        named.contains(&("risk:audit", taken[2])) && named.len() == 3,
        "{named:?}"
    );
    assert!(!folder.path().join("logs").exists(), "nothing was started");
}

#[tokio::test]
async fn one_data_folder_holds_one_environment() {
    let folder = tempfile::tempdir().expect("folder");
    let first = Environment::start(Plan::isolated(program(), folder.path(), 1))
        .await
        .expect("started");
    let error = Environment::start(Plan::isolated(program(), folder.path(), 1))
        .await
        .expect_err("in use");
    assert!(
        error.to_string().contains(&std::process::id().to_string()),
        "the holder is named: {error}"
    );
    assert!(first.endpoints().owner_is_alive());
    drop(first);
    Environment::start(Plan::isolated(program(), folder.path(), 1))
        .await
        .expect("the folder is free again");
}

#[tokio::test]
async fn a_service_that_ends_at_its_start_is_reported_and_the_rest_is_taken_down() {
    let folder = tempfile::tempdir().expect("folder");
    let plan = Plan::isolated(program(), folder.path(), 1).failpoints(Service::Risk, "start=exit");
    let error = Environment::start(plan).await.expect_err("risk exits");
    let text = error.to_string();
    assert!(
        matches!(error, SupervisorError::ExitedEarly { ref name, .. } if name == "risk"),
        "{text}"
    );
    assert!(
        text.contains("the journal is corrupt") && text.contains("exit code 9"),
        "{text}"
    );
    let left = std::fs::read_dir(folder.path().join("run")).expect("run").flatten();
    let pid_files: Vec<_> = left
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy().ends_with(".pid"))
        .collect();
    assert!(pid_files.is_empty(), "{pid_files:?}");
}

#[tokio::test]
async fn a_tool_finds_the_environment_and_inherits_no_settings() {
    let folder = tempfile::tempdir().expect("folder");
    let environment = Environment::start(Plan::isolated(program(), folder.path(), 1))
        .await
        .expect("started");
    let tool = Target::new(environment.tool("asking").args(["positions"]));
    tool.start().await.expect("started");
    assert!(tool.wait_exit().await.expect("ended").is_success());
    let said = tool.log_tail();
    assert!(said.contains("positions"), "{said}");
    assert!(
        said.contains(&format!("THUNES_DATA_DIR={}", folder.path().display())),
        "{said}"
    );
}

#[tokio::test]
async fn a_crashed_service_is_restarted_until_it_crashes_too_often() {
    let folder = tempfile::tempdir().expect("folder");
    let environment = Arc::new(
        Environment::start(Plan::isolated(program(), folder.path(), 1))
            .await
            .expect("started"),
    );
    let (events, mut told) = tokio::sync::mpsc::channel(16);
    let stop = CancellationToken::new();
    let policy = RestartPolicy {
        backoff_min: Duration::from_millis(1),
        restarts_max: 2,
        ..RestartPolicy::default()
    };
    let keeping = tokio::spawn(policy.keep_running(environment.clone(), stop.clone(), events));
    let risk = environment.target(Service::Risk).expect("risk");

    risk.kill().await.expect("killed");
    let crashed = told.recv().await.expect("told");
    assert!(matches!(crashed, RestartEvent::Crashed { service: Service::Risk, exit, .. } if exit.is_sigkill()));
    let back = told.recv().await.expect("told");
    assert!(matches!(back, RestartEvent::Restarted { service: Service::Risk, pid, .. } if Some(pid) == risk.pid()));

    environment.set_failpoints(Service::Risk, "start=exit").expect("set");
    risk.kill().await.expect("killed");
    assert!(matches!(told.recv().await.expect("told"), RestartEvent::Crashed { .. }));
    assert!(matches!(
        told.recv().await.expect("told"),
        RestartEvent::RestartFailed { .. }
    ));
    assert!(matches!(
        told.recv().await.expect("told"),
        RestartEvent::GaveUp {
            service: Service::Risk,
            restarts: 2
        }
    ));
    assert!(!risk.is_running());
    assert!(
        environment.target(Service::Audit).expect("audit").is_running(),
        "the others go on"
    );
    stop.cancel();
    keeping.await.expect("ended");
}
