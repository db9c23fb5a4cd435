use anyhow::ensure;
use clap::{Args, Subcommand};
use thunes_proto::risk::v1::{GetRiskStatusResponse, Limits, UpdateLimitsRequest, ValidateTradeRequest};
use thunes_supervisor::embedded::Service;

use crate::call::{CALL_WITHIN, Context, answer};
use crate::commands::kill_switch::fetch;
use crate::commands::trade::SideArg;
use crate::failure::Usage;
use crate::output::{Facts, Table};
use crate::show::{checks, reason_code, side, time, truth, yes_no};

#[derive(Debug, Subcommand)]
pub enum RiskCommand {
    /// Everything that the gate stands on.
    Status,
    /// The limits.
    #[command(subcommand)]
    Limits(LimitsCommand),
    /// What the gate would say to such a trade now; nothing is reserved or recorded.
    Validate(ValidateArgs),
}

#[derive(Debug, Subcommand)]
pub enum LimitsCommand {
    /// Show the limits.
    Show,
    /// Change limits; what is left out keeps its value.
    Set(Box<SetArgs>),
}

#[derive(Debug, Args)]
pub struct SetArgs {
    /// Why; goes to the audit trail.
    #[arg(long)]
    reason: String,
    #[arg(long, value_name = "ID", default_value = "")]
    request_id: String,
    /// Quote, per order.
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
    order_notional_max: Option<String>,
    /// Quote, per symbol.
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
    position_notional_max: Option<String>,
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    open_positions_max: Option<i64>,
    /// Quote, positive; the switch is activated when the day's P&L falls to minus this.
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
    daily_loss_max: Option<String>,
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    orders_per_minute_max: Option<i64>,
    /// Hundredths of a percent.
    #[arg(long, value_name = "BPS", allow_negative_numbers = true)]
    price_collar_bps: Option<i64>,
    /// Replaces the whole list; joined by commas.
    #[arg(long, value_name = "SYMBOLS", value_delimiter = ',')]
    allowed_symbols: Vec<String>,
    /// Milliseconds; 0 turns the check off.
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    duplicate_window_ms: Option<i64>,
}

#[derive(Debug, Args)]
pub struct ValidateArgs {
    #[arg(long)]
    symbol: String,
    #[arg(long, value_enum, ignore_case = true)]
    side: SideArg,
    /// In the quote asset.
    #[arg(long, allow_negative_numbers = true)]
    amount: String,
    #[arg(long, default_value = "cli")]
    strategy: String,
}

pub async fn run(command: RiskCommand, context: &Context) -> anyhow::Result<u8> {
    match command {
        RiskCommand::Status => status(context).await?,
        RiskCommand::Limits(LimitsCommand::Show) => {
            let limits = fetch(context).await?.limits.unwrap_or_default();
            context.out.result(&limits, || limit_lines(&limits))?;
        }
        RiskCommand::Limits(LimitsCommand::Set(args)) => set(*args, context).await?,
        RiskCommand::Validate(args) => validate(args, context).await?,
    }
    Ok(0)
}

async fn status(context: &Context) -> anyhow::Result<()> {
    let status = fetch(context).await?;
    context.out.result(&status, || {
        let limits = status.limits.as_ref().map(limit_lines).unwrap_or_default();
        format!("{}\n{}\nLimits\n{limits}", status_lines(&status), more_lines(&status))
    })
}

/// The form's three lines first, then why and since when.
pub fn status_lines(status: &GetRiskStatusResponse) -> String {
    let pnl = if status.daily_pnl.is_empty() {
        "unknown (position does not answer)"
    } else {
        &status.daily_pnl
    };
    let mut text = format!(
        "Kill-switch active: {}\nDaily P&L: {pnl}\nOpen positions: {}\n",
        truth(status.kill_switch_active),
        status.open_positions
    );
    if !status.kill_switch_reason.is_empty() {
        let (reason, at) = (&status.kill_switch_reason, time(status.kill_switch_changed_at_ms));
        text += &format!(
            "Because: {reason} ({}, {at}, epoch {})\n",
            status.kill_switch_actor, status.epoch
        );
    }
    if !status.kill_switch_durable {
        text += "Warning: this state is not on disk; it dies with the risk process\n";
    }
    text
}

