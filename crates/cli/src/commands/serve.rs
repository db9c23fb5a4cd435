use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use thunes_runtime::{ListenAddress, Settings, TelemetryConfig, init_telemetry, shutdown_on_signal};
use thunes_supervisor::embedded::Service;

use crate::call::Context;
use crate::services::Configured;

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// risk, position, audit, exchange-gateway, drill-orchestrator, exchange-sim, telegram-standin or fault-proxy.
    #[arg(value_parser = parse_service)]
    service: Service,
    /// Where to listen: an address or name and a port, such as 127.0.0.1:7101.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<ListenAddress>,
}

/// How long an orderly end waits for the collector.
pub(super) const TELEMETRY_FLUSH_MAX: Duration = Duration::from_secs(2);

fn parse_service(name: &str) -> Result<Service, String> {
    Service::parse(name).ok_or_else(|| {
        format!(
            "there is no such service; there are {}",
            Service::ALL.map(Service::name).join(", ")
        )
    })
}

/// Serves until SIGTERM or SIGINT.
pub async fn run(args: ServeArgs, context: &Context) -> anyhow::Result<u8> {
    let service = args.service;
    let mut settings = Settings::load(context.config.as_deref())?;
    if let Some(folder) = &context.data_dir {
        settings = settings.with(&format!("{}.data_dir", service.section()), folder.display().to_string());
    }
    if let Some(address) = args.listen {
        settings = settings.with(&format!("{}.listen", service.section()), address.to_string());
    }
    let (configured, _) = Configured::read(service, &settings)?;
    let (telemetry, _) = TelemetryConfig::read(&settings)?;
    let telemetry = init_telemetry(service.name(), &telemetry)?;
    let served = serve(service, configured).await;
    telemetry.shutdown(TELEMETRY_FLUSH_MAX).await;
    served
}

async fn serve(service: Service, configured: Configured) -> anyhow::Result<u8> {
    let shutdown = shutdown_on_signal().context("this process cannot listen for signals")?;
    let plaintext = configured.plaintext();
    let listening = thunes_rpc::bind(service.name(), configured.listen(), plaintext).await?;
    let admin = match configured.admin_listen() {
        Some(address) => Some(thunes_rpc::bind(service.name(), address, plaintext).await?),
        None => None,
    };
    tracing::info!(address = %listening.address, pid = std::process::id(), "serving");
    let served = configured
        .serve(listening.listener, admin.map(|admin| admin.listener), shutdown)
        .await;
    if let Err(error) = &served {
        // The log is what is read after a crash; standard error alone says it to people at a terminal.
        tracing::error!(error = format!("{error:#}"), "the service failed");
    } else {
        tracing::info!("stopped");
    }
    served.map(|()| 0).with_context(|| format!("{service} cannot go on"))
}
