use std::time::Duration;

use serde::Deserialize;
use thunes_proto::gateway::v1::OrderState;
use thunes_runtime::clock;

use crate::action;
use crate::domain::{Evidence, EvidenceKind, Judgement, Measured, Value};
use crate::engine::{ActionResult, Context, Outcome};
use crate::environment::{Ask, until};
use crate::error::ActionError;

/// Longer than an order that never arrived stays in doubt.
const KNOWN_WITHIN: Duration = Duration::from_secs(60);
const LOOPS_END_WITHIN: Duration = Duration::from_secs(40);

/// Lets the trader end, every order become known and every outbox empty.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settle {
    /// The longest that an order's fate may stay unknown.
    resolved_within_ms: i64,
    /// The longest that a service may be away.
    recovered_within_ms: i64,
    /// Everything that waits for another service is delivered by then.
    #[serde(default = "delivered_within_ms")]
    delivered_within_ms: u64,
}

fn delivered_within_ms() -> u64 {
    15_000
}

action!(
    Settle,
    "settle",
    ["resolved", "recovered", "delivered"],
    "Ends the trader, waits until nothing is in doubt or undelivered, and sums up the times."
);

impl Settle {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let trader_exit = match &context.trade_loop {
            Some(trade_loop) if trade_loop.target.is_running() => {
                trade_loop.target.stop(LOOPS_END_WITHIN).await?.to_string()
            }
            Some(_) => return Err(ActionError::NotMet("the trader had ended by itself".to_owned())),
            None => return Err(ActionError::NotMet("no trader was started".to_owned())),
        };
        context.sim().slow_orders(0).await?;
        let (resolved, resolution_evidence) = self.resolution(context).await;
        let begun = clock::instant();
        let within = Duration::from_millis(self.delivered_within_ms);
        let quiet = until("every outbox to be empty", within, || quiet(context)).await;
        let took = Measured::seconds(clock::elapsed_ms(begun));
        let (quiet, delivered) = match quiet {
            Ok(said) => (said, Judgement::Pass(took)),
            Err(error) => (error.to_string(), Judgement::Fail(took, error.to_string())),
        };
        let said = format!("the trader: {trader_exit}; {quiet}");
        Ok(Outcome::did(said)
            .finding("delivered", delivered, Vec::new())
            .finding("resolved", resolved, vec![resolution_evidence])
            .finding("recovered", self.recovery(context), vec![recovery_evidence(context)]))
    }

    async fn resolution(&self, context: &mut Context) -> (Judgement, Evidence) {
        let mut worst: Option<(String, i64)> = None;
        let (mut lines, mut open) = (Vec::new(), Vec::new());
        for (name, watch) in std::mem::take(&mut context.crash.resolutions) {
            match watch.await {
                Ok(Ok(ms)) => {
                    lines.push(format!("{name}: every order known after {ms} ms"));
                    context.measure(
                        format!("resolution_time.{name}"),
                        Value::seconds(ms),
                        "s",
                        "from the kill until every order's fate was known",
                    );
                    if worst.as_ref().is_none_or(|(_, known)| ms > *known) {
                        worst = Some((name, ms));
                    }
                }
                Ok(Err(error)) => open.push(format!("{name}: {error}")),
                Err(error) => open.push(format!("{name}: the watch failed: {error}")),
            }
        }
        lines.extend(open.iter().cloned());
        let evidence = Evidence::new(EvidenceKind::Timing, "until every order was known", lines.join("\n"));
        let judgement = match (worst, open.is_empty()) {
            (Some((name, ms)), true) => Judgement::of(
                Measured::seconds(ms),
                ms <= self.resolved_within_ms,
                format!("too long after the kill of {name}"),
            ),
            (Some((_, ms)), false) => Judgement::Fail(Measured::seconds(ms), open.join("; ")),
            (None, _) => Judgement::inconclusive(if open.is_empty() {
                "nothing was killed".to_owned()
            } else {
                open.join("; ")
            }),
        };
        (judgement, evidence)
    }

    fn recovery(&self, context: &Context) -> Judgement {
        let missing: Vec<_> = context
            .crash
            .kills
            .iter()
            .filter(|kill| kill.recovery_ms.is_none())
            .collect();
        let worst = context
            .crash
            .kills
            .iter()
            .filter_map(|kill| Some((kill.recovery_ms?, &kill.target)))
            .max();
        match worst {
            _ if !missing.is_empty() => Judgement::inconclusive(format!("{} did not come back", missing[0].target)),
            Some((ms, target)) => Judgement::of(
                Measured::seconds(ms),
                ms <= self.recovered_within_ms,
                format!("{target} took too long"),
            ),
            None => Judgement::inconclusive("nothing was killed"),
        }
    }
}

fn recovery_evidence(context: &Context) -> Evidence {
    let lines = context.crash.kills.iter().map(|kill| {
        let back = kill
            .recovery_ms
            .map_or(kill.trouble.clone(), |ms| format!("serving again after {ms} ms"));
        format!(
            "{}: killed at {} ms UTC ({}); {back}",
            kill.target, kill.killed_at_ms, kill.exit
        )
    });
    Evidence::new(
        EvidenceKind::Timing,
        "kills and restarts",
        lines.collect::<Vec<_>>().join("\n"),
    )
}

/// The book is what the exchange says, and nothing is on its way: what trades back must not stand on less.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BecomeQuiet {}

action!(
    BecomeQuiet,
    "become_quiet",
    [],
    "Waits until every order is known, and every fill and audit event delivered."
);

impl BecomeQuiet {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        Ok(Outcome::did(until_quiet(context).await?))
    }
}

/// Waits until nothing is on its way.
///
/// # Errors
/// When something stays on its way.
pub(super) async fn until_quiet(context: &Context) -> Result<String, ActionError> {
    until("everything to be known and delivered", KNOWN_WITHIN, || async {
        match context
            .clients()
            .orders(&[OrderState::Intent, OrderState::InDoubt])
            .await
        {
            Ok(open) if open.is_empty() => quiet(context).await,
            Ok(open) => Ask::NotYet(format!("{} orders not known", open.len())),
            Err(error) => Ask::NotYet(error.to_string()),
        }
    })
    .await
}

/// Nothing is on its way between the services any more.
async fn quiet(context: &Context) -> Ask<String> {
    let clients = context.clients();
    let (gateway, risk) = tokio::join!(clients.gateway_status(), clients.risk_status());
    let (gateway, risk) = match (gateway, risk) {
        (Ok(gateway), Ok(risk)) => (gateway, risk),
        (Err(error), _) | (_, Err(error)) => return Ask::NotYet(error.to_string()),
    };
    let risk_waits = risk.audit_outbox.map_or(0, |outbox| outbox.depth);
    let waits = [
        ("orders in doubt", gateway.orders_in_doubt),
        ("fills for position", gateway.fills_undelivered),
        ("audit events of the gateway", gateway.audit_outbox_depth),
        ("audit events of risk", risk_waits),
    ];
    let open: Vec<_> = waits
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(what, count)| format!("{count} {what}"))
        .collect();
    if open.is_empty() {
        Ask::Yes("nothing is in doubt or undelivered".to_owned())
    } else {
        Ask::NotYet(open.join(", "))
    }
}
