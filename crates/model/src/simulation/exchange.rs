use std::collections::BTreeMap;

use thunes_gateway::domain::order::{ExchangeWord, OrderState, Side};
use thunes_types::Decimal;

use super::world::{Event, World};

/// An order as the exchange has it.
#[derive(Debug, Clone)]
pub struct Listed {
    pub side: Side,
    pub quantity: i64,
    pub filled: i64,
    pub open: bool,
}

/// The exchange: what it accepted, by client order id, in the order of acceptance.
#[derive(Debug, Default)]
pub struct Exchange {
    pub orders: BTreeMap<String, Vec<Listed>>,
    pub base: i64,
    pub next_trade_id: i64,
}

/// A signed order as it travels.
#[derive(Debug, Clone)]
pub struct SignedOrder {
    pub id: String,
    pub side: Side,
    pub quantity: i64,
    pub timestamp: i64,
    pub recv_window: i64,
    pub approved_by_run: Option<u64>,
}

/// A fill, as the exchange tells it.
#[derive(Debug, Clone)]
pub struct Trade {
    pub id: i64,
    pub side: Side,
    pub quantity: i64,
}

/// What the exchange says of one order: its state, and its trades so far.
#[derive(Debug, Clone)]
pub struct Said {
    pub word: ExchangeWord,
    pub trades: Vec<Trade>,
}

impl World {
    /// The exchange's clock; a gateway knows it to within the uncertainty.
    fn exchange_now(&self) -> i64 {
        self.queue.now() + self.clock_error
    }

    pub(super) fn order_arrives(&mut self, order: &SignedOrder, gateway_run: u64) {
        let late = self.exchange_now() > order.timestamp + order.recv_window;
        let open = self
            .exchange
            .orders
            .get(&order.id)
            .is_some_and(|all| all.iter().any(|o| o.open));
        if late || open {
            self.tally.refused_late += u64::from(late);
            self.note(format!("exchange refuses {} (late: {late})", order.id));
            self.tell_gateway(Event::OrderAnswer {
                gateway_run,
                id: order.id.clone(),
                said: None,
            });
            return;
        }
        self.tally.accepted += 1;
        self.note(format!("exchange accepts {}", order.id));
        self.judge_acceptance(order);
        let rests = order.side == Side::Buy && self.chance.percent(30);
        let listed = Listed {
            side: order.side,
            quantity: order.quantity,
            filled: 0,
            open: true,
        };
        self.exchange.orders.entry(order.id.clone()).or_default().push(listed);
        if rests {
            let wait = self.chance.between(100, 4000);
            self.queue.after(wait, Event::RestingFills { id: order.id.clone() });
        } else {
            self.fill(&order.id, order.quantity);
        }
        let said = self.say(&order.id);
        self.tell_gateway(Event::OrderAnswer {
            gateway_run,
            id: order.id.clone(),
            said,
        });
    }

    pub(super) fn resting_fills(&mut self, id: &str) {
        let open = |o: &&Listed| o.open;
        let Some(left) = self
            .exchange
            .orders
            .get(id)
            .and_then(|all| all.iter().find(open))
            .map(|o| o.quantity - o.filled)
        else {
            return;
        };
        let part = self.chance.between(1, left);
        self.fill(id, part);
        if part < left {
            let wait = self.chance.between(100, 4000);
            self.queue.after(wait, Event::RestingFills { id: id.to_owned() });
        }
        let Some(said) = self.say(id) else { return };
        let run = self.gateway.run;
        if self.chance.lost() {
            // A broken stream: the gateway notices, and asks for what it missed.
            let wait = self.chance.between(500, 3000);
            self.queue.after(wait, Event::StreamAgain { gateway_run: run });
            return;
        }
        for _ in 0..=i64::from(self.chance.percent(10)) {
            let wait = self.chance.latency();
            self.queue.after(
                wait,
                Event::StreamWord {
                    gateway_run: run,
                    id: id.to_owned(),
                    said: said.clone(),
                },
            );
        }
    }

    pub(super) fn question_arrives(&mut self, id: &str, asked_at: i64, gateway_run: u64) {
        let said = self.say(id);
        self.tell_gateway(Event::QuestionAnswer {
            gateway_run,
            id: id.to_owned(),
            asked_at,
            said,
        });
    }

    fn fill(&mut self, id: &str, quantity: i64) {
        self.exchange.next_trade_id += 1;
        let Some(order) = self
            .exchange
            .orders
            .get_mut(id)
            .and_then(|all| all.iter_mut().find(|o| o.open))
        else {
            return;
        };
        order.filled += quantity;
        order.open = order.filled < order.quantity;
        let signed = if order.side == Side::Buy { quantity } else { -quantity };
        let side = order.side;
        self.exchange.base += signed;
        let trade = Trade {
            id: self.exchange.next_trade_id,
            side,
            quantity,
        };
        self.trades.entry(id.to_owned()).or_default().push(trade);
        if self.exchange.base < 0 {
            let base = self.exchange.base;
            self.broken(format!("P2: {id} sold more than was held: {base} left"));
        }
    }

    fn say(&self, id: &str) -> Option<Said> {
        let order = self.exchange.orders.get(id)?.last()?;
        let state = match (order.open, order.filled) {
            (true, 0) => OrderState::New,
            (true, _) => OrderState::PartiallyFilled,
            (false, _) => OrderState::Filled,
        };
        let word = ExchangeWord {
            state,
            venue_order_id: format!("venue-{id}"),
            executed_quantity: Decimal::from(order.filled),
            executed_quote: Decimal::from(order.filled),
        };
        let trades = self.trades.get(id).cloned().unwrap_or_default();
        Some(Said { word, trades })
    }

    fn tell_gateway(&mut self, event: Event) {
        if !self.chance.lost() {
            let wait = self.chance.latency();
            self.queue.after(wait, event);
        }
    }

    fn judge_acceptance(&mut self, order: &SignedOrder) {
        let Some(run) = order.approved_by_run else { return };
        if let Some(epoch) = self.risk.answered {
            self.broken(format!(
                "P1: {} accepted after the activation of epoch {epoch} was answered",
                order.id
            ));
        }
        // A risk that restarted since learns of the order from the gateway.
        let reserved = self.risk.reservations.notional_of(&order.id).unwrap_or_default();
        if self.risk.run == run && self.risk.up && reserved.is_zero() {
            self.broken(format!(
                "P2: the exposure of {} was given back before it was accepted",
                order.id
            ));
        }
    }
}
