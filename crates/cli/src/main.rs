//! `thunes`: every service and the operator's commands in one binary.

mod args;
mod call;
mod commands;
mod failure;
mod halts;
mod output;
mod peers;
mod services;
mod show;
mod traced;
mod trade_loop;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::args::Cli;

fn main() -> ExitCode {
    // Before anything else: a service must not outlive the supervisor that started it.
    if let Err(error) = thunes_supervisor::die_with_parent() {
        eprintln!("error: this process cannot be bound to its supervisor: {error}");
        return ExitCode::from(failure::EXIT_FAILED);
    }
    let matches = Cli::command().get_matches();
    let path = traced::command_path(&matches);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let json = cli.global.json;
    match run(cli, &path) {
        Ok(exit) => ExitCode::from(exit),
        Err(error) => ExitCode::from(failure::report(&error, json)),
    }
}

fn run(cli: Cli, path: &str) -> anyhow::Result<u8> {
    // Fails only when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let exit = runtime.block_on(commands::run(cli, path));
    // A blocking read of standard input or a slow disk must not hold the process.
    runtime.shutdown_background();
    exit
}
