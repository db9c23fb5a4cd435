//! An order whose answer was cut off.

use std::time::Duration;

use serde::Deserialize;
use thunes_proto::gateway::v1::{Order, OrderState};
use thunes_proto::types::v1::Side;
use thunes_runtime::clock;

use super::network::begin;
use super::orders::{is_ended, ledger_evidence, market};
use crate::action;
use crate::domain::{Evidence, EvidenceKind, Judgement, Measured, Value};
use crate::engine::{ActionResult, Context, Outcome, answer};
use crate::environment::{Ask, Fault, FaultKind, until};
use crate::error::ActionError;

const ARRIVES_WITHIN: Duration = Duration::from_secs(5);
/// The gateway gives up on the exchange's answer by then.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);
const EXCHANGE_LINK: &str = "exchange-gateway:exchange";

/// Sends an order, and cuts the gateway off while the exchange has it and has not answered.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CutInFlight {
    symbol: String,
    amount: String,
    kind: FaultKind,
    /// How long the exchange takes for the order; the cut falls into this time.
    exchange_latency_ms: i64,
}

action!(
    CutInFlight,
    "cut_in_flight",
    ["in_flight", "in_doubt"],
    "Cuts the gateway off from the exchange while an order is there and unanswered."
);

impl CutInFlight {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        context.sim().slow_orders(self.exchange_latency_ms).await?;
        let held_before = context.sim().slowed_orders().await?;
        begin(context).await?;
        let id = context.new_order_id();
        let (clients, order) = (
            context.clients().clone(),
            market(&id, &self.symbol, Side::Buy, &self.amount),
        );
        let sending = tokio::spawn(async move { clients.submit(order).await });
        until("the order to be at the exchange", ARRIVES_WITHIN, || async {
            match context.sim().slowed_orders().await {
                Ok(held) if held > held_before => Ask::Yes(()),
                Ok(_) => Ask::NotYet("it has not arrived".to_owned()),
                Err(error) => Ask::NotYet(error.to_string()),
            }
        })
        .await?;
        let fault = Fault {
            kind: self.kind,
            ms: None,
        };
        context
            .environment
            .network
            .set(fault, |name| name == EXCHANGE_LINK)
            .await?;
        // Unanswered after the cut is in flight at the cut.
        let unanswered = !sending.is_finished();
        context.cut.since_ms = clock::now_ms();
        context.cut.links = vec![EXCHANGE_LINK.to_owned()];
        context.cut.in_flight = Some(id.clone());
        let told = tokio::time::timeout(ANSWERED_WITHIN, sending).await;
        let told = match told {
            Ok(Ok(Ok(answer))) => format!("{:?}", answer.order.map(|order| order.state())),
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "nothing".to_owned(),
        };
        let doubted = until("the order to be in doubt", ANSWERED_WITHIN, || async {
            match context.clients().order(&id).await {
                Ok(order) if order.state() == OrderState::Intent => Ask::NotYet("INTENT".to_owned()),
                Ok(order) => Ask::Yes(order),
                Err(error) => Ask::NotYet(error.to_string()),
            }
        })
        .await?;
        Ok(judge(&doubted, &told, unanswered))
    }
}

fn judge(order: &Order, told: &str, unanswered: bool) -> Outcome {
    let state = order.state();
    let id = &order.client_order_id;
    let said = format!("{id}: cut while the exchange had it; the caller was told {told}; the gateway has {state:?}");
    let evidence = vec![
        answer("the order after the cut", order),
        Evidence::new(EvidenceKind::Note, "what the caller was told", told),
    ];
    if !unanswered {
        let late = || Judgement::inconclusive("the order was answered before the link was cut");
        return Outcome::did(said)
            .finding("in_flight", late(), Vec::new())
            .finding("in_doubt", late(), evidence);
    }
    let in_doubt = Judgement::of_text(
        state.as_str_name(),
        state == OrderState::InDoubt,
        "an order whose answer was cut off must be in doubt until the exchange is asked",
    );
    Outcome::did(said)
        .finding("in_flight", Judgement::Pass(Measured::count(1)), Vec::new())
        .finding("in_doubt", in_doubt, evidence)
}

/// The order's fate becomes known, and is what the exchange's own ledger has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DoubtEnds {
    within_ms: u64,
}

