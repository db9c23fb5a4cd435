use std::time::Duration;

use rust_decimal::Decimal;
use serde::Deserialize;
use thunes_proto::gateway::v1::{Order, OrderState, OrderType, SubmitOrderRequest, TimeInForce};
use thunes_proto::types::v1::Side;
use thunes_types::{TEXT_KILL_SWITCH_DENIED, TEXT_SELL_ALLOWED, TEXT_TRADE_PASSED, parse_decimal};

use crate::action;
use crate::domain::{Evidence, EvidenceKind, Holding, Judgement, LedgerFill, Measured, SimLedger};
use crate::engine::{ActionResult, Context, Outcome, answer};
use crate::environment::{Ask, Clients, until};
use crate::error::ActionError;

/// An order's way to its end takes a round trip; more only when something is wrong.
const FILLED_WITHIN: Duration = Duration::from_secs(15);
/// Within this the gateway has its lease again after the switch was turned off.
const OPENING_WITHIN: Duration = Duration::from_secs(10);

/// A market order for an amount in the quote asset.
pub(super) fn market(client_order_id: &str, symbol: &str, side: Side, quote_amount: &str) -> SubmitOrderRequest {
    SubmitOrderRequest {
        client_order_id: client_order_id.to_owned(),
        symbol: symbol.to_owned(),
        side: side.into(),
        r#type: OrderType::Market.into(),
        quote_amount: quote_amount.to_owned(),
        strategy_id: "drill".to_owned(),
        ..SubmitOrderRequest::default()
    }
}

/// Submits an order and waits until it has ended.
pub(super) async fn submit_to_end(clients: &Clients, request: SubmitOrderRequest) -> Result<Order, ActionError> {
    let id = request.client_order_id.clone();
    let submitted = clients.submit(request).await?;
    let order = submitted
        .order
        .ok_or_else(|| ActionError::NotMet(format!("the answer to {id} holds no order")))?;
    if is_ended(order.state()) {
        return Ok(order);
    }
    until("the order to end", FILLED_WITHIN, || async {
        match clients.order(&id).await {
            Ok(order) if is_ended(order.state()) => Ask::Yes(order),
            Ok(order) => Ask::NotYet(order.state().as_str_name().to_owned()),
            Err(error) => Ask::NotYet(error.to_string()),
        }
    })
    .await
}

pub(super) fn is_ended(state: OrderState) -> bool {
    match state {
        OrderState::Denied
        | OrderState::Filled
        | OrderState::Canceled
        | OrderState::Rejected
        | OrderState::Expired
        | OrderState::NeverArrived => true,
        OrderState::Unspecified
        | OrderState::Intent
        | OrderState::InDoubt
        | OrderState::New
        | OrderState::PartiallyFilled => false,
    }
}

/// The exchange's own record of one order, for people.
pub(super) fn ledger_evidence(ledger: &SimLedger, client_order_id: &str) -> Evidence {
    let orders = ledger
        .orders
        .iter()
        .filter(|order| order.client_order_id == client_order_id);
    let mut text: Vec<String> = orders.map(|order| format!("{order:?}")).collect();
    text.extend(ledger.fills_of(client_order_id).map(|fill| format!("{fill:?}")));
    if text.is_empty() {
        text.push("nothing".to_owned());
    }
    Evidence::new(
        EvidenceKind::Ledger,
        format!("the exchange's ledger on {client_order_id}"),
        text.join("\n"),
    )
}

fn quantity<'a>(fills: impl Iterator<Item = &'a LedgerFill>) -> Decimal {
    fills.map(|fill| fill.quantity).sum()
}

/// A position is there before anything is tried on it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenPosition {
    symbol: String,
    amount: String,
}

action!(
    OpenPosition,
    "open_position",
    ["created"],
    "Buys, and waits until the book has the position."
);

