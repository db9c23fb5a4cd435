use std::time::Duration;

use serde::Deserialize;
use thunes_types::text_kill_switch_activated;

use crate::action;
use crate::domain::{Evidence, EvidenceKind, Judgement, Measured, Value};
use crate::engine::{ActionResult, Context, Outcome, answer};
use crate::environment::{Ask, until};
use crate::error::ActionError;

/// How much longer than allowed is waited, so that a late alert is measured and not just missed.
const PATIENCE: u64 = 3;

/// The alert of the drill's activation was accepted by the Bot API in time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AwaitAlert {
    within_ms: u64,
}

action!(
    AwaitAlert,
    "await_alert",
    ["in_time"],
    "Waits for the alert of the activation and measures its delay."
);

impl AwaitAlert {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let switched = context.switched_on.clone();
        let switched =
            switched.ok_or_else(|| ActionError::NotMet("the drill did not activate the switch".to_owned()))?;
        let wanted = text_kill_switch_activated(&switched.reason);
        let patience = Duration::from_millis(self.within_ms * PATIENCE);
        let clients = context.clients();
        let receiver = clients
            .risk_status()
            .await?
            .alerts
            .map(|alerts| alerts.receiver)
            .unwrap_or_default();
        if !["telegram", "standin"].contains(&receiver.as_str()) {
            return Err(ActionError::NotMet(format!(
                "nobody receives alerts (receiver {receiver:?})"
            )));
        }
        let delivered = until("the alert to be accepted", patience, || async {
            match clients
                .risk_status()
                .await
                .map(|status| status.alerts.unwrap_or_default())
            {
                Ok(alerts) if alerts.last_delay_ms >= 0 && alerts.last_text.contains(&wanted) => Ask::Yes(alerts),
                Ok(alerts) => Ask::NotYet(format!(
                    "{} pending, last error {:?}",
                    alerts.pending, alerts.last_error
                )),
                Err(error) => Ask::NotYet(error.to_string()),
            }
        })
        .await;
        let alerts = match delivered {
            Ok(alerts) => alerts,
            Err(ActionError::TimedOut { waited_ms, last, .. }) => {
                let judgement = Judgement::Fail(Measured::seconds(waited_ms), format!("no alert in this time: {last}"));
                return Ok(Outcome::did("no alert came").finding("in_time", judgement, Vec::new()));
            }
            Err(error) => return Err(error),
        };
        let delay_ms = alerts.last_delay_ms;
        let in_time = u64::try_from(delay_ms).is_ok_and(|delay| delay <= self.within_ms);
        let judgement = Judgement::of(
            Measured::seconds(delay_ms),
            in_time,
            format!("later than {} ms", self.within_ms),
        );
        let mut evidence = vec![answer(format!("alert status (receiver: {receiver})"), &alerts)];
        if receiver == "standin" {
            evidence.push(self.heard(context, &wanted).await);
        }
        context.measure(
            "alert_delay",
            Value::seconds(delay_ms),
            "s",
            format!("receiver: {receiver}"),
        );
        let said = format!("receiver: {receiver}; accepted {delay_ms} ms after the activation");
        Ok(Outcome::did(said).finding("in_time", judgement, evidence))
    }

    /// What the stand-in itself says that it heard.
    async fn heard(&self, context: &Context, wanted: &str) -> Evidence {
        let heard = context.sim().standin_messages(&context.environment.standin_url()).await;
        let text = match heard {
            Ok(messages) => {
                let ours: Vec<_> = messages
                    .iter()
                    .filter(|message| message.to_string().contains(wanted))
                    .collect();
                format!("{} of {} messages carry the text: {ours:?}", ours.len(), messages.len())
            }
            Err(error) => format!("not to be had: {error}"),
        };
        Evidence::new(EvidenceKind::Answer, "the stand-in's own list of messages", text)
    }
}
