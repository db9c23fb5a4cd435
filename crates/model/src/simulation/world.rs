use std::collections::BTreeMap;

use thunes_gateway::domain::fence::{Approval, Gate};
use thunes_gateway::domain::order::Side;
use thunes_risk::domain::leases::LeaseRules;
use thunes_types::Decimal;

use super::exchange::{Exchange, Said, SignedOrder, Trade};
use super::gateway::{Gateway, Journal};
use super::queue::{Chance, Queue};
use super::risk::{LeaseWord, Renewal, Risk};
use super::{Fault, Outcome, Tally};

pub(super) const ACCOUNT: &str = "main";
pub(super) const GATEWAY: &str = "gateway";
/// The defaults of the services.
pub(super) const LEASES: LeaseRules = LeaseRules {
    lease_ms: 1000,
    recv_window_ms: 2000,
    uncertainty_ms: 500,
};
pub(super) const APPROVAL_TTL_MS: i64 = 2000;
pub(super) const CLOSING_WINDOW_MS: i64 = 5000;
pub(super) const ORDER_TIMEOUT_MS: i64 = 5000;
/// Trouble happens within this time; afterwards everything has time to come to rest.
const TROUBLE_MS: i64 = 20_000;
const END_MS: i64 = 120_000;
/// The boot clock at the start.
const START_MS: i64 = 1_000_000;
const ORDERS: i64 = 14;
const HELD_AT_START: i64 = 10;

/// Everything that can happen. What carries a run happens only while that run of the process lives.
#[derive(Debug)]
pub(super) enum Event {
    Submit {
        id: String,
        side: Side,
        quantity: i64,
    },
    AuthorizeArrives {
        gateway_run: u64,
        id: String,
        side: Side,
    },
    Authorized {
        gateway_run: u64,
        id: String,
        approval: Option<Approval>,
    },
    IntentWritten {
        gateway_run: u64,
        id: String,
        side: Side,
        approval: Option<Approval>,
    },
    PassFence {
        gateway_run: u64,
        id: String,
        reading: i64,
        approval: Option<Approval>,
    },
    OrderArrives {
        gateway_run: u64,
        order: SignedOrder,
    },
    OrderAnswer {
        gateway_run: u64,
        id: String,
        said: Option<Said>,
    },
    OrderTimeout {
        gateway_run: u64,
        id: String,
    },
    RestingFills {
        id: String,
    },
    StreamWord {
        gateway_run: u64,
        id: String,
        said: Said,
    },
    StreamAgain {
        gateway_run: u64,
    },
    AskAboutDoubts {
        gateway_run: u64,
    },
    QuestionArrives {
        gateway_run: u64,
        id: String,
        asked_at: i64,
    },
    QuestionAnswer {
        gateway_run: u64,
        id: String,
        asked_at: i64,
        said: Option<Said>,
    },
    Renew {
        gateway_run: u64,
    },
    RenewalArrives {
        renewal: Renewal,
    },
    LeaseWord {
        gateway_run: u64,
        word: LeaseWord,
    },
    StreamToRiskLost {
        gateway_run: u64,
    },
    Activate,
    ActivationWritten {
        risk_run: u64,
    },
    CheckFence {
        risk_run: u64,
    },
    Deactivate,
    KillGateway,
    GatewayStarts,
    PauseGateway {
        for_ms: i64,
    },
    KillRisk,
    RiskStarts,
}

impl Event {
    /// The run of the gateway in whose process this happens.
    fn gateway_run(&self) -> Option<u64> {
        match self {
            Self::Authorized { gateway_run, .. }
            | Self::IntentWritten { gateway_run, .. }
            | Self::PassFence { gateway_run, .. }
            | Self::OrderAnswer { gateway_run, .. }
            | Self::OrderTimeout { gateway_run, .. }
            | Self::StreamWord { gateway_run, .. }
            | Self::StreamAgain { gateway_run }
            | Self::AskAboutDoubts { gateway_run }
            | Self::QuestionAnswer { gateway_run, .. }
            | Self::Renew { gateway_run }
            | Self::LeaseWord { gateway_run, .. }
            | Self::StreamToRiskLost { gateway_run } => Some(*gateway_run),
            Self::Submit { .. }
            | Self::AuthorizeArrives { .. }
            | Self::OrderArrives { .. }
            | Self::RestingFills { .. }
            | Self::QuestionArrives { .. }
            | Self::RenewalArrives { .. }
            | Self::Activate
            | Self::ActivationWritten { .. }
            | Self::CheckFence { .. }
            | Self::Deactivate
            | Self::KillGateway
            | Self::GatewayStarts
            | Self::PauseGateway { .. }
            | Self::KillRisk
            | Self::RiskStarts => None,
        }
    }
}

