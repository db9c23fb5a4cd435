use std::collections::{BTreeMap, BTreeSet};

use thunes_gateway::domain::fence::{Approval, FenceRules, Gate, Lease, Subject};
use thunes_gateway::domain::holdings::{FillEffect, closable, effects};
use thunes_gateway::domain::order::{Belief, OrderState, Side, absence_is_proof};
use thunes_risk::domain::reservations::LiveExposure;
use thunes_types::Decimal;

use super::Fault;
use super::exchange::{Said, SignedOrder, Trade};
use super::risk::{LeaseWord, Renewal};
use super::world::{CLOSING_WINDOW_MS, Event, LEASES, ORDER_TIMEOUT_MS, World};

const FENCE: FenceRules = FenceRules {
    recv_window_ms: LEASES.recv_window_ms,
    uncertainty_ms: LEASES.uncertainty_ms,
};

/// A row of the journal: durable.
#[derive(Debug, Clone)]
pub struct Row {
    pub side: Side,
    pub quantity: i64,
    pub belief: Belief,
    /// 0 until it is written down with an answer or a doubt.
    pub signed_timestamp: i64,
    pub recv_window: i64,
}

/// What survives the gateway's process.
#[derive(Debug, Default)]
pub struct Journal {
    pub rows: BTreeMap<String, Row>,
    pub trades: BTreeSet<i64>,
    pub held: Decimal,
    pub highest_halted_epoch: i64,
}

/// The gateway's process.
#[derive(Debug)]
pub struct Gateway {
    pub run: u64,
    pub up: bool,
    pub paused_until: i64,
    pub gate: Gate,
    /// Orders on their way through this process, by id: signed or about to be, and not yet concluded.
    pub working: BTreeMap<String, i64>,
    /// Orders to ask about, and since when: the stream may have missed something of them. An answer to a question that was
    /// asked before does not count.
    pub to_ask: BTreeMap<String, i64>,
}

impl World {
    pub(super) fn submit(&mut self, id: &str, side: Side, quantity: i64) {
        if !self.gateway.up || self.journal.rows.contains_key(id) || self.gateway.working.contains_key(id) {
            return;
        }
        self.gateway.working.insert(id.to_owned(), quantity);
        let run = self.gateway.run;
        match side {
            Side::Buy if self.chance.lost() => {}
            Side::Buy => {
                let wait = self.chance.latency();
                self.queue.after(
                    wait,
                    Event::AuthorizeArrives {
                        gateway_run: run,
                        id: id.to_owned(),
                        side,
                    },
                );
            }
            // Closing goes on without risk.
            Side::Sell => self.write_intent(id, side, None),
        }
    }

    pub(super) fn authorized(&mut self, id: &str, approval: Option<Approval>) {
        if approval.is_some() && self.gateway.working.contains_key(id) {
            self.write_intent(id, Side::Buy, approval);
        }
    }

    fn write_intent(&mut self, id: &str, side: Side, approval: Option<Approval>) {
        let wait = self.chance.disk();
        let run = self.gateway.run;
        self.queue.after(
            wait,
            Event::IntentWritten {
                gateway_run: run,
                id: id.to_owned(),
                side,
                approval,
            },
        );
    }

    /// The transaction commits: here a sale is held against what may be sold.
    pub(super) fn intent_written(&mut self, id: &str, side: Side, approval: Option<Approval>) {
        let Some(quantity) = self.gateway.working.get(id).copied() else {
            return;
        };
        if side == Side::Sell {
            let most = closable(self.journal.held, &self.pledged()).unwrap_or_default();
            if Decimal::from(quantity) > most {
                self.note(format!("{id} denied: only {most} can be sold"));
                self.gateway.working.remove(id);
                return;
            }
        }
        let belief = Belief {
            state: OrderState::Intent,
            venue_order_id: String::new(),
            executed_quantity: Decimal::ZERO,
            executed_quote: Decimal::ZERO,
            by_operator: false,
        };
        let recv_window = if side == Side::Buy {
            FENCE.recv_window_ms
        } else {
            CLOSING_WINDOW_MS
        };
        let row = Row {
            side,
            quantity,
            belief,
            signed_timestamp: 0,
            recv_window,
        };
        self.journal.rows.insert(id.to_owned(), row);
        let reading = self.queue.now();
        let run = self.gateway.run;
        // Between reading the clock and the check anything may come, a pause of seconds among it.
        let wait = if self.chance.percent(15) {
            self.chance.between(1, 5000)
        } else {
            0
        };
        self.queue.after(
            wait,
            Event::PassFence {
                gateway_run: run,
                id: id.to_owned(),
                reading,
                approval,
            },
        );
    }

    fn pledged(&self) -> Vec<Decimal> {
        let left = |row: &Row| Decimal::from(row.quantity) - row.belief.executed_quantity;
        let counts = |row: &&Row| {
            let known = !row.belief.state.is_unknown() || self.fault != Fault::DoubtfulSalesNotHeldBack;
            row.side == Side::Sell && !row.belief.state.is_terminal() && known
        };
        self.journal.rows.values().filter(counts).map(left).collect()
    }

