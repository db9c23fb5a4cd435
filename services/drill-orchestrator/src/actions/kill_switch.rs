use std::time::Duration;

use serde::Deserialize;
use thunes_proto::risk::v1::{ActivateKillSwitchResponse, FenceOutcome};
use thunes_runtime::clock;

use super::storm::{Answer, Storm};
use crate::action;
use crate::domain::{Evidence, EvidenceKind, Judgement, Measured, Value};
use crate::engine::{ActionResult, Context, Outcome, SwitchedOn, answer};
use crate::environment::{Ask, until};
use crate::error::ActionError;

/// Orders must be passing before it means anything that they stop.
const STORM_ACCEPTED_MIN: usize = 3;
/// And must still be tried after the answer.
const STORM_AFTER_MIN: usize = 3;
const STORM_WITHIN: Duration = Duration::from_secs(10);

/// Activates the switch, on request while BUY orders keep coming.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ActivateKillSwitch {
    reason: String,
    #[serde(default = "symbol")]
    symbol: String,
    /// How many callers keep sending BUY orders meanwhile.
    #[serde(default)]
    storm: usize,
    /// The gateway cannot be told: its fence must be its lease that ran out.
    #[serde(default)]
    by_lease: bool,
}

fn symbol() -> String {
    "BTCUSDT".to_owned()
}

action!(
    ActivateKillSwitch,
    "activate_kill_switch",
    ["activated", "fenced"],
    "Activates the kill-switch by RPC and measures the fence."
);

impl ActivateKillSwitch {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let storm = match self.storm {
            0 => None,
            callers => Some(self.start_storm(context, callers).await?),
        };
        let (begun, begun_at_ms) = (clock::instant(), clock::now_ms());
        let activated = context.clients().activate(&self.reason).await;
        let (answered_at_ms, took_us) = (clock::now_ms(), clock::elapsed_us(begun));
        let stormed = match storm {
            Some(storm) => self.end_storm(storm, answered_at_ms).await,
            None => Vec::new(),
        };
        let tried = (self.storm > 0).then_some(stormed.as_slice());
        let activated = activated?;
        let status = context.clients().risk_status().await?;
        context.switched_on = Some(SwitchedOn {
            reason: self.reason.clone(),
            begun_at_ms,
            answered_at_ms,
        });
        if context.drill_id == "T1" || !context.measurements.iter().any(|m| m.name == "activation_to_fence") {
            let detail = format!(
                "{} gateways; the caller's own clock says {took_us} µs",
                activated.gateways.len()
            );
            context.measure(
                "activation_to_fence",
                Value::seconds_us(activated.fenced_after_us),
                "s",
                detail,
            );
        }
        let holds = activated.active
            && activated.durable
            && status.kill_switch_active
            && status.kill_switch_reason == self.reason;
        let why = format!(
            "status says active {} for {:?}",
            status.kill_switch_active, status.kill_switch_reason
        );
        let said = format!(
            "active: {}, epoch {}, durable: {}, fenced after {} µs",
            activated.active, activated.epoch, activated.durable, activated.fenced_after_us
        );
        let evidence = vec![
            answer("ActivateKillSwitch", &activated),
            answer("risk status after it", &status),
        ];
        let mut fence_evidence = vec![answer("gateways", &activated.gateways)];
        if !stormed.is_empty() {
            fence_evidence.push(storm_evidence(&stormed, answered_at_ms));
        }
        Ok(Outcome::did(said.clone())
            .finding("activated", Judgement::of_text(said, holds, why), evidence)
            .finding(
                "fenced",
                self.judge_fence(&activated, tried, answered_at_ms),
                fence_evidence,
            ))
    }

    fn judge_fence(
        &self,
        activated: &ActivateKillSwitchResponse,
        storm: Option<&[Answer]>,
        answered_at_ms: i64,
    ) -> Judgement {
        let told = activated
            .gateways
            .iter()
            .find(|gateway| gateway.outcome() == FenceOutcome::Confirmed);
        match told {
            Some(gateway) if self.by_lease => {
                Judgement::inconclusive(format!("{} confirmed, so it was not cut off", gateway.id))
            }
            _ => fence(activated, storm, answered_at_ms),
        }
    }

    async fn start_storm(&self, context: &Context, callers: usize) -> Result<Storm, ActionError> {
        let storm = Storm::start(context.clients(), &self.symbol, callers);
        let passing = until("BUY orders to pass before the activation", STORM_WITHIN, || async {
            let accepted = storm.accepted();
            if accepted >= STORM_ACCEPTED_MIN {
                Ask::Yes(())
            } else {
                Ask::NotYet(format!("{accepted} accepted"))
            }
        })
        .await;
        match passing {
            Ok(()) => Ok(storm),
            Err(error) => {
                storm.end().await;
                Err(error)
            }
        }
    }

    async fn end_storm(&self, storm: Storm, answered_at_ms: i64) -> Vec<Answer> {
        // Whether enough came after is read from the answers; waiting longer would not change them.
        let _ = until("BUY orders to be tried after the activation", STORM_WITHIN, || async {
            let after = storm.sent_after(answered_at_ms).await;
            if after >= STORM_AFTER_MIN {
                Ask::Yes(())
            } else {
                Ask::NotYet(format!("{after} sent"))
            }
        })
        .await;
        storm.end().await
    }
}