/// The whole of it.
#[derive(Debug)]
pub(super) struct World {
    pub queue: Queue<Event>,
    pub chance: Chance,
    pub fault: Fault,
    pub risk: Risk,
    pub gateway: Gateway,
    pub journal: Journal,
    pub exchange: Exchange,
    pub trades: BTreeMap<String, Vec<Trade>>,
    /// The exchange's clock minus what the gateway believes of it.
    pub clock_error: i64,
    pub wants_activation: bool,
    pub stream_free_at: i64,
    pub stream_to_risk_free_at: i64,
    pub tally: Tally,
    trace: Vec<String>,
    broken: Vec<String>,
}

/// Lives through one seed.
pub fn simulate(seed: u64, fault: Fault) -> Outcome {
    let mut world = World::new(seed, fault);
    world.plan();
    while let Some(event) = world.queue.next() {
        if world.queue.now() > START_MS + END_MS {
            break;
        }
        world.happen(event);
    }
    world.judge_the_end();
    Outcome {
        broken: world.broken,
        trace: world.trace,
        tally: world.tally,
    }
}

impl World {
    fn new(seed: u64, fault: Fault) -> Self {
        let mut chance = Chance::of(seed);
        let bound = LEASES.uncertainty_ms;
        let clock_error = match chance.between(0, 3) {
            0 => -bound,
            1 => bound,
            _ => chance.between(-bound, bound),
        };
        Self {
            queue: Queue::new(START_MS),
            chance,
            fault,
            risk: Risk::new(),
            gateway: Gateway {
                run: 1,
                up: false,
                paused_until: 0,
                gate: Gate::restored(0),
                working: BTreeMap::new(),
                to_ask: BTreeMap::new(),
            },
            journal: Journal {
                held: Decimal::from(HELD_AT_START),
                ..Journal::default()
            },
            exchange: Exchange {
                base: HELD_AT_START,
                ..Exchange::default()
            },
            trades: BTreeMap::new(),
            clock_error,
            wants_activation: false,
            stream_free_at: START_MS,
            stream_to_risk_free_at: START_MS,
            tally: Tally::default(),
            trace: vec![format!("seed {seed}, clock error {clock_error} ms")],
            broken: Vec::new(),
        }
    }

    /// Who wants what, and which trouble comes, in the first seconds.
    fn plan(&mut self) {
        self.queue.after(0, Event::GatewayStarts);
        for number in 0..ORDERS {
            let side = if self.chance.percent(60) { Side::Buy } else { Side::Sell };
            let (wait, quantity) = (self.chance.between(100, TROUBLE_MS), self.chance.between(1, 6));
            let id = format!("o{number}");
            // Some callers are impatient and ask twice.
            if self.chance.percent(20) {
                let again = wait + self.chance.between(1, 3000);
                self.queue.after(
                    again,
                    Event::Submit {
                        id: id.clone(),
                        side,
                        quantity,
                    },
                );
            }
            self.queue.after(wait, Event::Submit { id, side, quantity });
        }
        for _ in 0..self.chance.between(1, 2) {
            let wait = self.chance.between(500, TROUBLE_MS);
            self.queue.after(wait, Event::Activate);
        }
        for _ in 0..self.chance.between(0, 2) {
            let wait = self.chance.between(100, TROUBLE_MS);
            self.queue.after(wait, Event::KillGateway);
        }
        for _ in 0..self.chance.between(0, 3) {
            let (wait, for_ms) = (self.chance.between(100, TROUBLE_MS), self.chance.between(50, 7000));
            self.queue.after(wait, Event::PauseGateway { for_ms });
        }
        if self.chance.percent(40) {
            let wait = self.chance.between(100, TROUBLE_MS);
            self.queue.after(wait, Event::KillRisk);
        }
    }

