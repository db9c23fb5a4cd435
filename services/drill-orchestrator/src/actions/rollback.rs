use std::time::Duration;

use futures_util::future::join_all;
use rust_decimal::Decimal;
use serde::Deserialize;
use thunes_proto::gateway::v1::{OrderState, OrderType, SubmitOrderRequest};
use thunes_proto::types::v1::Side;
use thunes_supervisor::embedded::Service;
use thunes_supervisor::{SupervisorError, Targets};
use thunes_types::{checked_sub, floor_to_step};

use super::orders::{decimal, is_ended, submit_to_end};
use super::settle::until_quiet;
use crate::action;
use crate::engine::{ActionResult, Context, Outcome};
use crate::environment::{Ask, until};
use crate::error::ActionError;

const OPENING_WITHIN: Duration = Duration::from_secs(10);

/// The switch is as it was found.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RestoreKillSwitch {}

action!(
    RestoreKillSwitch,
    "restore_kill_switch",
    [],
    "Puts the kill-switch back to how it was found."
);

impl RestoreKillSwitch {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let now = context.clients().risk_status().await?.kill_switch_active;
        let found = context.found.kill_switch_active;
        if now == found {
            return Ok(Outcome::did(format!("it is as it was found: active {found}")));
        }
        let after = if found {
            let reason: String = format!("DRILL: rollback to {}", context.found.kill_switch_reason)
                .chars()
                .take(512)
                .collect();
            context.clients().activate(&reason).await?.active
        } else {
            context
                .clients()
                .deactivate("DRILL: rollback to as found, not active")
                .await?
                .active
        };
        context.switched_on = None;
        if after == found {
            Ok(Outcome::did(format!("active {now} became {after}")))
        } else {
            Err(not_restored(after))
        }
    }
}

fn not_restored(active: bool) -> ActionError {
    ActionError::NotMet(format!("the switch stayed as it was: active {active}"))
}

/// No order of the drill rests at the exchange.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CancelOpenOrders {}

action!(
    CancelOpenOrders,
    "cancel_open_orders",
    [],
    "Cancels every order that was not open before."
);

impl CancelOpenOrders {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let clients = context.clients();
        let open = clients.orders(&[OrderState::New, OrderState::PartiallyFilled]).await?;
        let ours = open
            .iter()
            .filter(|order| !context.found.open_orders.contains(&order.client_order_id));
        let ours: Vec<_> = ours.map(|order| order.client_order_id.clone()).collect();
        if ours.is_empty() {
            return Ok(Outcome::did("no order of the drill is open"));
        }
        // One that filled meanwhile must not keep the others open.
        let mut failed = Vec::new();
        for id in &ours {
            if let Err(error) = clients.cancel(id, "DRILL: rollback").await {
                let still_open = clients.order(id).await.is_ok_and(|order| !is_ended(order.state()));
                if still_open {
                    failed.push(format!("{id}: {error}"));
                }
            }
        }
        if !failed.is_empty() {
            return Err(ActionError::NotMet(format!("still open: {}", failed.join("; "))));
        }
        Ok(Outcome::did(format!("canceled {}", ours.join(", "))))
    }
}

/// What the drill bought is sold again, and what it sold is bought back; dust stays and is named.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CloseLeftovers {}

action!(
    CloseLeftovers,
    "close_leftovers",
    [],
    "Trades positions back to what they were."
);

impl CloseLeftovers {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        if context.clients().gateway_status().await?.environment == "live" {
            return Err(ActionError::NotMet(
                "positions of a live account are left to a person".to_owned(),
            ));
        }
        until_quiet(context).await?;
        let (book, mut said) = (context.clients().holding().await?, Vec::new());
        for (symbol, now) in book {
            let before = context
                .found
                .positions
                .get(&symbol)
                .map_or(Ok(Decimal::ZERO), |text| decimal("found", text))?;
            let difference = checked_sub(now, before).map_err(crate::domain::FoldError::from)?;
            if !difference.is_zero() {
                said.push(trade_back(context, &symbol, difference).await?);
            }
        }
        Ok(Outcome::did(if said.is_empty() {
            "every position is as it was".to_owned()
        } else {
            said.join("; ")
        }))
    }
}

async fn trade_back(context: &Context, symbol: &str, difference: Decimal) -> Result<String, ActionError> {
    let step = context
        .sim()
        .symbols()
        .await?
        .get(symbol)
        .map(|rules| rules.step)
        .unwrap_or_default();
    let quantity = floor_to_step(difference.abs(), step)
        .map_err(|error| ActionError::NotMet(format!("{symbol}: {difference} cannot be traded back: {error}")))?;
    if quantity.is_zero() {
        return Ok(format!("{symbol}: {difference} is less than a step and stays"));
    }
    let side = if difference > Decimal::ZERO {
        Side::Sell
    } else {
        Side::Buy
    };
    if side == Side::Buy {
        opening_allowed(context).await?;
    }
    let order = SubmitOrderRequest {
        client_order_id: context.new_order_id(),
        symbol: symbol.to_owned(),
        side: side.into(),
        r#type: OrderType::Market.into(),
        quantity: quantity.to_string(),
        strategy_id: "drill".to_owned(),
        ..SubmitOrderRequest::default()
    };
    let order = submit_to_end(context.clients(), order).await?;
    match (order.state(), order.reason_code.as_str()) {
        (OrderState::Filled, _) => Ok(format!("{symbol}: {} {quantity}", side.as_str_name())),
        (_, "FILTER_FAILED") => Ok(format!("{symbol}: {quantity} is too little to trade and stays")),
        (state, _) => Err(ActionError::NotMet(format!(
            "{symbol}: {quantity} ended as {} ({})",
            state.as_str_name(),
            order.reason
        ))),
    }
}

async fn opening_allowed(context: &Context) -> Result<(), ActionError> {
    until("the gateway to be allowed to open", OPENING_WITHIN, || async {
        match context.clients().gateway_status().await {
            Ok(status) if status.opening_allowed => Ask::Yes(()),
            Ok(status) => Ask::NotYet(status.opening_refused_reason_code),
            Err(error) => Ask::NotYet(error.to_string()),
        }
    })
    .await
}

/// Every process that the drill ended runs again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RestartWhatIsDown {}

action!(
    RestartWhatIsDown,
    "restart_what_is_down",
    [],
    "Resumes and starts every service of the environment that is paused or down."
);

impl RestartWhatIsDown {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let targets = context.targets();
        // One that is gone must not keep the others down.
        let (mut down, mut failed) = (Vec::new(), Vec::new());
        for service in targets.services() {
            match resumed_and_running(targets, service).await {
                Ok(true) => {}
                Ok(false) => down.push(service),
                Err(error) => failed.push(format!("{service}: {error}")),
            }
        }
        let starts = join_all(down.iter().map(|service| targets.start(*service))).await;
        failed.extend(
            down.iter()
                .zip(starts)
                .filter_map(|(service, started)| Some(format!("{service}: {}", started.err()?))),
        );
        if !failed.is_empty() {
            return Err(ActionError::NotMet(format!(
                "not everything runs again: {}",
                failed.join("; ")
            )));
        }
        let names: Vec<_> = down.iter().map(|service| service.name()).collect();
        Ok(Outcome::did(if names.is_empty() {
            "everything runs".to_owned()
        } else {
            format!("started {}", names.join(", "))
        }))
    }
}

/// Resumes it if it is paused; says whether it runs.
async fn resumed_and_running(targets: &dyn Targets, service: Service) -> Result<bool, SupervisorError> {
    if targets.is_paused(service).await? {
        targets.resume(service).await?;
    }
    targets.is_running(service).await
}