action!(
    DoubtEnds,
    "doubt_ends",
    ["resolved", "as_exchange", "sent_once"],
    "Waits until the order in doubt is known, and compares it with the exchange's ledger."
);

impl DoubtEnds {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        context.sim().slow_orders(0).await?;
        let in_flight = context.cut.in_flight.clone();
        let in_flight = in_flight.ok_or_else(|| ActionError::NotMet("no order was cut off in flight".to_owned()))?;
        let id = &in_flight;
        let mended_at_ms = context.cut.mended_at_ms;
        let patience = Duration::from_millis(self.within_ms * 2);
        let known = until("the order to be known", patience, || async {
            match context.clients().order(id).await {
                Ok(order) if is_ended(order.state()) => Ask::Yes(order),
                Ok(order) => Ask::NotYet(order.state().as_str_name().to_owned()),
                Err(error) => Ask::NotYet(error.to_string()),
            }
        })
        .await;
        let took_ms = clock::now_ms() - mended_at_ms;
        let order = match known {
            Ok(order) => order,
            Err(error) => {
                let judgement = Judgement::Fail(Measured::seconds(took_ms), error.to_string());
                return Ok(Outcome::did(error.to_string()).finding("resolved", judgement, Vec::new()));
            }
        };
        let ledger = context.sim().ledger().await?;
        context.measure(
            "doubt_resolved",
            Value::seconds(took_ms),
            "s",
            "from the mended link until the order's fate was known",
        );
        let in_time = u64::try_from(took_ms).is_ok_and(|took| took <= self.within_ms);
        let executed = ledger.fills_of(id).count();
        let at_exchange: Vec<_> = ledger
            .orders
            .iter()
            .filter(|order| order.client_order_id == *id)
            .collect();
        let agrees = match (at_exchange.as_slice(), order.state()) {
            ([], OrderState::NeverArrived) => true,
            ([one], OrderState::Filled) => one.status == "FILLED" && executed == order.fills.len(),
            _ => false,
        };
        let evidence = vec![answer("the order", &order), ledger_evidence(&ledger, id)];
        let said = format!(
            "{id} is {} after {took_ms} ms, as the exchange has it",
            order.state().as_str_name()
        );
        let count = i64::try_from(at_exchange.len()).unwrap_or(i64::MAX);
        let sent_once = if count == 0 && order.state() == OrderState::NeverArrived {
            Judgement::inconclusive("the order never arrived, so it was not in flight")
        } else {
            Judgement::of(
                Measured::count(count),
                count == 1,
                "orders at the exchange under this id",
            )
        };
        Ok(Outcome::did(said)
            .finding(
                "resolved",
                Judgement::of(
                    Measured::seconds(took_ms),
                    in_time,
                    format!("later than {} ms", self.within_ms),
                ),
                Vec::new(),
            )
            .finding(
                "as_exchange",
                Judgement::of_text(
                    format!(
                        "{} with {} fills; the exchange has {executed}",
                        order.state().as_str_name(),
                        order.fills.len()
                    ),
                    agrees,
                    "the gateway and the exchange's ledger differ",
                ),
                evidence,
            )
            .finding("sent_once", sent_once, Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Verdict;

    fn verdicts(state: OrderState, unanswered: bool) -> Vec<Verdict> {
        let order = Order {
            state: state.into(),
            ..Order::default()
        };
        let outcome = judge(&order, "an error", unanswered);
        outcome.findings.iter().map(|found| found.judgement.verdict()).collect()
    }

    #[test]
    fn p11_an_order_that_was_answered_before_the_cut_shows_nothing_of_it() {
        assert_eq!(verdicts(OrderState::Filled, false), [Verdict::Inconclusive; 2]);
        assert_eq!(verdicts(OrderState::InDoubt, false), [Verdict::Inconclusive; 2]);
    }

    #[test]
    fn p4_an_order_that_was_cut_off_and_is_not_in_doubt_was_guessed() {
        assert_eq!(verdicts(OrderState::InDoubt, true), [Verdict::Pass, Verdict::Pass]);
        for guessed in [OrderState::Filled, OrderState::Rejected, OrderState::NeverArrived] {
            assert_eq!(verdicts(guessed, true), [Verdict::Pass, Verdict::Fail], "{guessed:?}");
        }
    }
}