    pub(super) fn pass_fence(&mut self, id: &str, reading: i64, approval: Option<&Approval>) {
        let Some(row) = self.journal.rows.get(id).cloned() else {
            return;
        };
        if row.side == Side::Buy {
            let Some(approval) = approval else { return };
            let subject = Subject {
                client_order_id: id,
                symbol: id,
                strategy_id: "",
            };
            let admitted = self
                .gateway
                .gate
                .admit(subject, reading, approval, Some(FENCE.uncertainty_ms), FENCE);
            if let Err(code) = admitted {
                self.note(format!("{id} denied at the fence: {code}"));
                self.conclude(id, OrderState::Denied);
                return;
            }
        }
        let timestamp = if self.fault == Fault::TwoReadings {
            self.queue.now()
        } else {
            reading
        };
        let order = SignedOrder {
            id: id.to_owned(),
            side: row.side,
            quantity: row.quantity,
            timestamp,
            recv_window: row.recv_window,
            approved_by_run: approval.and_then(|approval| approval.risk_incarnation.parse().ok()),
        };
        self.gateway.working.insert(id.to_owned(), timestamp);
        let run = self.gateway.run;
        self.queue.after(
            ORDER_TIMEOUT_MS,
            Event::OrderTimeout {
                gateway_run: run,
                id: id.to_owned(),
            },
        );
        self.send(order);
    }

    fn send(&mut self, order: SignedOrder) {
        if !self.chance.lost() {
            let wait = self.chance.latency();
            self.queue.after(
                wait,
                Event::OrderArrives {
                    gateway_run: self.gateway.run,
                    order,
                },
            );
        }
    }

    pub(super) fn order_answer(&mut self, id: &str, said: Option<Said>) {
        if !self.gateway.working.contains_key(id) {
            return;
        }
        self.gateway.gate.answered(id);
        match said {
            Some(said) => {
                let timestamp = self.gateway.working.remove(id).unwrap_or(0);
                if let Some(row) = self.journal.rows.get_mut(id) {
                    row.signed_timestamp = timestamp;
                }
                self.hear(id, &said);
            }
            None => self.conclude(id, OrderState::Rejected),
        }
    }

    /// The answer did not come in time: doubt, durably.
    pub(super) fn order_timeout(&mut self, id: &str) {
        let Some(timestamp) = self.gateway.working.get(id).copied() else {
            return;
        };
        let Some(row) = self.journal.rows.get_mut(id) else {
            return;
        };
        if !row.belief.state.is_unknown() {
            return;
        }
        match self.fault {
            Fault::SilenceIsFailure => return self.conclude(id, OrderState::Rejected),
            Fault::BlindResend => {
                let order = SignedOrder {
                    id: id.to_owned(),
                    side: row.side,
                    quantity: row.quantity,
                    timestamp: self.queue.now(),
                    recv_window: row.recv_window,
                    approved_by_run: None,
                };
                self.send(order);
            }
            _ => {}
        }
        let Some(row) = self.journal.rows.get_mut(id) else {
            return;
        };
        row.signed_timestamp = timestamp;
        row.belief.state = OrderState::InDoubt;
        self.gateway.working.remove(id);
        self.tally.in_doubt += 1;
        self.note(format!("{id} in doubt"));
    }

    fn conclude(&mut self, id: &str, state: OrderState) {
        self.gateway.working.remove(id);
        if let Some(row) = self.journal.rows.get_mut(id) {
            row.belief.state = state;
        }
    }

    pub(super) fn hear(&mut self, id: &str, said: &Said) {
        let Some(row) = self.journal.rows.get_mut(id) else {
            return;
        };
        let doubted = row.belief.state == OrderState::InDoubt;
        if let Some(next) = row.belief.hear(&said.word) {
            row.belief = next;
        }
        let known = doubted && !row.belief.state.is_unknown();
        for trade in &said.trades {
            if self.journal.trades.insert(trade.id) {
                self.journal.held += base_change(trade);
            }
        }
        if known {
            self.tally.found += 1;
            self.note(format!("{id} in doubt no more"));
        }
    }

    pub(super) fn ask_about_doubts(&mut self) {
        let doubtful = |(id, row): (&String, &Row)| (row.belief.state == OrderState::InDoubt).then(|| id.clone());
        let mut asked: BTreeSet<String> = self.journal.rows.iter().filter_map(doubtful).collect();
        asked.extend(self.gateway.to_ask.keys().cloned());
        for id in asked {
            let asked_at = self.queue.now() - FENCE.uncertainty_ms;
            if !self.chance.lost() {
                let wait = self.chance.latency();
                let gateway_run = self.gateway.run;
                self.queue.after(
                    wait,
                    Event::QuestionArrives {
                        gateway_run,
                        id,
                        asked_at,
                    },
                );
            }
        }
        let gateway_run = self.gateway.run;
        self.queue.after(500, Event::AskAboutDoubts { gateway_run });
    }

