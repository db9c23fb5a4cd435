use std::net::SocketAddr;
use std::path::Path;

use thunes_runtime::{OTLP_ENDPOINT_ENV, Settings};

use crate::embedded::ports::loopback;
use crate::embedded::{Exchange, Link, Plan, Ports, Service, Telegram};
use crate::{HealthProbe, PARENT_PID_ENV, ProcessSpec};

/// The simulated exchange's account in an embedded environment; both worth nothing anywhere else.
pub const SIM_API_KEY: &str = "thunes-sim-key";
pub const SIM_API_SECRET: &str = "thunes-sim-secret";
/// The stand-in's bot and chat.
pub const STANDIN_TOKEN: &str = "100000:standin";
pub const STANDIN_CHAT_ID: &str = "100";

const FAILPOINTS_ENV: &str = "THUNES_FAILPOINTS";
const FAILPOINT_HITS_ENV: &str = "THUNES_FAILPOINT_HITS";
const LOG_ENV: &str = "THUNES_LOG";
/// Commands of the CLI find an environment by it.
const DATA_DIR_ENV: &str = "THUNES_DATA_DIR";

/// How `service` is run in this environment.
pub(crate) fn service_spec(plan: &Plan, ports: &Ports, service: Service) -> ProcessSpec {
    let mut spec = ProcessSpec::new(service.name(), &plan.program, &plan.data_dir).args(["serve", service.name()]);
    if let Some(file) = &plan.config_file {
        spec = spec.args(["--config".into(), file.as_os_str().to_owned()]);
    }
    spec.env_remove = removed(plan.inherit_settings);
    for (key, value) in settings(plan, ports, service) {
        spec.set_env(Settings::env_name(&key), value);
    }
    // One that this process inherited must not lead the service into another folder.
    spec.set_env(DATA_DIR_ENV, plan.data_dir.display().to_string());
    if let Some(text) = plan.failpoints.get(&service) {
        spec.set_env(FAILPOINTS_ENV, text);
    }
    if let Some(folder) = &plan.failpoint_hits {
        spec.set_env(FAILPOINT_HITS_ENV, folder.display().to_string());
    }
    spec
}

/// Another command of the same binary, pointed at this environment.
pub(crate) fn tool_spec(plan: &Plan, name: &str) -> ProcessSpec {
    let mut spec = ProcessSpec::new(name, &plan.program, &plan.data_dir);
    spec.env_remove = removed(plan.inherit_settings);
    for (name, value) in tool_env(&plan.program, &plan.data_dir) {
        spec.set_env(name, value);
    }
    spec
}

/// What makes `thunes …` in a shell mean this binary and this environment.
pub(crate) fn tool_env(program: &Path, data_dir: &Path) -> Vec<(String, String)> {
    let mut env = vec![(DATA_DIR_ENV.to_owned(), data_dir.display().to_string())];
    if let Some(folder) = program.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let rest = std::env::var("PATH").unwrap_or_default();
        env.push(("PATH".to_owned(), format!("{}:{rest}", folder.display())));
    }
    env
}

fn removed(inherit_settings: bool) -> Vec<String> {
    let ours = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    // Failpoints are for the process that they were given to, never for its children.
    ours.filter(|name| {
        let setting = (name.starts_with(Settings::ENV_PREFIX) && name != LOG_ENV) || name == OTLP_ENDPOINT_ENV;
        (setting && !inherit_settings) || name == FAILPOINTS_ENV || name == FAILPOINT_HITS_ENV || name == PARENT_PID_ENV
    })
    .collect()
}

