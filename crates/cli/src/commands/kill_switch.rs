use clap::{Args, Subcommand};
use thunes_proto::risk::v1::{
    ActivateKillSwitchRequest, ActivateKillSwitchResponse, DeactivateKillSwitchRequest, FenceOutcome,
    GetRiskStatusRequest, GetRiskStatusResponse,
};
use thunes_supervisor::embedded::Service;
use thunes_types::{text_kill_switch_activated, text_kill_switch_deactivated};

use crate::call::{ACTIVATE_WITHIN, CALL_WITHIN, Context, answer};
use crate::commands::risk::status_lines;
use crate::show::{micros, short, side, truth};

#[derive(Debug, Subcommand)]
pub enum KillSwitchCommand {
    /// Stop the opening of positions. Answers when the fence is closed.
    Activate(Change),
    /// Allow the opening of positions again.
    Deactivate(Change),
    /// How the switch stands.
    Status,
}

#[derive(Debug, Args)]
pub struct Change {
    /// Why; goes to the audit trail and the alert.
    #[arg(long)]
    pub reason: String,
    /// A name for this request, so that repeating it is harmless.
    #[arg(long, value_name = "ID", default_value = "")]
    pub request_id: String,
}

pub async fn run(command: KillSwitchCommand, context: &Context) -> anyhow::Result<u8> {
    match command {
        KillSwitchCommand::Activate(change) => activate(change, context).await?,
        KillSwitchCommand::Deactivate(change) => deactivate(change, context).await?,
        KillSwitchCommand::Status => status(context).await?,
    }
    Ok(0)
}

async fn activate(change: Change, context: &Context) -> anyhow::Result<()> {
    let (mut risk, url) = context.peers.risk()?;
    context.out.say("Activating kill-switch manually...");
    let request = ActivateKillSwitchRequest {
        reason: change.reason.clone(),
        request_id: change.request_id,
    };
    let request = context.request(request, ACTIVATE_WITHIN);
    let done = answer(
        risk.activate_kill_switch(request).await,
        Service::Risk,
        &url,
        "ActivateKillSwitch",
    )?;
    context.out.result(&done, || activated(&done, &change.reason))?;
    if !done.durable {
        eprintln!(
            "warning: the switch holds in memory only, no disk took it: it dies with the risk process; free its disk and \
             activate again"
        );
    }
    Ok(())
}

fn activated(done: &ActivateKillSwitchResponse, asked: &str) -> String {
    let reason = if done.reason.is_empty() { asked } else { &done.reason };
    let mut text = format!(
        "{}\nKill-switch active: {}\n",
        text_kill_switch_activated(reason),
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
    text
}

async fn deactivate(change: Change, context: &Context) -> anyhow::Result<()> {
    let (mut risk, url) = context.peers.risk()?;
    context.out.say("Deactivating kill-switch...");
    let request = DeactivateKillSwitchRequest {
        reason: change.reason.clone(),
        request_id: change.request_id,
    };
    let request = context.request(request, ACTIVATE_WITHIN);
    let done = answer(
        risk.deactivate_kill_switch(request).await,
        Service::Risk,
        &url,
        "DeactivateKillSwitch",
    )?;
    context.out.result(&done, || {
        let said = text_kill_switch_deactivated(&change.reason);
        let first = if done.changed {
            said
        } else {
            "It was not active; nothing changed.".to_owned()
        };
        format!(
            "{first}\nKill-switch active: {}\nEpoch: {}\n",
            truth(done.active),
            done.epoch
        )
    })?;
    if !done.durable {
        eprintln!("warning: no disk took the change: after a restart of risk the switch may be active again");
    }
    Ok(())
}

async fn status(context: &Context) -> anyhow::Result<()> {
    let status = fetch(context).await?;
    context.out.result(&status, || status_lines(&status))
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
