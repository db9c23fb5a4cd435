use std::time::Duration;

use serde::Deserialize;
use thunes_proto::types::v1::Side;
use thunes_runtime::clock;
use thunes_supervisor::embedded::Service;
use thunes_types::TEXT_KILL_SWITCH_DENIED;

use crate::action;
use crate::domain::{EvidenceKind, Judgement};
use crate::engine::{ActionResult, Context, Outcome, answer};
use crate::environment::{Ask, until};
use crate::error::ActionError;

const BACK_WITHIN: Duration = Duration::from_secs(20);
/// A switch that is first forgotten and then learned again from a gateway was open in between, so it is looked at from
/// the first answer on and for longer than a gateway takes to come back.
const WATCHED: Duration = Duration::from_millis(1500);

/// `kill -9` of risk while the switch is active; it comes back active.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RestartWhileActive {
    #[serde(default = "symbol")]
    symbol: String,
}

fn symbol() -> String {
    "BTCUSDT".to_owned()
}

action!(
    RestartWhileActive,
    "restart_risk_while_active",
    ["still_active"],
    "Kills risk with SIGKILL while the switch is active, starts it again and watches the switch."
);

impl RestartWhileActive {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let before = context.clients().risk_status().await?;
        if !before.kill_switch_active {
            return Err(ActionError::NotMet(
                "the switch is not active before the kill".to_owned(),
            ));
        }
        let begun = clock::instant();
        let exit = context.targets().kill(Service::Risk).await?;
        context.targets().start(Service::Risk).await?;
        let clients = context.clients();
        let first = until("risk to answer again", BACK_WITHIN, || async {
            clients
                .risk_status()
                .await
                .map_or_else(|error| Ask::NotYet(error.to_string()), Ask::Yes)
        })
        .await?;
        let back_after_ms = clock::elapsed_ms(begun);
        let (mut looks, mut open) = (1, usize::from(!first.kill_switch_active));
        let watched = clock::instant();
        while watched.elapsed() < WATCHED {
            looks += 1;
            open += usize::from(!clients.risk_status().await?.kill_switch_active);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let denied = clients.validate(&self.symbol, "100", Side::Buy).await?;
        let said = format!(
            "active at {} of {looks} looks, epoch {} as before {}",
            looks - open,
            first.epoch,
            before.epoch
        );
        let holds =
            open == 0 && first.epoch == before.epoch && !denied.valid && denied.reason == TEXT_KILL_SWITCH_DENIED;
        let why = format!(
            "inactive at {open} looks; epoch {} became {}; a BUY is told {:?}",
            before.epoch, first.epoch, denied.reason
        );
        let mut outcome = Outcome::did(said.clone()).finding(
            "still_active",
            Judgement::of_text(said, holds, why),
            vec![
                answer("the first status after the restart", &first),
                answer("ValidateTrade BUY after it", &denied),
            ],
        );
        outcome = outcome.evidence(
            EvidenceKind::Timing,
            "kill and restart of risk",
            format!("{exit}; answered again after {back_after_ms} ms"),
        );
        Ok(outcome)
    }
}
