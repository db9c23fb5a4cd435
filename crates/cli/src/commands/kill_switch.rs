use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use thunes_proto::risk::v1::{
    ActivateKillSwitchRequest, ActivateKillSwitchResponse, DeactivateKillSwitchRequest, DeactivateKillSwitchResponse,
    FenceOutcome, GetRiskStatusRequest, GetRiskStatusResponse, KillSwitchLevel, Scope, StopState,
};
use thunes_proto::scope_from_wire;
use thunes_runtime::clock;
use thunes_supervisor::embedded::Service;
use thunes_types::{Scope as ScopeName, text_halt_activated, text_halt_deactivated};

use crate::call::{ACTIVATE_WITHIN, CALL_WITHIN, Context, answer};
use crate::commands::risk::status_lines;
use crate::failure::{EXIT_FAILED, Usage};
use crate::halts::{halts_lines, stop_lines};
use crate::show::{micros, short, side, truth};

/// How often `--wait` asks.
const STOP_ASKED_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, Subcommand)]
pub enum KillSwitchCommand {
    /// Stop the opening of positions. Answers when the fence is closed.
    Activate(Activate),
    /// Allow the opening of positions again.
    Deactivate(Change),
    /// How the switch stands: every halt, and how far its canceling and selling has come.
    Status,
}

/// How far an activation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LevelArg {
    /// Nothing new is opened.
    Halt,
    /// Also cancel every order that is open.
    Cancel,
    /// Also sell what was bought, at the market.
    Flatten,
}

impl LevelArg {
    fn proto(self) -> KillSwitchLevel {
        match self {
            Self::Halt => KillSwitchLevel::HaltNew,
            Self::Cancel => KillSwitchLevel::CancelOrders,
            Self::Flatten => KillSwitchLevel::Flatten,
        }
    }
}

#[derive(Debug, Args)]
pub struct Activate {
    #[command(flatten)]
    change: Change,
    #[arg(long, value_enum, default_value = "halt")]
    level: LevelArg,
    /// With --level cancel or flatten: how long to wait until the exchange has confirmed it.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    wait: u64,
}

#[derive(Debug, Args)]
pub struct Change {
    /// Why; goes to the audit trail and the alert.
    #[arg(long)]
    pub reason: String,
    /// A name for this request, so that repeating it is harmless.
    #[arg(long, value_name = "ID", default_value = "")]
    pub request_id: String,
    /// Only this symbol; everything when neither a symbol nor a strategy is named.
    #[arg(long, conflicts_with = "strategy")]
    pub symbol: Option<String>,
    /// Only the orders of this strategy.
    #[arg(long, value_name = "ID")]
    pub strategy: Option<String>,
}

impl Change {
    fn scope(&self) -> Option<Scope> {
        (self.symbol.is_some() || self.strategy.is_some()).then(|| Scope {
            strategy_id: self.strategy.clone().unwrap_or_default(),
            symbol: self.symbol.clone().unwrap_or_default(),
        })
    }

    /// For sentences; what it cannot be, risk has refused.
    fn scope_name(&self) -> ScopeName {
        scope_from_wire(self.scope().as_ref()).unwrap_or(ScopeName::All)
    }
}

pub async fn run(command: KillSwitchCommand, context: &Context) -> anyhow::Result<u8> {
    match command {
        KillSwitchCommand::Activate(args) => return activate(args, context).await,
        KillSwitchCommand::Deactivate(change) => deactivate(change, context).await?,
        KillSwitchCommand::Status => status(context).await?,
    }
    Ok(0)
}

/// What an empty `--symbol` or `--strategy` would mean nobody knows; it must not mean everything.
fn check_scope(change: &Change) -> anyhow::Result<()> {
    let empty = |text: &Option<String>| text.as_ref().is_some_and(String::is_empty);
    anyhow::ensure!(
        !empty(&change.symbol) && !empty(&change.strategy),
        Usage("--symbol and --strategy need a name; leave both out to mean everything".to_owned())
    );
    Ok(())
}

async fn activate(args: Activate, context: &Context) -> anyhow::Result<u8> {
    let Activate { change, level, wait } = args;
    check_scope(&change)?;
    let (mut risk, url) = context.peers.risk()?;
    context.out.say("Activating kill-switch manually...");
    let request = ActivateKillSwitchRequest {
        reason: change.reason.clone(),
        request_id: change.request_id.clone(),
        level: level.proto().into(),
        scope: change.scope(),
    };
    let begun = clock::instant();
    let request = context.request(request, ACTIVATE_WITHIN);
    let mut done = answer(
        risk.activate_kill_switch(request).await,
        Service::Risk,
        &url,
        "ActivateKillSwitch",
    )?;
    let stopped = wait_for_stop(&mut done, begun + Duration::from_secs(wait), context).await?;
    context.out.result(&done, || activated(&done, &change))?;
    if !done.durable {
        eprintln!(
            "warning: the switch holds in memory only, no disk took it: it dies with the risk process; free its disk and \
             activate again"
        );
    }
    if !stopped {
        eprintln!(
            "warning: the fence is closed, but canceling or selling is not done; `thunes kill-switch status` shows what is \
             left and why"
        );
    }
    Ok(if stopped { 0 } else { EXIT_FAILED })
}