impl OpenPosition {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let id = context.new_order_id();
        let clients = context.clients();
        let held_now = |holding: Holding| holding.get(&self.symbol).copied().unwrap_or_default();
        let before = held_now(clients.holding().await?);
        let order = submit_to_end(clients, market(&id, &self.symbol, Side::Buy, &self.amount)).await?;
        let ledger = context.sim().ledger().await?;
        let evidence = vec![answer("the order", &order), ledger_evidence(&ledger, &id)];
        let bought = quantity(ledger.fills_of(&id));
        if order.state() != OrderState::Filled || bought.is_zero() {
            let why = format!("the order ended as {} ({})", order.state().as_str_name(), order.reason);
            let judgement = Judgement::of(Measured::count(0), false, why);
            return Ok(Outcome::did("no position").finding("created", judgement, evidence));
        }
        let held = until("the book to have the position", FILLED_WITHIN, || async {
            match clients.holding().await.map(held_now) {
                Ok(held) if held > before && held > Decimal::ZERO => Ask::Yes(held),
                Ok(held) => Ask::NotYet(format!("{held}")),
                Err(error) => Ask::NotYet(error.to_string()),
            }
        })
        .await?;
        let judgement = Judgement::of_text(held.to_string(), true, "");
        Ok(
            Outcome::did(format!("bought {bought} of {}; the book holds {held}", self.symbol))
                .finding("created", judgement, evidence),
        )
    }
}

/// While the switch is active nothing opens: not by the gate's word and not at the exchange.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RefuseBuy {
    symbol: String,
    amount: String,
    #[serde(default = "orders_tried")]
    orders: usize,
}

fn orders_tried() -> usize {
    3
}

action!(
    RefuseBuy,
    "refuse_buy",
    ["denied"],
    "Submits BUY orders that must be denied, and asks the exchange's ledger."
);

impl RefuseBuy {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let switched = context.switched_on.clone();
        let switched =
            switched.ok_or_else(|| ActionError::NotMet("the drill did not activate the switch".to_owned()))?;
        let clients = context.clients();
        let validated = clients.validate(&self.symbol, &self.amount, Side::Buy).await?;
        let mut wrong = Vec::new();
        if validated.valid || validated.reason != TEXT_KILL_SWITCH_DENIED {
            wrong.push(format!("ValidateTrade says {} {:?}", validated.valid, validated.reason));
        }
        let mut evidence = vec![answer("ValidateTrade BUY", &validated)];
        let price = last_price(clients, &self.symbol).await?;
        for number in 0..self.orders {
            let id = context.new_order_id();
            let order = clients.submit(self.order(&id, number, &price)).await?;
            let denied = order
                .order
                .as_ref()
                .is_some_and(|o| o.state() == OrderState::Denied && o.reason == TEXT_KILL_SWITCH_DENIED);
            if order.accepted || !denied {
                wrong.push(format!(
                    "order {id} was not denied: {:?}",
                    order.order.as_ref().map(|o| (o.state(), &o.reason))
                ));
            }
            evidence.push(answer(format!("BUY order {}", number + 1), &order));
        }
        let ledger = context.sim().ledger().await?;
        let late = ledger.buys_accepted_after(switched.answered_at_ms);
        evidence.push(Evidence::new(
            EvidenceKind::Ledger,
            format!(
                "BUY orders that the exchange accepted after {} (ms, UTC)",
                switched.answered_at_ms
            ),
            format!("{} of {} orders: {late:?}", late.len(), ledger.orders.len()),
        ));
        wrong.extend(late.iter().map(|order| {
            format!(
                "the exchange accepted {} at {}",
                order.client_order_id, order.accepted_at_ms
            )
        }));
        let measured = format!(
            "{} BUY orders denied, {} accepted at the exchange after the answer",
            self.orders,
            late.len()
        );
        let judgement = Judgement::of_text(measured.clone(), wrong.is_empty(), wrong.join("; "));
        Ok(Outcome::did(measured).finding("denied", judgement, evidence))
    }

    /// Market and limit orders in turn: the gate must not know only one of them.
    fn order(&self, id: &str, number: usize, price: &str) -> SubmitOrderRequest {
        let market = market(id, &self.symbol, Side::Buy, &self.amount);
        if number.is_multiple_of(2) || price.is_empty() {
            return market;
        }
        SubmitOrderRequest {
            r#type: OrderType::Limit.into(),
            quote_amount: String::new(),
            quantity: "0.001".to_owned(),
            limit_price: price.to_owned(),
            time_in_force: TimeInForce::Gtc.into(),
            ..market
        }
    }
}

