use std::collections::BTreeSet;

use thunes_gateway::domain::fence::{Approval, FenceRules, Gate, Lease, Subject};
use thunes_risk::domain::halts::{Author, Halts};
use thunes_risk::domain::leases::{Claim, LeaseRules, Leases};
use thunes_types::{HaltLevel, Scope, Symbol};

use super::Flaw;

/// The one account that all gateways want.
const ACCOUNT: &str = "main";
/// The one symbol of all orders.
const SYMBOL: &str = "BTCUSDT";

/// What a gateway says to risk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Ask {
    asked_at: i64,
    confirmed_epoch: i64,
    confirmed_halts: BTreeSet<i64>,
    highest_halted_epoch: i64,
}

/// What risk says to a gateway; pushed, or as the answer to what was asked at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Word {
    answers: Option<i64>,
    epoch: i64,
    active: bool,
    scoped: Vec<(Scope, i64)>,
    lease: i64,
    run: u8,
}

/// Risk, and what of it is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Risk {
    run: u8,
    halts: Halts,
    leases: Leases,
    disk_halts: Halts,
    disk_holder: Option<usize>,
    /// An activation whose caller waits for the fence.
    waiting: Option<i64>,
    /// An activation that was answered and holds.
    answered: Option<i64>,
}

/// A gateway and its stream to risk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Gateway {
    gate: Gate,
    to_risk: Option<Ask>,
    from_risk: Vec<Word>,
    approval: Option<Approval>,
    /// The reading of the clock that the order in hand will be checked and signed with.
    reading: Option<i64>,
    orders: u8,
    asks: u8,
}

/// A signed opening order on its way, however long that is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Request {
    gateway: usize,
    id: String,
    signed_at: i64,
}

/// Everything at one moment. Times are in units of the model's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    now: i64,
    risk: Risk,
    gateways: Vec<Gateway>,
    on_the_way: Vec<Request>,
    activations: u8,
    deactivations: u8,
    restarts: u8,
    cuts: u8,
    /// An opening order was accepted after an activation was answered and before it was lifted.
    pub broken: bool,
    /// Some order was accepted, so that a model in which nothing can happen is noticed.
    pub accepted: bool,
}

/// What can happen next. A pause of a process is a long time before its next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    Tick,
    Ask(usize),
    RiskHears(usize),
    GatewayHears(usize),
    Cut(usize),
    Approve(usize),
    Read(usize),
    Admit(usize),
    /// A request reaches the exchange; the answer reaches the gateway or gets lost.
    Arrive {
        request: usize,
        answer_lost: bool,
    },
    Activate,
    AnswerActivation,
    Deactivate,
    RestartRisk,
}

/// How much may happen: the state space must end.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub gateways: usize,
    pub time: i64,
    pub orders: u8,
    /// Renewals of each gateway.
    pub asks: u8,
    pub activations: u8,
    pub deactivations: u8,
    pub restarts: u8,
    pub cuts: u8,
    /// Whether anything can come between reading the clock and passing the fence.
    pub pause_at_fence: bool,
    /// Only the symbol is halted, so that leases go on.
    pub scoped: bool,
    pub rules: LeaseRules,
}

impl Bounds {
    fn scope(&self) -> Scope {
        if self.scoped {
            Symbol::parse(SYMBOL).map_or(Scope::All, Scope::Symbol)
        } else {
            Scope::All
        }
    }

    fn fence_rules(&self) -> FenceRules {
        FenceRules {
            recv_window_ms: self.rules.recv_window_ms,
            uncertainty_ms: self.rules.uncertainty_ms,
        }
    }
}

impl World {
    pub(super) fn start(bounds: &Bounds) -> Self {
        let halts = Halts::untouched(0);
        let gateway = Gateway {
            gate: Gate::restored(0),
            to_risk: None,
            from_risk: Vec::new(),
            approval: None,
            reading: None,
            orders: 0,
            asks: 0,
        };
        Self {
            now: 0,
            risk: Risk {
                run: 0,
                disk_halts: halts.clone(),
                halts,
                leases: Leases::default(),
                disk_holder: None,
                waiting: None,
                answered: None,
            },
            gateways: vec![gateway; bounds.gateways],
            on_the_way: Vec::new(),
            activations: 0,
            deactivations: 0,
            restarts: 0,
            cuts: 0,
            broken: false,
            accepted: false,
        }
    }

