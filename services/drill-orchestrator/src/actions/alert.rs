use std::time::Duration;

use serde::Deserialize;
use thunes_proto::risk::v1::AlertStatus;
use thunes_types::{TEXT_ALERT_LATE, text_kill_switch_activated};

use crate::action;
use crate::domain::{Evidence, EvidenceKind, Judgement, Measured, Value};
use crate::engine::{ActionResult, Context, Outcome, answer};
use crate::environment::{Ask, until};
use crate::error::ActionError;

/// How much longer than allowed is waited, so that a late alert is measured and not just missed.
const PATIENCE: u64 = 3;

/// Risk says of an alert that it is late from this age on.
const LATE_MS: i64 = 5000;

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
        let receiver = context
            .clients()
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
        let alerts = match accepted(context, &wanted, switched.begun_at_ms, patience).await? {
            Ok(alerts) => alerts,
            Err((waited_ms, last)) => {
                let judgement = Judgement::Fail(Measured::seconds(waited_ms), format!("no alert in this time: {last}"));
                return Ok(Outcome::did("no alert came").finding("in_time", judgement, Vec::new()));
            }
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
            let text = match heard(context, &wanted, switched.begun_at_ms).await {
                Ok(ours) => format!("{} messages carry the text: {ours:?}", ours.len()),
                Err(error) => format!("not to be had: {error}"),
            };
            evidence.push(Evidence::new(
                EvidenceKind::Answer,
                "the stand-in's own list of messages",
                text,
            ));
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
}

/// Waits until the alert of the activation was accepted; after `patience` says how long was waited, and what was seen.
async fn accepted(
    context: &Context,
    wanted: &str,
    begun_at_ms: i64,
    patience: Duration,
) -> Result<Result<AlertStatus, (i64, String)>, ActionError> {
    let waited = until("the alert to be accepted", patience, || async {
        let status = context.clients().risk_status().await;
        match status.map(|status| status.alerts.unwrap_or_default()) {
            Ok(alerts) if is_of(&alerts, wanted, begun_at_ms) => Ask::Yes(alerts),
            Ok(alerts) => Ask::NotYet(format!(
                "{} pending, last error {:?}",
                alerts.pending, alerts.last_error
            )),
            Err(error) => Ask::NotYet(error.to_string()),
        }
    })
    .await;
    match waited {
        Ok(alerts) => Ok(Ok(alerts)),
        Err(ActionError::TimedOut { waited_ms, last, .. }) => Ok(Err((waited_ms, last))),
        Err(error) => Err(error),
    }
}

/// Whether the last alert that was accepted is that of an activation from `begun_at_ms` on; an earlier drill gave the same
/// reason.
fn is_of(alerts: &AlertStatus, wanted: &str, begun_at_ms: i64) -> bool {
    alerts.last_delay_ms >= 0
        && alerts.last_text.contains(wanted)
        && alerts.last_accepted_at_ms - alerts.last_delay_ms >= begun_at_ms
}

/// What the stand-in itself says that it heard of `wanted` since `begun_at_ms`.
async fn heard(context: &Context, wanted: &str, begun_at_ms: i64) -> Result<Vec<String>, ActionError> {
    let url = context.environment.place.standin_url();
    let messages = context.sim().standin_messages(&url).await?;
    let since = |message: &&serde_json::Value| message["accepted_at_ms"].as_i64() >= Some(begun_at_ms);
    let ours = messages.iter().filter(since).map(|message| message.to_string());
    Ok(ours.filter(|message| message.contains(wanted)).collect())
}

/// An alert that could not be delivered arrives once it can be, once, and says that it is late.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LateAlert {
    within_ms: u64,
}

action!(
    LateAlert,
    "late_alert",
    ["delivered", "says_so", "once"],
    "Waits for the alert that was held up, and reads what its receiver got."
);

impl LateAlert {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let switched = context.switched_on.clone();
        let switched =
            switched.ok_or_else(|| ActionError::NotMet("the drill did not activate the switch".to_owned()))?;
        let wanted = text_kill_switch_activated(&switched.reason);
        let held_ms = context.cut.mended_at_ms - context.cut.since_ms;
        let patience = Duration::from_millis(self.within_ms);
        let alerts = match accepted(context, &wanted, switched.begun_at_ms, patience).await? {
            Ok(alerts) => alerts,
            Err((waited_ms, last)) => {
                let judgement = Judgement::Fail(Measured::seconds(waited_ms), format!("the alert is lost: {last}"));
                return Ok(Outcome::did("no alert came").finding("delivered", judgement, Vec::new()));
            }
        };
        let delay_ms = alerts.last_delay_ms;
        context.measure(
            "alert_delay_after_outage",
            Value::seconds(delay_ms),
            "s",
            format!(
                "receiver: {}; it could not be reached for {held_ms} ms",
                alerts.receiver
            ),
        );
        let late = Judgement::of(
            Measured::seconds(delay_ms),
            alerts.last_accepted_at_ms >= context.cut.mend_begun_ms,
            "it was delivered before the receiver could be reached again",
        );
        let outcome = Outcome::did(format!(
            "delivered {delay_ms} ms after the activation, receiver: {}",
            alerts.receiver
        ))
        .finding("delivered", late, vec![answer("alert status", &alerts)]);
        if alerts.receiver != "standin" {
            return Ok(outcome);
        }
        let messages = heard(context, &wanted, switched.begun_at_ms).await?;
        let evidence = vec![Evidence::new(
            EvidenceKind::Answer,
            "what the stand-in heard of it",
            messages.join("\n"),
        )];
        if delay_ms < LATE_MS {
            let why = format!("{delay_ms} ms are not late");
            return Ok(outcome.finding("says_so", Judgement::inconclusive(why), evidence));
        }
        let says_so = messages.iter().any(|message| message.contains(TEXT_ALERT_LATE));
        let count = i64::try_from(messages.len()).unwrap_or(i64::MAX);
        Ok(outcome
            .finding(
                "says_so",
                Judgement::of_text(
                    messages.first().cloned().unwrap_or_default(),
                    says_so,
                    "the message does not say that it is late",
                ),
                evidence,
            )
            .finding(
                "once",
                Judgement::of(Measured::count(count), count == 1, "messages of this activation"),
                Vec::new(),
            ))
    }
}