/// The last price that risk knows; empty when it knows none.
async fn last_price(clients: &Clients, symbol: &str) -> Result<String, ActionError> {
    let status = clients.risk_status().await?;
    let price = status.prices.into_iter().find(|price| price.symbol == symbol);
    Ok(price.map(|price| price.price).unwrap_or_default())
}

/// While the switch is active positions can be closed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AllowSell {
    symbol: String,
    amount: String,
}

action!(
    AllowSell,
    "allow_sell",
    ["allowed"],
    "Sells part of the position; the exchange's ledger must have the fill."
);

impl AllowSell {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let id = context.new_order_id();
        let clients = context.clients();
        let validated = clients.validate(&self.symbol, &self.amount, Side::Sell).await?;
        let order = submit_to_end(clients, market(&id, &self.symbol, Side::Sell, &self.amount)).await?;
        let ledger = context.sim().ledger().await?;
        let sold = quantity(ledger.fills_of(&id).filter(|fill| fill.side == "SELL"));
        let mut wrong = Vec::new();
        if !validated.valid || validated.reason != TEXT_SELL_ALLOWED {
            wrong.push(format!("ValidateTrade says {} {:?}", validated.valid, validated.reason));
        }
        if order.state() != OrderState::Filled {
            wrong.push(format!(
                "the order ended as {} ({})",
                order.state().as_str_name(),
                order.reason
            ));
        }
        if sold.is_zero() {
            wrong.push("the exchange's ledger has no fill of it".to_owned());
        }
        let evidence = vec![
            answer("ValidateTrade SELL", &validated),
            answer("the order", &order),
            ledger_evidence(&ledger, &id),
        ];
        let measured = format!("sold {} {}", sold.normalize(), self.symbol);
        let judgement = Judgement::of_text(measured.clone(), wrong.is_empty(), wrong.join("; "));
        Ok(Outcome::did(measured).finding("allowed", judgement, evidence))
    }
}

/// Trading works: the gate passes a BUY and the exchange fills one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BuyFilled {
    symbol: String,
    amount: String,
}

action!(
    BuyFilled,
    "buy_filled",
    ["filled"],
    "Validates and submits a BUY; the exchange's ledger must have the fill."
);

impl BuyFilled {
    async fn execute(&self, context: &mut Context) -> ActionResult {
        let clients = context.clients();
        until("the gateway to be allowed to open", OPENING_WITHIN, || async {
            match clients.gateway_status().await {
                Ok(status) if status.opening_allowed => Ask::Yes(()),
                Ok(status) => Ask::NotYet(status.opening_refused_reason_code),
                Err(error) => Ask::NotYet(error.to_string()),
            }
        })
        .await?;
        let validated = clients.validate(&self.symbol, &self.amount, Side::Buy).await?;
        let id = context.new_order_id();
        let order = submit_to_end(clients, market(&id, &self.symbol, Side::Buy, &self.amount)).await?;
        let ledger = context.sim().ledger().await?;
        let bought = quantity(ledger.fills_of(&id).filter(|fill| fill.side == "BUY"));
        let mut wrong = Vec::new();
        if !validated.valid || validated.reason != TEXT_TRADE_PASSED {
            wrong.push(format!("ValidateTrade says {} {:?}", validated.valid, validated.reason));
        }
        if order.state() != OrderState::Filled || bought.is_zero() {
            let state = order.state().as_str_name();
            wrong.push(format!(
                "the order ended as {state} ({}), {bought} filled at the exchange",
                order.reason
            ));
        }
        let evidence = vec![
            answer("ValidateTrade BUY", &validated),
            answer("the order", &order),
            ledger_evidence(&ledger, &id),
        ];
        let measured = format!("bought {} {}", bought.normalize(), self.symbol);
        let judgement = Judgement::of_text(measured.clone(), wrong.is_empty(), wrong.join("; "));
        Ok(Outcome::did(measured).finding("filled", judgement, evidence))
    }
}

/// Reads a decimal that a service gave.
pub(super) fn decimal(field: &'static str, text: &str) -> Result<Decimal, ActionError> {
    parse_decimal(field, text).map_err(|_| ActionError::Decimal {
        field,
        text: text.to_owned(),
    })
}
