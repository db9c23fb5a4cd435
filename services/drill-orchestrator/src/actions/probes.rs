use std::time::Duration;

use serde::Deserialize;

use crate::action;
use crate::engine::{ActionResult, Context, Outcome, answer};
use crate::environment::{Ask, Clients, until};
use crate::error::ActionError;

/// Every service answers, the user data stream is up, and opening is allowed unless the switch is active.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServicesServing {
    #[serde(default = "serving_within_ms")]
    within_ms: u64,
}

fn serving_within_ms() -> u64 {
    20_000
}

action!(
    ServicesServing,
    "services_serving",
    [],
    "Waits until every service serves."
);

impl ServicesServing {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let clients = context.clients();
        let ask = || async { serving(clients).await.map_or_else(Ask::NotYet, Ask::Yes) };
        let said = until("every service to serve", Duration::from_millis(self.within_ms), ask).await?;
        Ok(Outcome::did(said))
    }
}

async fn serving(clients: &Clients) -> Result<String, String> {
    let (risk, position, audit, gateway) = tokio::join!(
        clients.risk_status(),
        clients.position_count(),
        clients.audit_status(),
        clients.gateway_status()
    );
    let text = |error: ActionError| error.to_string();
    let (risk, gateway) = (risk.map_err(text)?, gateway.map_err(text)?);
    position.map_err(text)?;
    audit.map_err(text)?;
    if !gateway.stream_connected {
        return Err("the gateway's user data stream is not connected".to_owned());
    }
    if !risk.positions_fresh {
        return Err(format!("risk's view of the book is {} ms old", risk.positions_age_ms));
    }
    if !risk.kill_switch_active && !gateway.opening_allowed {
        return Err(format!("opening is refused: {}", gateway.opening_refused_reason_code));
    }
    Ok(format!("every service answers; exchange {}", gateway.environment))
}

/// The switch is active, or is not.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SwitchIs {
    active: bool,
}

action!(SwitchIs, "switch_is", [], "Fails unless the kill-switch is as said.");

impl SwitchIs {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let status = context.clients().risk_status().await?;
        let said = format!(
            "kill-switch active: {} (epoch {})",
            status.kill_switch_active, status.epoch
        );
        if status.kill_switch_active == self.active {
            Ok(Outcome::did(said))
        } else {
            Err(ActionError::NotMet(format!(
                "{said}; reason: {:?}",
                status.kill_switch_reason
            )))
        }
    }
}

/// The form's "record pre-test state".
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordState {}

action!(
    RecordState,
    "record_state",
    [],
    "Keeps risk status, positions and balances as evidence."
);

impl RecordState {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let clients = context.clients();
        let (status, positions) = (clients.risk_status().await?, clients.positions().await?);
        let account = clients.account().await?;
        let mut outcome = Outcome::did(format!(
            "Kill-switch active: {}; Daily P&L: {}; Open positions: {}",
            status.kill_switch_active, status.daily_pnl, status.open_positions
        ));
        outcome.evidence = vec![
            answer("risk status", &status),
            answer("positions", &positions),
            answer("balances at the exchange", &account),
        ];
        Ok(outcome)
    }
}