fn more_lines(status: &GetRiskStatusResponse) -> String {
    let mut facts = Facts::default();
    facts.add("Epoch", status.epoch.to_string());
    let fresh = format!(
        "{} ({} ms old, revision {})",
        yes_no(status.positions_fresh),
        status.positions_age_ms,
        status.positions_revision
    );
    facts.add("Positions fresh", fresh);
    facts.add(
        "Reserved",
        format!("{} orders, notional {}", status.reservations, status.reserved_notional),
    );
    if let Some(alerts) = &status.alerts {
        let delay = if alerts.last_delay_ms < 0 {
            String::new()
        } else {
            format!(", last after {} ms", alerts.last_delay_ms)
        };
        let counts = format!("{} delivered, {} pending{delay}", alerts.delivered, alerts.pending);
        facts.add("Alerts", format!("receiver: {}, {counts}", alerts.receiver));
        if !alerts.last_error.is_empty() {
            facts.add("Last alert error", &alerts.last_error);
        }
    }
    if let Some(outbox) = &status.audit_outbox {
        facts.add(
            "Audit outbox",
            format!("{} events, oldest {} ms", outbox.depth, outbox.oldest_age_ms),
        );
    }
    let mut text = facts.render();
    if !status.gateways.is_empty() {
        let mut table = Table::new(&[
            "GATEWAY",
            "CONNECTED",
            "LEASE UNTIL",
            ">CONFIRMED EPOCH",
            ">LIVE",
            ">IN DOUBT",
        ]);
        for gateway in &status.gateways {
            table.row([
                gateway.id.clone(),
                yes_no(gateway.connected).to_owned(),
                time(gateway.lease_end_ms),
                gateway.confirmed_epoch.to_string(),
                gateway.live_orders.to_string(),
                gateway.in_doubt_orders.to_string(),
            ]);
        }
        text += &format!("\n{}", table.render());
    }
    text
}

fn limit_lines(limits: &Limits) -> String {
    let mut facts = Facts::default();
    facts.add(
        "order_notional_max",
        format!("{} (quote, per order)", limits.order_notional_max),
    );
    facts.add(
        "position_notional_max",
        format!("{} (quote, per symbol)", limits.position_notional_max),
    );
    facts.add("open_positions_max", limits.open_positions_max.to_string());
    facts.add("daily_loss_max", format!("{} (quote)", limits.daily_loss_max));
    facts.add("orders_per_minute_max", limits.orders_per_minute_max.to_string());
    facts.add("price_collar_bps", format!("{} bps", limits.price_collar_bps));
    facts.add("allowed_symbols", limits.allowed_symbols.join(", "));
    facts.add("duplicate_window_ms", format!("{} ms", limits.duplicate_window_ms));
    facts.render()
}

async fn set(args: SetArgs, context: &Context) -> anyhow::Result<()> {
    let request = UpdateLimitsRequest {
        reason: args.reason,
        request_id: args.request_id,
        order_notional_max: args.order_notional_max,
        position_notional_max: args.position_notional_max,
        open_positions_max: args.open_positions_max,
        daily_loss_max: args.daily_loss_max,
        orders_per_minute_max: args.orders_per_minute_max,
        price_collar_bps: args.price_collar_bps,
        allowed_symbols: args.allowed_symbols,
        duplicate_window_ms: args.duplicate_window_ms,
    };
    let nothing = UpdateLimitsRequest {
        reason: request.reason.clone(),
        request_id: request.request_id.clone(),
        ..UpdateLimitsRequest::default()
    };
    ensure!(
        request != nothing,
        Usage("name at least one limit to change, such as --order-notional-max 500".to_owned())
    );
    let (mut risk, url) = context.peers.risk()?;
    let request = context.request(request, CALL_WITHIN);
    let done = answer(risk.update_limits(request).await, Service::Risk, &url, "UpdateLimits")?;
    context.out.result(&done, || {
        let limits = done.limits.as_ref().map(limit_lines).unwrap_or_default();
        format!("Limits changed; they are now:\n{limits}")
    })
}

async fn validate(args: ValidateArgs, context: &Context) -> anyhow::Result<()> {
    let (mut risk, url) = context.peers.risk()?;
    let wanted = args.side.proto();
    let request = ValidateTradeRequest {
        symbol: args.symbol,
        quote_amount: args.amount,
        side: wanted.into(),
        strategy_id: args.strategy,
    };
    let request = context.request(request, CALL_WITHIN);
    let said = answer(risk.validate_trade(request).await, Service::Risk, &url, "ValidateTrade")?;
    context.out.result(&said, || {
        let (side, valid) = (side(wanted), truth(said.valid));
        let code = reason_code(&said.reason_code);
        format!(
            "{side} order valid: {valid}\nReason: {}\nReason code: {code}\n{}",
            said.reason,
            checks(&said.checks)
        )
    })
}