fn settings(plan: &Plan, ports: &Ports, service: Service) -> Vec<(String, String)> {
    let section = service.section();
    let mut all = vec![
        (format!("{section}.listen"), loopback(ports.of(service)).to_string()),
        (format!("{section}.data_dir"), plan.data_dir.display().to_string()),
    ];
    let mut set = |key: &str, value: String| all.push((format!("{section}.{key}"), value));
    let through = |link| format!("http://{}", peer(plan, ports, link));
    match service {
        Service::ExchangeSim => {
            set("admin_listen", loopback(ports.exchange_sim_admin).to_string());
            set("seed", plan.seed.to_string());
            set("api_key", SIM_API_KEY.to_owned());
            set("api_secret", SIM_API_SECRET.to_owned());
        }
        Service::TelegramStandin => {
            set("token", STANDIN_TOKEN.to_owned());
            set("chat_id", STANDIN_CHAT_ID.to_owned());
        }
        Service::FaultProxy => set("links", proxied(plan, ports)),
        Service::Audit => {}
        Service::Position => set("audit_url", through(Link::PositionAudit)),
        Service::Risk => {
            set("position_url", through(Link::RiskPosition));
            set("audit_url", through(Link::RiskAudit));
            if plan.telegram == Telegram::Standin {
                set("telegram.base_url", through(Link::RiskTelegram));
                set("telegram.token", STANDIN_TOKEN.to_owned());
                set("telegram.chat_id", STANDIN_CHAT_ID.to_owned());
                set("telegram.receiver", "standin".to_owned());
            }
        }
        Service::ExchangeGateway => {
            set("risk_url", through(Link::GatewayRisk));
            set("position_url", through(Link::GatewayPosition));
            set("audit_url", through(Link::GatewayAudit));
            if plan.exchange == Exchange::Sim {
                let exchange = peer(plan, ports, Link::GatewayExchange);
                set("exchange.base_url", format!("http://{exchange}"));
                set("exchange.ws_url", format!("ws://{exchange}/ws-api/v3"));
                set("exchange.api_key", SIM_API_KEY.to_owned());
                set("exchange.api_secret", SIM_API_SECRET.to_owned());
            }
        }
        Service::DrillOrchestrator => {
            set("risk_url", ports.url(Service::Risk));
            set("position_url", ports.url(Service::Position));
            set("audit_url", ports.url(Service::Audit));
            set("gateway_url", ports.url(Service::ExchangeGateway));
            if plan.exchange == Exchange::Sim {
                set("sim_admin_url", ports.admin_url());
            }
            if plan.telegram == Telegram::Standin {
                set("telegram_url", ports.url(Service::TelegramStandin));
            }
            if plan.fault_proxy {
                set("proxy_urls", ports.url(Service::FaultProxy));
            }
        }
    }
    all.extend(plan.settings.get(&service).into_iter().flatten().cloned());
    all
}

/// Where the client of `link` finds its server.
fn peer(plan: &Plan, ports: &Ports, link: Link) -> SocketAddr {
    loopback(if plan.fault_proxy {
        ports.of_link(link)
    } else {
        ports.of(link.server())
    })
}

/// What the fault proxy listens on and leads to, as it wants to be told.
fn proxied(plan: &Plan, ports: &Ports) -> String {
    let link = |link: Link| {
        let (listen, upstream) = (loopback(ports.of_link(link)), loopback(ports.of(link.server())));
        format!("{}={listen}>{upstream}", link.name())
    };
    plan.links().into_iter().map(link).collect::<Vec<_>>().join(",")
}

/// How to ask `service` whether it is ready.
pub(crate) fn probe(ports: &Ports, service: Service) -> HealthProbe {
    match service {
        Service::ExchangeSim => HealthProbe::http(loopback(ports.exchange_sim_admin), "/admin/health"),
        Service::TelegramStandin => HealthProbe::http(loopback(ports.telegram_standin), "/standin/health"),
        Service::FaultProxy => HealthProbe::http(loopback(ports.fault_proxy), "/admin/health"),
        Service::Audit | Service::Position | Service::Risk | Service::ExchangeGateway | Service::DrillOrchestrator => {
            HealthProbe::grpc(loopback(ports.of(service)))
        }
    }
}