    pub(super) fn steps(&self, bounds: &Bounds) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.now < bounds.time {
            steps.push(Step::Tick);
        }
        for (index, gateway) in self.gateways.iter().enumerate() {
            if gateway.asks < bounds.asks && gateway.to_risk.is_none() && gateway.from_risk.len() < 2 {
                steps.push(Step::Ask(index));
            }
            if gateway.to_risk.is_some() {
                steps.push(Step::RiskHears(index));
            }
            if !gateway.from_risk.is_empty() {
                steps.push(Step::GatewayHears(index));
            }
            if self.cuts < bounds.cuts && (gateway.to_risk.is_some() || !gateway.from_risk.is_empty()) {
                steps.push(Step::Cut(index));
            }
            if gateway.orders < bounds.orders
                && gateway.approval.is_none()
                && self.risk.halts.halting(SYMBOL, "").is_none()
            {
                steps.push(Step::Approve(index));
            }
            match (&gateway.approval, gateway.reading) {
                (Some(_), None) if bounds.pause_at_fence => steps.push(Step::Read(index)),
                (Some(_), None) => steps.push(Step::Admit(index)),
                (Some(_), Some(_)) => steps.push(Step::Admit(index)),
                (None, _) => {}
            }
        }
        for request in 0..self.on_the_way.len() {
            for answer_lost in [false, true] {
                steps.push(Step::Arrive { request, answer_lost });
            }
        }
        self.switch_steps(bounds, &mut steps);
        steps
    }

    fn switch_steps(&self, bounds: &Bounds, steps: &mut Vec<Step>) {
        let risk = &self.risk;
        if self.activations < bounds.activations && risk.waiting.is_none() && risk.answered.is_none() {
            steps.push(Step::Activate);
        }
        if risk.waiting.is_some() {
            steps.push(Step::AnswerActivation);
        }
        if self.deactivations < bounds.deactivations && risk.answered.is_some() {
            steps.push(Step::Deactivate);
        }
        if self.restarts < bounds.restarts {
            steps.push(Step::RestartRisk);
        }
    }

    /// None when the step changes nothing.
    pub(super) fn after(&self, step: Step, bounds: &Bounds, flaw: Flaw) -> Option<Self> {
        let mut next = self.clone();
        match step {
            Step::Tick => next.tick(bounds, flaw),
            Step::Ask(index) => next.ask(index, flaw),
            Step::RiskHears(index) => next.risk_hears(index, bounds, flaw),
            Step::GatewayHears(index) => next.gateway_hears(index, flaw),
            Step::Cut(index) => {
                next.cuts += 1;
                next.cut(index);
            }
            Step::Approve(index) => next.approve(index),
            Step::Read(index) => next.gateways[index].reading = Some(next.now),
            Step::Admit(index) => next.admit(index, bounds, flaw),
            Step::Arrive { request, answer_lost } => next.arrive(request, answer_lost, bounds, flaw),
            Step::Activate => next.activate(bounds),
            Step::AnswerActivation => {
                if !next.fenced(bounds, flaw) {
                    return None;
                }
                next.risk.answered = next.risk.waiting.take();
            }
            Step::Deactivate => next.deactivate(bounds),
            Step::RestartRisk => next.restart_risk(bounds, flaw),
        }
        Some(next)
    }

    fn tick(&mut self, bounds: &Bounds, flaw: Flaw) {
        self.now += 1;
        if flaw != Flaw::NoReceiveWindow {
            // Whether a request that will be refused arrives or not makes no difference: the gateway forgets it, too.
            let (now, grace) = (self.now, bounds.rules.grace_ms());
            self.on_the_way.retain(|request| now < request.signed_at + grace);
        }
    }

    fn ask(&mut self, index: usize, flaw: Flaw) {
        let now = self.now;
        self.gateways[index].asks += 1;
        let gate = &mut self.gateways[index].gate;
        gate.connected(true);
        gate.forget_dead(now);
        let believed_now = match flaw {
            // Long after everything that may be on its way.
            Flaw::ConfirmWithRequestsInFlight => i64::MAX,
            _ => now,
        };
        let (confirmable, scoped) = (gate.confirmable(believed_now), gate.confirmable_scoped(believed_now));
        self.gateways[index].to_risk = Some(Ask {
            asked_at: now,
            confirmed_epoch: confirmable.unwrap_or(0),
            confirmed_halts: scoped.into_iter().collect(),
            highest_halted_epoch: self.gateways[index].gate.highest_halted_epoch(),
        });
    }

    fn risk_hears(&mut self, index: usize, bounds: &Bounds, flaw: Flaw) {
        let Some(ask) = self.gateways[index].to_risk.take() else {
            return;
        };
        let (name, now, rules) = (gateway_name(index), self.now, bounds.rules);
        if self.risk.halts.learn_halted_epoch(ask.highest_halted_epoch, name, 0) {
            self.risk.disk_halts = self.risk.halts.clone();
            self.push_to_all();
        }
        let claim = match (self.risk.leases.claim(ACCOUNT, name, "run", now, rules), flaw) {
            (Claim::HeldByAnother { .. }, Flaw::TakeoverAtOnce) => Claim::MayTakeOver,
            (claim, _) => claim,
        };
        match claim {
            Claim::Holder => {}
            Claim::HeldByAnother { .. } => return,
            Claim::MayTakeOver => {
                self.risk.disk_holder = Some(index);
                self.risk.leases.take_over(ACCOUNT, name, "run", now);
            }
        }
        let mut word = self.word();
        word.lease = if word.active { 0 } else { rules.lease_ms };
        let held: BTreeSet<i64> = self.risk.halts.held().map(|halt| halt.epoch).collect();
        let Some(holder) = self.risk.leases.holder_mut(ACCOUNT, name, "run") else {
            return;
        };
        holder.confirmed_epoch = holder.confirmed_epoch.max(ask.confirmed_epoch.min(word.epoch));
        holder.confirmed_halts = ask.confirmed_halts.intersection(&held).copied().collect();
        if word.lease > 0 {
            holder.grant(word.epoch, now + word.lease);
        }
        word.answers = Some(ask.asked_at);
        self.gateways[index].from_risk.push(word);
    }

    fn gateway_hears(&mut self, index: usize, flaw: Flaw) {
        let now = self.now;
        let gateway = &mut self.gateways[index];
        let word = gateway.from_risk.remove(0);
        gateway.gate.told(word.epoch, word.scoped);
        if word.active {
            gateway.gate.halt(word.epoch);
            return;
        }
        match word.answers {
            Some(asked_at) if word.lease > 0 => {
                let counted_from = if flaw == Flaw::LeaseFromAnswer { now } else { asked_at };
                gateway.gate.granted(Lease {
                    end_boot_ms: counted_from + word.lease,
                    epoch: word.epoch,
                    risk_incarnation: word.run.to_string(),
                });
            }
            _ => gateway.gate.lifted(word.epoch),
        }
    }

    fn cut(&mut self, index: usize) {
        let gateway = &mut self.gateways[index];
        gateway.to_risk = None;
        gateway.from_risk.clear();
        gateway.gate.connected(false);
    }

    fn approve(&mut self, index: usize) {
        let approval = Approval {
            epoch: self.risk.halts.epoch(),
            risk_incarnation: self.risk.run.to_string(),
            // As good as for ever: the fence must not need it.
            expires_at_boot_ms: i64::MAX,
        };
        self.gateways[index].approval = Some(approval);
    }

    fn admit(&mut self, index: usize, bounds: &Bounds, flaw: Flaw) {
        let now = self.now;
        let gateway = &mut self.gateways[index];
        let Some(approval) = gateway.approval.take() else {
            return;
        };
        let reading = gateway.reading.take().unwrap_or(now);
        let id = format!("{}{}", gateway_name(index), gateway.orders);
        gateway.orders += 1;
        let subject = Subject {
            client_order_id: &id,
            symbol: SYMBOL,
            strategy_id: "",
        };
        let admitted = gateway
            .gate
            .admit(subject, reading, &approval, Some(0), bounds.fence_rules());
        if admitted.is_ok() {
            let signed_at = if flaw == Flaw::TwoReadings { now } else { reading };
            self.on_the_way.push(Request {
                gateway: index,
                id,
                signed_at,
            });
        }
    }

    fn arrive(&mut self, request: usize, answer_lost: bool, bounds: &Bounds, flaw: Flaw) {
        let request = self.on_the_way.remove(request);
        // The exchange's clock is as far behind what the gateway believes as the uncertainty allows.
        let refused_after = request.signed_at + bounds.rules.grace_ms();
        if self.now < refused_after || flaw == Flaw::NoReceiveWindow {
            self.accepted = true;
            self.broken |= self.risk.answered.is_some();
        }
        if !answer_lost {
            self.gateways[request.gateway].gate.answered(&request.id);
        }
    }

    fn activate(&mut self, bounds: &Bounds) {
        self.activations += 1;
        let scope = bounds.scope();
        // Active already after a restart: the caller asks again and waits for the fence.
        if self.risk.halts.activate(&scope, HaltLevel::HaltNew, operator()) {
            self.risk.disk_halts = self.risk.halts.clone();
            self.push_to_all();
        }
        self.risk.waiting = self.risk.halts.get(&scope).map(|halt| halt.epoch);
    }

    fn fenced(&self, bounds: &Bounds, flaw: Flaw) -> bool {
        let Some(epoch) = self.risk.waiting else { return false };
        let rules = match flaw {
            Flaw::NoGrace => LeaseRules {
                recv_window_ms: 0,
                uncertainty_ms: 0,
                ..bounds.rules
            },
            _ => bounds.rules,
        };
        self.risk
            .leases
            .all()
            .all(|(_, holder)| holder.fenced(epoch, self.now, rules).is_some())
    }

    fn deactivate(&mut self, bounds: &Bounds) {
        self.deactivations += 1;
        let Some(lifting) = self.risk.halts.lifting(&bounds.scope(), operator()) else {
            return;
        };
        self.risk.answered = None;
        self.risk.halts.lift(&lifting);
        self.risk.disk_halts = self.risk.halts.clone();
        self.push_to_all();
    }

    fn restart_risk(&mut self, bounds: &Bounds, flaw: Flaw) {
        self.restarts += 1;
        self.risk.run += 1;
        let disk = &self.risk.disk_halts;
        self.risk.halts = Halts::restored(disk.epoch(), disk.quiet().clone(), disk.held().cloned().collect());
        self.risk.waiting = None;
        self.risk.leases = Leases::default();
        if let (Some(index), false) = (self.risk.disk_holder, flaw == Flaw::RestartForgetsHolder) {
            self.risk
                .leases
                .restore(ACCOUNT, gateway_name(index), "run", self.now, bounds.rules);
        }
        for index in 0..self.gateways.len() {
            self.cut(index);
        }
    }

    fn push_to_all(&mut self) {
        let word = self.word();
        for gateway in &mut self.gateways {
            gateway.from_risk.push(word.clone());
        }
    }

    /// What risk says unasked.
    fn word(&self) -> Word {
        let scoped = self.risk.halts.held().filter(|halt| halt.scope != Scope::All);
        Word {
            answers: None,
            epoch: self.risk.halts.epoch(),
            active: self.risk.halts.all().is_some(),
            scoped: scoped.map(|halt| (halt.scope.clone(), halt.epoch)).collect(),
            lease: 0,
            run: self.risk.run,
        }
    }
}

/// Always the same, so that it does not tell states apart.
fn operator() -> Author {
    Author {
        reason: "why".into(),
        actor: "operator".into(),
        at_ms: 0,
        cause: None,
    }
}

fn gateway_name(index: usize) -> &'static str {
    ["a", "b"][index]
}
