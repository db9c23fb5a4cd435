use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use thunes_container_guard::GuardConfig;
use thunes_runtime::{Settings, TelemetryConfig, init_telemetry, shutdown_on_signal};

use super::serve::TELEMETRY_FLUSH_MAX;
use crate::call::Context;

const NAME: &str = "container-guard";

#[derive(Debug, Args)]
#[command(
    after_help = "It needs the Docker socket and offers nobody else what that socket offers: ten calls on the \
                        containers of its project that bear the label io.thunes.drill=true."
)]
pub struct GuardArgs {
    /// The Unix socket on which to listen.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The Docker engine's socket.
    #[arg(long, value_name = "PATH")]
    docker_socket: Option<PathBuf>,
    /// Where to keep what a container that was cut off had on its networks.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The compose project; that of the container that this runs in unless it is named.
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
}

/// Guards until SIGTERM or SIGINT.
pub async fn run(args: GuardArgs, context: &Context) -> anyhow::Result<u8> {
    let mut settings = Settings::load(context.config.as_deref())?;
    let paths = [
        ("guard.socket", args.socket),
        ("guard.docker_socket", args.docker_socket),
        ("guard.state_dir", args.state_dir),
    ];
    for (key, path) in paths {
        if let Some(path) = path {
            settings = settings.with(key, path.display().to_string());
        }
    }
    if let Some(project) = args.project {
        settings = settings.with("guard.project", project);
    }
    let (config, _) = GuardConfig::read(&settings)?;
    let (telemetry, _) = TelemetryConfig::read(&settings)?;
    let telemetry = init_telemetry(NAME, &telemetry)?;
    let served = guard(config).await;
    telemetry.shutdown(TELEMETRY_FLUSH_MAX).await;
    served
}

async fn guard(config: GuardConfig) -> anyhow::Result<u8> {
    let shutdown = shutdown_on_signal().context("this process cannot listen for signals")?;
    let served = thunes_container_guard::serve(config, shutdown).await;
    if let Err(error) = &served {
        tracing::error!(%error, "the guard failed");
    } else {
        tracing::info!("stopped");
    }
    served.map(|()| 0).context("the container guard cannot work")
}