/// Each gateway confirmed, or its lease ran out, and what was sent after the answer was denied; a fence around no gateway
/// shows nothing, and neither does one that nobody tried after it was closed.
fn fence(activated: &ActivateKillSwitchResponse, storm: Option<&[Answer]>, answered_at_ms: i64) -> Judgement {
    if activated.gateways.is_empty() {
        return Judgement::inconclusive("risk named no gateway, so nothing was fenced");
    }
    let mut wrong: Vec<String> = activated
        .gateways
        .iter()
        .filter(|gateway| match gateway.outcome() {
            FenceOutcome::Confirmed | FenceOutcome::LeaseExpired => false,
            FenceOutcome::Unspecified => true,
        })
        .map(|gateway| format!("no word and no expired lease of {}", gateway.id))
        .collect();
    if let Some(answers) = storm {
        let after: Vec<_> = answers
            .iter()
            .filter(|answer| answer.sent_at_ms > answered_at_ms)
            .collect();
        if after.len() < STORM_AFTER_MIN {
            return Judgement::inconclusive(format!("only {} BUY orders were tried after the answer", after.len()));
        }
        let passed = after.iter().filter(|answer| answer.accepted);
        wrong.extend(passed.map(|answer| format!("{} was sent after the answer and accepted", answer.client_order_id)));
    }
    Judgement::of(
        Measured::seconds_us(activated.fenced_after_us),
        wrong.is_empty(),
        wrong.join("; "),
    )
}

fn storm_evidence(answers: &[Answer], answered_at_ms: i64) -> Evidence {
    let before = answers.iter().filter(|answer| answer.accepted).count();
    let after: Vec<_> = answers
        .iter()
        .filter(|answer| answer.sent_at_ms > answered_at_ms)
        .collect();
    let mut text = format!(
        "{} BUY orders kept coming meanwhile: {before} accepted, {} sent after the answer at {answered_at_ms}, {} of these accepted\n",
        answers.len(),
        after.len(),
        after.iter().filter(|answer| answer.accepted).count()
    );
    for answer in answers {
        let relative = answer.sent_at_ms - answered_at_ms;
        text.push_str(&format!(
            "{relative:+} ms {} accepted={} {}\n",
            answer.client_order_id, answer.accepted, answer.said
        ));
    }
    Evidence::new(EvidenceKind::Timing, "orders around the activation", text)
}

/// The switch is off, for the reason that the procedure gave.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SwitchedOff {
    reason: String,
}

action!(
    SwitchedOff,
    "switched_off",
    ["inactive"],
    "Asks risk whether the switch is off, and why."
);

impl SwitchedOff {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let status = context.clients().risk_status().await?;
        let holds = !status.kill_switch_active && status.kill_switch_reason == self.reason;
        let said = format!(
            "active: {}, epoch {}, reason {:?}",
            status.kill_switch_active, status.epoch, status.kill_switch_reason
        );
        let evidence = vec![answer("risk status", &status)];
        Ok(Outcome::did(said.clone()).finding(
            "inactive",
            Judgement::of_text(said, holds, "the switch is not off for that reason"),
            evidence,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Verdict;
    use thunes_proto::risk::v1::GatewayFence;

    fn activated(outcomes: &[FenceOutcome]) -> ActivateKillSwitchResponse {
        let gateway = |outcome: &FenceOutcome| GatewayFence {
            outcome: (*outcome).into(),
            ..GatewayFence::default()
        };
        ActivateKillSwitchResponse {
            gateways: outcomes.iter().map(gateway).collect(),
            ..Default::default()
        }
    }

    fn answer(sent_at_ms: i64, accepted: bool) -> Answer {
        Answer {
            client_order_id: "x".into(),
            sent_at_ms,
            answered_at_ms: sent_at_ms,
            accepted,
            said: String::new(),
        }
    }

    #[test]
    fn p11_a_fence_that_nobody_tried_is_not_a_pass() {
        let closed = activated(&[FenceOutcome::Confirmed, FenceOutcome::LeaseExpired]);
        let late = [answer(11, false), answer(12, false), answer(13, false)];
        assert_eq!(fence(&closed, Some(&late), 10).verdict(), Verdict::Pass);
        assert_eq!(fence(&closed, Some(&late), 11).verdict(), Verdict::Inconclusive);
        assert_eq!(fence(&activated(&[]), Some(&late), 10).verdict(), Verdict::Inconclusive);
    }

    #[test]
    fn p11_a_gateway_that_confirmed_was_not_fenced_by_its_lease() {
        let action = |by_lease| ActivateKillSwitch {
            reason: "r".into(),
            symbol: symbol(),
            storm: 0,
            by_lease,
        };
        let verdict = |by_lease, outcome| {
            let judgement = action(by_lease).judge_fence(&activated(&[outcome]), None, 10);
            judgement.verdict()
        };
        assert_eq!(verdict(true, FenceOutcome::LeaseExpired), Verdict::Pass);
        assert_eq!(verdict(true, FenceOutcome::Confirmed), Verdict::Inconclusive);
        assert_eq!(verdict(true, FenceOutcome::Unspecified), Verdict::Fail);
        assert_eq!(verdict(false, FenceOutcome::Confirmed), Verdict::Pass);
    }

    #[test]
    fn p1_an_order_that_passes_after_the_answer_breaks_the_fence() {
        let closed = activated(&[FenceOutcome::Confirmed]);
        let late = [answer(9, true), answer(11, true), answer(12, false), answer(13, false)];
        assert_eq!(fence(&closed, Some(&late), 10).verdict(), Verdict::Fail);
        let silent = activated(&[FenceOutcome::Confirmed, FenceOutcome::Unspecified]);
        assert_eq!(fence(&silent, None, 10).verdict(), Verdict::Fail);
    }
}