    /// After the stream of own orders broke: every order that has not ended is asked about.
    pub(super) fn catch_up(&mut self) {
        let open = |(id, row): (&String, &Row)| (!row.belief.state.is_terminal()).then(|| id.clone());
        let now = self.queue.now();
        let open = self.journal.rows.iter().filter_map(open).map(|id| (id, now));
        self.gateway.to_ask.extend(open);
    }

    pub(super) fn question_answer(&mut self, id: &str, asked_at: i64, said: Option<Said>) {
        if self
            .gateway
            .to_ask
            .get(id)
            .is_some_and(|since| asked_at + FENCE.uncertainty_ms >= *since)
        {
            self.gateway.to_ask.remove(id);
        }
        if let Some(said) = said {
            return self.hear(id, &said);
        }
        let Some(row) = self.journal.rows.get_mut(id) else {
            return;
        };
        let proven = self.fault == Fault::AbsenceBelievedAtOnce
            || absence_is_proof(row.signed_timestamp, row.recv_window, asked_at);
        if row.belief.state == OrderState::InDoubt && proven {
            row.belief.state = OrderState::NeverArrived;
            self.tally.never_arrived += 1;
            self.note(format!("{id} never arrived"));
        }
    }

    pub(super) fn renew(&mut self) {
        let now = self.queue.now();
        self.gateway.gate.connected(true);
        self.gateway.gate.forget_dead(now);
        let confirmable = match self.fault {
            Fault::ConfirmWithRequestsInFlight => self.gateway.gate.confirmable(i64::MAX),
            _ => self.gateway.gate.confirmable(now),
        };
        let live = |(id, row): (&String, &Row)| {
            (row.side == Side::Buy && !row.belief.state.is_terminal()).then(|| LiveExposure {
                client_order_id: id.clone(),
                symbol: id.clone(),
                notional: Decimal::ONE,
            })
        };
        let renewal = Renewal {
            gateway_run: self.gateway.run,
            asked_at: now,
            confirmed_epoch: confirmable.unwrap_or(0),
            highest_halted_epoch: self.gateway.gate.highest_halted_epoch(),
            live: self.journal.rows.iter().filter_map(live).collect(),
        };
        if !self.chance.lost() {
            let at = (now + self.chance.latency()).max(self.stream_to_risk_free_at);
            self.stream_to_risk_free_at = at;
            self.queue.at(at, Event::RenewalArrives { renewal });
        }
        let run = self.gateway.run;
        self.queue.after(300, Event::Renew { gateway_run: run });
    }

    pub(super) fn lease_word_heard(&mut self, word: &LeaseWord) {
        if word.active {
            self.gateway.gate.halt(word.epoch);
            self.journal.highest_halted_epoch = self.journal.highest_halted_epoch.max(word.epoch);
            return;
        }
        match word.asked_at {
            Some(asked_at) if word.lease_ms > 0 => self.gateway.gate.granted(Lease {
                end_boot_ms: asked_at + word.lease_ms,
                epoch: word.epoch,
                risk_incarnation: word.risk_run.to_string(),
            }),
            _ => self.gateway.gate.lifted(word.epoch),
        }
    }

    pub(super) fn gateway_crashes(&mut self) {
        self.tally.gateway_crashes += 1;
        self.gateway.up = false;
        self.gateway.run += 1;
        self.gateway.paused_until = 0;
        self.gateway.working.clear();
        self.gateway.to_ask.clear();
        self.note("gateway is killed".to_owned());
        let wait = self.chance.between(50, 1500);
        self.queue.after(wait, Event::GatewayStarts);
    }

    /// Whatever the run before may have sent is in doubt, as if it had been signed now.
    pub(super) fn gateway_starts(&mut self) {
        self.gateway.up = true;
        self.gateway.gate = Gate::restored(self.journal.highest_halted_epoch);
        let latest = self.queue.now() + FENCE.uncertainty_ms;
        for row in self
            .journal
            .rows
            .values_mut()
            .filter(|row| row.belief.state == OrderState::Intent)
        {
            row.belief.state = OrderState::InDoubt;
            row.signed_timestamp = latest;
            self.tally.in_doubt += 1;
        }
        self.note("gateway starts".to_owned());
        let run = self.gateway.run;
        self.queue.after(0, Event::Renew { gateway_run: run });
        self.queue.after(0, Event::AskAboutDoubts { gateway_run: run });
        self.queue.after(0, Event::StreamAgain { gateway_run: run });
    }
}

fn base_change(trade: &Trade) -> Decimal {
    let quantity = Decimal::from(trade.quantity);
    let moved = effects(&FillEffect {
        base_asset: "BASE",
        quote_asset: "QUOTE",
        side: trade.side,
        quantity,
        quote_quantity: quantity,
        commission: Decimal::ZERO,
        commission_asset: "QUOTE",
    });
    moved
        .ok()
        .and_then(|moved| moved.get("BASE").copied())
        .unwrap_or_default()
}
