//! `thunes`: every service and the operator's commands in one binary.

mod args;
mod call;
mod commands;
mod failure;
mod output;
mod peers;
mod services;
mod show;
mod trade_loop;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;

fn main() -> ExitCode {
    // Before anything else: a service must not outlive the supervisor that started it.
    if let Err(error) = thunes_supervisor::die_with_parent() {
        eprintln!("error: this process cannot be bound to its supervisor: {error}");
        return ExitCode::from(failure::EXIT_FAILED);
    }
    let cli = Cli::parse();
    let json = cli.global.json;
    match run(cli) {
        Ok(exit) => ExitCode::from(exit),
        Err(error) => ExitCode::from(failure::report(&error, json)),
    }
}

fn run(cli: Cli) -> anyhow::Result<u8> {
    // Fails only when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let exit = runtime.block_on(commands::run(cli));
    // A blocking read of standard input or a slow disk must not hold the process.
    runtime.shutdown_background();
    exit
}