    fn happen(&mut self, event: Event) {
        if let Some(run) = event.gateway_run() {
            if run != self.gateway.run || !self.gateway.up {
                return;
            }
            if self.queue.now() < self.gateway.paused_until {
                // A stopped process does nothing; what it was about to do, it does when it goes on.
                let at = self.gateway.paused_until;
                self.queue.at(at, event);
                return;
            }
        }
        match event {
            Event::Submit { id, side, quantity } => self.submit(&id, side, quantity),
            Event::AuthorizeArrives { gateway_run, id, side } => self.authorize_arrives(&id, side, gateway_run),
            Event::Authorized { id, approval, .. } => self.authorized(&id, approval),
            Event::IntentWritten { id, side, approval, .. } => self.intent_written(&id, side, approval),
            Event::PassFence {
                id, reading, approval, ..
            } => self.pass_fence(&id, reading, approval.as_ref()),
            Event::OrderArrives { gateway_run, order } => self.order_arrives(&order, gateway_run),
            Event::OrderAnswer { id, said, .. } => self.order_answer(&id, said),
            Event::OrderTimeout { id, .. } => self.order_timeout(&id),
            Event::RestingFills { id } => self.resting_fills(&id),
            Event::StreamWord { id, said, .. } => self.hear(&id, &said),
            Event::StreamAgain { .. } => self.catch_up(),
            Event::AskAboutDoubts { .. } => self.ask_about_doubts(),
            Event::QuestionArrives {
                gateway_run,
                id,
                asked_at,
            } => self.question_arrives(&id, asked_at, gateway_run),
            Event::QuestionAnswer { id, asked_at, said, .. } => self.question_answer(&id, asked_at, said),
            Event::Renew { .. } => self.renew(),
            Event::RenewalArrives { renewal } => self.renewal_arrives(&renewal),
            Event::LeaseWord { word, .. } => self.lease_word_heard(&word),
            Event::StreamToRiskLost { .. } => self.gateway.gate.connected(false),
            Event::Activate => {
                self.wants_activation = true;
                self.activate();
            }
            Event::ActivationWritten { risk_run } if risk_run == self.risk.run => self.activation_written(),
            Event::CheckFence { risk_run } if risk_run == self.risk.run => self.check_fence(),
            Event::ActivationWritten { .. } | Event::CheckFence { .. } => {}
            Event::Deactivate => {
                self.wants_activation = false;
                self.deactivate();
            }
            Event::KillGateway if self.gateway.up => self.gateway_crashes(),
            Event::KillGateway => {}
            Event::GatewayStarts => self.gateway_starts(),
            Event::PauseGateway { for_ms } => {
                self.tally.gateway_pauses += 1;
                self.gateway.paused_until = self.queue.now() + for_ms;
                self.note(format!("gateway is stopped for {for_ms} ms"));
            }
            Event::KillRisk => self.risk_crashes(),
            Event::RiskStarts => self.risk_starts(),
        }
    }

    pub(super) fn note(&mut self, what: String) {
        let at = self.queue.now() - START_MS;
        self.trace.push(format!("{at:>6} {what}"));
    }

    pub(super) fn broken(&mut self, what: String) {
        self.note(format!("BROKEN {what}"));
        self.broken.push(what);
    }

    /// When everything has come to rest, journal and exchange say the same.
    fn judge_the_end(&mut self) {
        let rows: Vec<_> = self
            .journal
            .rows
            .iter()
            .map(|(id, row)| (id.clone(), row.clone()))
            .collect();
        for (id, row) in rows {
            let at_exchange = self.exchange.orders.get(&id).cloned().unwrap_or_default();
            let state = row.belief.state;
            if state.is_unknown() {
                self.broken(format!("P4: {id} is {} in the end", state.as_str()));
            } else if at_exchange.len() > 1 {
                self.broken(format!("P4: {id} is {} orders at the exchange", at_exchange.len()));
            } else if state.is_accepted() != (at_exchange.len() == 1) {
                self.broken(format!(
                    "P4: {id} is {}, at the exchange there are {}",
                    state.as_str(),
                    at_exchange.len()
                ));
            }
            let filled: i64 = at_exchange.iter().map(|order| order.filled).sum();
            if state.is_accepted() && row.belief.executed_quantity != Decimal::from(filled) {
                let executed = row.belief.executed_quantity;
                self.broken(format!("P5: {id} executed {executed}, at the exchange {filled}"));
            }
        }
        if self.journal.held != Decimal::from(self.exchange.base) {
            let (held, base) = (self.journal.held, self.exchange.base);
            self.broken(format!("P5: held {held}, at the exchange {base}"));
        }
    }
}