/// Asks how far the stop is until it is done or the time is up; says whether it is done. A stop that cannot be finished
/// now may go on when the cause is gone, so it is waited for as well.
async fn wait_for_stop(
    done: &mut ActivateKillSwitchResponse,
    until: std::time::Instant,
    context: &Context,
) -> anyhow::Result<bool> {
    loop {
        let Some(stop) = &done.stop else { return Ok(true) };
        if stop.state() == StopState::Done {
            return Ok(true);
        }
        if clock::instant() >= until {
            return Ok(false);
        }
        tokio::time::sleep(STOP_ASKED_EVERY).await;
        let status = fetch(context).await?;
        // Ended or raised by somebody else: then it is not this activation's any more.
        let Some(halt) = status.halts.into_iter().find(|halt| halt.epoch == done.epoch) else {
            return Ok(false);
        };
        done.stop = halt.stop;
    }
}

fn activated(done: &ActivateKillSwitchResponse, asked: &Change) -> String {
    let reason = if done.reason.is_empty() {
        &asked.reason
    } else {
        &done.reason
    };
    let mut text = format!(
        "{}\nKill-switch active: {}\n",
        text_halt_activated(&asked.scope_name(), reason),
        truth(done.active)
    );
    if !done.changed {
        text += &format!("It was active before (epoch {}); nothing changed.\n", done.epoch);
    }
    text += &format!(
        "Fence closed after {} (epoch {})\n",
        micros(done.fenced_after_us),
        done.epoch
    );
    for gateway in &done.gateways {
        let outcome = match gateway.outcome() {
            FenceOutcome::Confirmed => "confirmed that its gate is closed and nothing is in flight",
            FenceOutcome::LeaseExpired => "did not answer; its lease and the receive window have run out",
            FenceOutcome::Unspecified => "outcome not known",
        };
        text += &format!(
            "  gateway {}: {outcome}, after {}\n",
            gateway.id,
            micros(gateway.waited_us)
        );
    }
    if !done.resting_orders.is_empty() {
        text += "Orders that were accepted before and can still fill (`thunes cancel-all --reason …` cancels them):\n";
    }
    for order in &done.resting_orders {
        let (id, side, rest) = (&order.client_order_id, side(order.side()), &order.remaining_quantity);
        text += &format!(
            "  {id}: {side} {rest} {} ({})\n",
            order.symbol,
            short(&order.state, "ORDER_STATE_")
        );
    }
    if let Some(stop) = &done.stop {
        text += &stop_lines(stop);
    }
    text
}

async fn deactivate(change: Change, context: &Context) -> anyhow::Result<()> {
    check_scope(&change)?;
    let (mut risk, url) = context.peers.risk()?;
    context.out.say("Deactivating kill-switch...");
    let request = DeactivateKillSwitchRequest {
        reason: change.reason.clone(),
        request_id: change.request_id.clone(),
        scope: change.scope(),
    };
    let request = context.request(request, ACTIVATE_WITHIN);
    let done = answer(
        risk.deactivate_kill_switch(request).await,
        Service::Risk,
        &url,
        "DeactivateKillSwitch",
    )?;
    context.out.result(&done, || deactivated(&done, &change))?;
    if !done.durable {
        eprintln!("warning: no disk took the change: after a restart of risk the switch may be active again");
    }
    Ok(())
}

fn deactivated(done: &DeactivateKillSwitchResponse, asked: &Change) -> String {
    let first = if done.changed {
        text_halt_deactivated(&asked.scope_name(), &asked.reason)
    } else {
        "It was not active; nothing changed.".to_owned()
    };
    let mut text = format!(
        "{first}\nKill-switch active: {}\nEpoch: {}\n",
        truth(done.active),
        done.epoch
    );
    if !done.remaining.is_empty() {
        text += "Still halted:\n";
        text += &halts_lines(&done.remaining);
    }
    text
}

async fn status(context: &Context) -> anyhow::Result<()> {
    let status = fetch(context).await?;
    context.out.result(&status, || {
        format!("{}{}", status_lines(&status), halts_lines(&status.halts))
    })
}

/// The risk service's status.
pub async fn fetch(context: &Context) -> anyhow::Result<GetRiskStatusResponse> {
    let (mut risk, url) = context.peers.risk()?;
    let request = context.request(GetRiskStatusRequest {}, CALL_WITHIN);
    Ok(answer(
        risk.get_risk_status(request).await,
        Service::Risk,
        &url,
        "GetRiskStatus",
    )?)
}
