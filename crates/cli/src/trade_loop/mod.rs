//! `thunes trade loop`: keeps orders in flight through crashes and outages, and keeps its own account of every answer.

mod acks;
mod args;
mod inventory;
mod order;
mod pace;
mod totals;
mod worker;

pub use args::LoopArgs;

use std::sync::Arc;
use std::time::Duration;

use thunes_runtime::{clock, shutdown_on_signal};

use crate::call::Context;
use crate::failure::EXIT_FAILED;

use acks::Acks;
use order::Sender;
use pace::Pace;
use totals::Totals;
use worker::Worker;

/// How often the totals so far are shown.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Trades until the count, the duration or a signal ends it. Fails when an order's fate is not known in the end, and
/// when not one was accepted.
pub async fn run(args: LoopArgs, context: &Context) -> anyhow::Result<u8> {
    let (gateway, url) = context.peers.gateway()?;
    let seed = args.seed.unwrap_or_else(rand::random);
    let stop = shutdown_on_signal()?;
    let acks = Arc::new(Acks::open(args.acks.as_deref())?);
    let totals = Arc::new(Totals::new());
    let pace = Arc::new(Pace::new(&args, stop.clone()));
    // Two runs with one seed make the same choices, but never the same orders.
    let run_id = uuid::Uuid::new_v4().simple().to_string();
    let run_id = &run_id[..8];
    context.out.say(&format!(
        "Trading {} through {url}: {} at a time, up to {} orders a second, run {run_id}, seed {seed}; Ctrl-C ends it",
        args.symbol.join(", "),
        args.concurrency,
        args.rate
    ));
    let begun = clock::instant();
    let workers = (0..args.concurrency).map(|number| {
        let sender = Sender {
            gateway: gateway.clone(),
            actor: context.actor.clone(),
            acks: acks.clone(),
            totals: totals.clone(),
            retry_for: Duration::from_secs(args.retry_for_s),
        };
        let worker = Worker::new(number, run_id, seed, &args, sender, pace.clone());
        tokio::spawn(worker.run())
    });
    let mut working = futures_util::future::join_all(workers);
    let mut progress = tokio::time::interval_at(tokio::time::Instant::now() + PROGRESS_INTERVAL, PROGRESS_INTERVAL);
    let ended = loop {
        tokio::select! {
            ended = &mut working => break ended,
            _ = progress.tick() => context.out.say(&totals.line(begun.elapsed())),
        }
    };
    for worker in ended {
        worker??;
    }
    let summary = totals.summary(run_id, seed, begun.elapsed());
    context.out.result(&summary, || summary.lines())?;
    let nothing_went = summary.submitted > 0 && summary.accepted == 0;
    Ok(if summary.unknown > 0 || nothing_went {
        EXIT_FAILED
    } else {
        0
    })
}
