use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    audit, config, drill, guard, health, kill_switch, measure, orders, positions, reconcile, risk, serve, soak, trade,
    up,
};

/// Trading with a kill-switch that holds, and drills that prove it.
#[derive(Debug, Parser)]
#[command(name = "thunes", version, max_term_width = 120, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 usage. `reconcile` and `drill run` have more; see their --help."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Args)]
pub struct Global {
    /// Settings file (TOML); `thunes config reference` lists what can stand in it.
    #[arg(long, global = true, value_name = "FILE", env = "THUNES_CONFIG")]
    pub config: Option<PathBuf>,
    /// Print JSON on standard output instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// The data folder: of the services to run, or of the running environment to talk to.
    #[arg(long, global = true, value_name = "DIR", env = "THUNES_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Who acts, for the audit trail; marked there as unproven.
    #[arg(long, global = true, value_name = "NAME", env = "THUNES_ACTOR")]
    pub actor: Option<String>,
    #[command(flatten)]
    pub urls: Urls,
}

/// Where services are, when neither the data folder nor the default ports say it.
#[derive(Debug, Args, Default)]
pub struct Urls {
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "THUNES_RISK_URL",
        help_heading = "Addresses"
    )]
    pub risk_url: Option<String>,
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "THUNES_POSITION_URL",
        help_heading = "Addresses"
    )]
    pub position_url: Option<String>,
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "THUNES_AUDIT_URL",
        help_heading = "Addresses"
    )]
    pub audit_url: Option<String>,
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "THUNES_GATEWAY_URL",
        help_heading = "Addresses"
    )]
    pub gateway_url: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one service in this process, until SIGTERM.
    Serve(serve::ServeArgs),
    /// Run all services on this machine as child processes, until Ctrl-C.
    Up(up::UpArgs),
    /// Send one order, or keep orders in flight (`trade loop`).
    Trade(trade::TradeArgs),
    /// Stop the opening of positions, allow it again, or see how it stands.
    #[command(subcommand)]
    KillSwitch(kill_switch::KillSwitchCommand),
    /// The gate: its status, its limits, what it would say to a trade.
    #[command(subcommand)]
    Risk(risk::RiskCommand),
    /// The open positions.
    Positions(positions::PositionsArgs),
    /// The gateway's orders, newest first.
    Orders(orders::OrdersArgs),
    /// One order: show it, cancel it, or resolve its doubt.
    #[command(subcommand)]
    Order(orders::OrderCommand),
    /// Cancel every resting order.
    CancelAll(orders::CancelAllArgs),
    /// The balances at the exchange, asked now.
    Account,
    /// The audit trail: follow, search or verify it.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Compare the exchange with our books. Exit codes: 0 clean, 1 discrepancies, 2 undetermined.
    Reconcile(reconcile::ReconcileArgs),
    /// Rehearse disasters and measure them.
    #[command(subcommand)]
    Drill(drill::DrillCommand),
    /// Hold the Docker socket for the drills, and offer only what they need of it.
    Guard(guard::GuardArgs),
    /// Measure this machine: order round trips, activations until fenced, memory.
    Measure(measure::MeasureArgs),
    /// Kill services at random under load and compare everything in the end. Exit codes: 0 clean, 1 something was found.
    Soak(soak::SoakArgs),
    /// Ask one server whether it is ready; exit code 0 yes, 1 no. Made for health checks of containers.
    Health(health::HealthArgs),
    /// About the settings.
    #[command(subcommand)]
    Config(config::ConfigCommand),
}
