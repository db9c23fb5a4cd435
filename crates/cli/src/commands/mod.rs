//! One file for each group of commands: its arguments, its calls, what it prints.

pub mod account;
pub mod audit;
pub mod config;
pub mod drill;
pub mod guard;
pub mod health;
pub mod kill_switch;
pub mod measure;
pub mod orders;
pub mod positions;
pub mod reconcile;
pub mod risk;
pub mod serve;
pub mod soak;
pub mod trade;
pub mod up;

use tracing::Instrument;

use crate::args::{Cli, Command};
use crate::call::Context;
use crate::output::Out;
use crate::peers::Peers;
use crate::traced::Traced;

/// Runs the command that `path` names; returns its exit code.
pub async fn run(cli: Cli, path: &str) -> anyhow::Result<u8> {
    let global = cli.global;
    let context = Context {
        out: Out { json: global.json },
        peers: Peers::new(global.urls, global.data_dir.clone()),
        actor: global.actor,
        config: global.config,
        data_dir: global.data_dir,
    };
    let traced = Traced::start(path, &context);
    let span = traced.span();
    let exit = dispatch(cli.command, &context).instrument(span).await;
    traced.end(&exit).await;
    exit
}

async fn dispatch(command: Command, context: &Context) -> anyhow::Result<u8> {
    match command {
        Command::Serve(args) => serve::run(args, context).await,
        Command::Up(args) => up::run(args, context).await,
        Command::Trade(args) => trade::run(args, context).await,
        Command::KillSwitch(command) => kill_switch::run(command, context).await,
        Command::Risk(command) => risk::run(command, context).await,
        Command::Positions(args) => positions::run(args, context).await,
        Command::Orders(args) => orders::list(args, context).await,
        Command::Order(command) => orders::run(command, context).await,
        Command::CancelAll(args) => orders::cancel_all(args, context).await,
        Command::Account => account::run(context).await,
        Command::Audit(command) => audit::run(command, context).await,
        Command::Reconcile(args) => reconcile::run(args, context).await,
        Command::Drill(command) => drill::run(command, context).await,
        Command::Guard(args) => guard::run(args, context).await,
        Command::Health(args) => health::run(args, context).await,
        Command::Measure(args) => measure::run(args, context).await,
        Command::Soak(args) => soak::run(args, context).await,
        Command::Config(command) => config::run(command, context),
    }
}
