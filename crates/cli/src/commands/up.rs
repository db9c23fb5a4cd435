use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use clap::Args;
use thunes_runtime::{LogFormat, Settings, TelemetryConfig, init_telemetry, shutdown_on_signal};
use thunes_supervisor::embedded::{
    Environment, Exchange, Plan, PortChoice, Ports, Progress, RestartEvent, RestartPolicy, Service, Telegram,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::call::Context;
use crate::failure::Usage;
use crate::output::Table;
use crate::peers::DEFAULT_DATA_DIR;
use crate::services::read_all;

/// Restarts that may wait to be told.
const EVENTS_WAITING_MAX: usize = 64;

#[derive(Debug, Args)]
pub struct UpArgs {
    /// For the simulated exchange's prices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Do not start a service again that crashed.
    #[arg(long)]
    no_restart: bool,
    /// Do not run the drill orchestrator.
    #[arg(long)]
    no_drills: bool,
    /// Use free ports instead of the fixed ones; other commands find them through --data-dir.
    #[arg(long)]
    free_ports: bool,
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(args: UpArgs, context: &Context) -> anyhow::Result<u8> {
    let settings = Settings::load(context.config.as_deref())?;
    let plan = plan(&args, context, &settings)?;
    let (mut telemetry, _) = TelemetryConfig::read(&settings)?;
    // This process only supervises: its services export by themselves, and it speaks to people.
    telemetry.otlp_endpoint = None;
    telemetry.log_format = telemetry.log_format.or(Some(LogFormat::Text));
    let _nothing_to_deliver = init_telemetry("up", &telemetry)?;
    let stop = shutdown_on_signal().context("this process cannot listen for signals")?;
    let out = context.out;
    let count = plan.services().len();
    out.say(&format!("Starting {count} services in {}", plan.data_dir.display()));
    let mut number = 0;
    let mut progress = |step: Progress| {
        if let Progress::Ready { service, took, .. } = step {
            number += 1;
            out.say(&format!(
                "  [{number}/{count}] {service} is ready after {} ms",
                took.as_millis()
            ));
        }
    };
    let started = stop
        .run_until_cancelled(Environment::start_with(plan, &mut progress))
        .await;
    let Some(started) = started else {
        out.say("Interrupted; nothing is left running");
        return Ok(0);
    };
    let environment = Arc::new(started?);
    out.result(&environment.endpoints(), || table(&environment))?;
    keep(&args, &environment, &stop, context).await;
    out.say("Stopping...");
    for (service, exit) in environment.stop_all().await {
        if !exit.is_success() {
            eprintln!("warning: {service} did not end in order: {exit}");
        }
    }
    out.say("All services have ended");
    Ok(0)
}

fn plan(args: &UpArgs, context: &Context, settings: &Settings) -> anyhow::Result<Plan> {
    let folder = context
        .data_dir
        .clone()
        .unwrap_or_else(|| PathBuf::from(DEFAULT_DATA_DIR));
    let program = std::env::current_exe().context("this program does not know its own file")?;
    let mut plan = Plan::new(program, folder);
    plan.config_file = context.config.clone();
    plan.seed = args.seed;
    plan.drill_orchestrator = !args.no_drills;
    let set = |section: &str, key: &str| settings.reader(section).optional(key, "").is_some();
    if set("risk", "telegram.token") || set("risk", "telegram.token_file") {
        plan.telegram = Telegram::External;
    }
    if set("gateway", "exchange.base_url") {
        plan.exchange = Exchange::External;
    }
    // Before anything starts, so that all mistakes are told at once.
    let configured = read_all(&plan.services(), settings)?;
    if args.free_ports {
        plan.ports = PortChoice::Free;
        return Ok(plan);
    }
    let mut ports = Ports::default();
    for (service, configured) in configured {
        ports.set(service, configured.listen().port());
        if let Some(admin) = configured.admin_listen() {
            ports.exchange_sim_admin = admin.port();
        }
        let (address, section) = (configured.listen(), service.section());
        ensure!(
            address.ip().is_some_and(|ip| ip.is_loopback()),
            Usage(format!(
                "{section}.listen = {address}: `thunes up` runs everything on 127.0.0.1; leave it out, or run this service \
                 with `thunes serve {service}`"
            ))
        );
    }
    plan.ports = PortChoice::Fixed(ports);
    Ok(plan)
}

fn table(environment: &Environment) -> String {
    let endpoints = environment.endpoints();
    let mut table = Table::new(&["SERVICE", "ADDRESS", ">PID", "LOG"]);
    for service in environment.services() {
        let Some(at) = endpoints.services.get(service.name()) else {
            continue;
        };
        let pid = at.pid.map(|pid| pid.to_string()).unwrap_or_default();
        let log = at
            .log_file
            .strip_prefix(environment.data_dir())
            .unwrap_or(&at.log_file)
            .display()
            .to_string();
        table.row([service.name().to_owned(), at.url.clone(), pid, log]);
        if let Some(admin) = &at.admin_url {
            table.row([format!("{} admin", Service::ExchangeSim), admin.clone()]);
        }
    }
    let folder = environment.data_dir().display();
    format!("\n{}\nData folder: {folder}\nCtrl-C stops everything\n", table.render())
}

/// Waits for the signal, and tells of crashes and restarts meanwhile.
async fn keep(args: &UpArgs, environment: &Arc<Environment>, stop: &CancellationToken, context: &Context) {
    if args.no_restart {
        return stop.cancelled().await;
    }
    let (events, mut told) = mpsc::channel(EVENTS_WAITING_MAX);
    let keeping = tokio::spawn(RestartPolicy::default().keep_running(environment.clone(), stop.clone(), events));
    while let Some(Some(event)) = stop.run_until_cancelled(told.recv()).await {
        tell(&event, context);
    }
    // Every service stays down, or the signal came: either way the signal is what ends this.
    stop.cancelled().await;
    let _ = keeping.await;
}

fn tell(event: &RestartEvent, context: &Context) {
    let text = match event {
        RestartEvent::Stopped { service } => format!("{service} was stopped and stays down"),
        RestartEvent::Crashed {
            service,
            exit,
            restart_in,
        } => {
            format!(
                "{service} crashed ({exit}); starting it again in {} ms",
                restart_in.as_millis()
            )
        }
        RestartEvent::Restarted { service, pid, took } => {
            format!("{service} is ready again after {} ms, as pid {pid}", took.as_millis())
        }
        RestartEvent::RestartFailed { service, error } => format!("{service} could not be started again: {error}"),
        RestartEvent::GaveUp { service, restarts } => format!(
            "{service} crashed {} times and stays down; read its log, then start everything again",
            restarts + 1
        ),
    };
    if std::io::stdout().is_terminal() || !context.out.json {
        context.out.say(&text);
    } else {
        eprintln!("{text}");
    }
}
