use thunes_gateway::domain::fence::Approval;
use thunes_gateway::domain::order::Side;
use thunes_risk::domain::halts::{Author, Halts};
use thunes_risk::domain::leases::{Claim, Leases};
use thunes_risk::domain::reservations::{LiveExposure, Reservation, Reservations};
use thunes_types::{Decimal, HaltLevel, Scope};

use super::Fault;
use super::world::{ACCOUNT, APPROVAL_TTL_MS, Event, GATEWAY, LEASES, World};

/// Risk's state; `disk_…` is what a restart finds.
#[derive(Debug)]
pub struct Risk {
    pub up: bool,
    pub run: u64,
    pub halts: Halts,
    pub leases: Leases,
    pub reservations: Reservations,
    pub disk_halts: Halts,
    pub disk_holder: Option<u64>,
    /// The epoch that an operator waits for, and since when.
    pub waiting: Option<i64>,
    /// The activation that was answered and holds.
    pub answered: Option<i64>,
}

/// A renewal as it travels.
#[derive(Debug, Clone)]
pub struct Renewal {
    pub gateway_run: u64,
    pub asked_at: i64,
    pub confirmed_epoch: i64,
    pub highest_halted_epoch: i64,
    pub live: Vec<LiveExposure>,
}

/// What risk says on the stream.
#[derive(Debug, Clone)]
pub struct LeaseWord {
    pub asked_at: Option<i64>,
    pub epoch: i64,
    pub active: bool,
    pub lease_ms: i64,
    pub risk_run: u64,
}

impl Risk {
    pub fn new() -> Self {
        let halts = Halts::untouched(0);
        Self {
            up: true,
            run: 1,
            disk_halts: halts.clone(),
            halts,
            leases: Leases::default(),
            reservations: Reservations::default(),
            disk_holder: None,
            waiting: None,
            answered: None,
        }
    }
}

impl World {
    pub(super) fn authorize_arrives(&mut self, id: &str, side: Side, gateway_run: u64) {
        if !self.risk.up {
            return;
        }
        let now = self.queue.now();
        let approval = (side == Side::Buy && self.risk.halts.all().is_none()).then(|| Approval {
            epoch: self.risk.halts.epoch(),
            risk_incarnation: self.risk.run.to_string(),
            expires_at_boot_ms: now + APPROVAL_TTL_MS,
        });
        if approval.is_some() {
            let reservation = Reservation {
                account: ACCOUNT.to_owned(),
                // A symbol of its own, so that one order's exposure can be asked for.
                symbol: id.to_owned(),
                notional: Decimal::ONE,
                expires_at_boot_ms: now + APPROVAL_TTL_MS,
                settled_at_revision: None,
            };
            self.risk.reservations.insert(id, reservation);
        }
        let wait = self.chance.latency();
        self.queue.after(
            wait,
            Event::Authorized {
                gateway_run,
                id: id.to_owned(),
                approval,
            },
        );
    }

    pub(super) fn renewal_arrives(&mut self, renewal: &Renewal) {
        if !self.risk.up {
            return;
        }
        let (now, run) = (self.queue.now(), renewal.gateway_run.to_string());
        if self
            .risk
            .halts
            .learn_halted_epoch(renewal.highest_halted_epoch, GATEWAY, 0)
        {
            self.risk.disk_halts = self.risk.halts.clone();
        }
        match self.risk.leases.claim(ACCOUNT, GATEWAY, &run, now, LEASES) {
            Claim::Holder => {}
            Claim::HeldByAnother { .. } => return,
            Claim::MayTakeOver => {
                self.risk.disk_holder = Some(renewal.gateway_run);
                self.risk.leases.take_over(ACCOUNT, GATEWAY, &run, now);
            }
        }
        let grace = if self.fault == Fault::ExposureFreedAtOnce {
            -APPROVAL_TTL_MS
        } else {
            LEASES.grace_ms()
        };
        self.risk.reservations.reconcile(ACCOUNT, &renewal.live, now, grace);
        let (active, epoch) = (self.risk.halts.all().is_some(), self.risk.halts.epoch());
        let lease_ms = if active { 0 } else { LEASES.lease_ms };
        let Some(holder) = self.risk.leases.holder_mut(ACCOUNT, GATEWAY, &run) else {
            return;
        };
        holder.confirmed_epoch = holder.confirmed_epoch.max(renewal.confirmed_epoch.min(epoch));
        if lease_ms > 0 {
            holder.grant(epoch, now + lease_ms);
        }
        let word = self.lease_word(Some(renewal.asked_at), lease_ms);
        self.say_on_stream(word);
        self.answer_when_fenced();
    }

    pub(super) fn activate(&mut self) {
        if !self.risk.up {
            self.queue.after(200, Event::Activate);
            return;
        }
        if self.risk.halts.activate(&Scope::All, HaltLevel::HaltNew, operator()) {
            self.note(format!("activated, epoch {}", self.risk.halts.epoch()));
            let wait = self.chance.disk();
            self.queue.after(
                wait,
                Event::ActivationWritten {
                    risk_run: self.risk.run,
                },
            );
            let word = self.lease_word(None, 0);
            self.say_on_stream(word);
        }
        self.risk.waiting = self.risk.halts.all().map(|halt| halt.epoch);
        self.queue.after(
            10,
            Event::CheckFence {
                risk_run: self.risk.run,
            },
        );
    }

    pub(super) fn activation_written(&mut self) {
        let epoch = self.risk.halts.epoch();
        self.risk.halts.recorded(&Scope::All, epoch);
        self.risk.disk_halts = self.risk.halts.clone();
        self.answer_when_fenced();
    }

    pub(super) fn check_fence(&mut self) {
        self.answer_when_fenced();
        if self.risk.waiting.is_some() {
            self.queue.after(
                10,
                Event::CheckFence {
                    risk_run: self.risk.run,
                },
            );
        }
    }

    // The simulated disk always comes back, so the answer is always that of a durable activation.
    fn answer_when_fenced(&mut self) {
        let (Some(epoch), now) = (self.risk.waiting, self.queue.now()) else {
            return;
        };
        let fenced = self
            .risk
            .leases
            .all()
            .all(|(_, holder)| holder.fenced(epoch, now, LEASES).is_some());
        if fenced && self.risk.halts.all().is_some_and(|halt| halt.durable) {
            self.risk.waiting = None;
            self.risk.answered = Some(epoch);
            self.tally.activations_answered += 1;
            self.note(format!("activation of epoch {epoch} answered"));
            let wait = self.chance.between(500, 6000);
            self.queue.after(wait, Event::Deactivate);
        }
    }

    pub(super) fn deactivate(&mut self) {
        if !self.risk.up {
            self.queue.after(200, Event::Deactivate);
            return;
        }
        let Some(lifting) = self.risk.halts.lifting(&Scope::All, operator()) else {
            return;
        };
        if self.risk.answered.take().is_none() {
            return;
        }
        self.risk.halts.lift(&lifting);
        self.risk.disk_halts = self.risk.halts.clone();
        self.note(format!("deactivated, epoch {}", self.risk.halts.epoch()));
        let word = self.lease_word(None, 0);
        self.say_on_stream(word);
    }

    pub(super) fn risk_crashes(&mut self) {
        self.tally.risk_crashes += 1;
        self.risk.up = false;
        self.risk.run += 1;
        self.risk.waiting = None;
        self.note("risk is killed".to_owned());
        let wait = self.chance.between(50, 1500);
        self.queue.after(wait, Event::RiskStarts);
        let run = self.gateway.run;
        self.queue.after(1, Event::StreamToRiskLost { gateway_run: run });
    }

    pub(super) fn risk_starts(&mut self) {
        self.risk.up = true;
        let disk = &self.risk.disk_halts;
        self.risk.halts = Halts::restored(disk.epoch(), disk.quiet().clone(), disk.held().cloned().collect());
        self.risk.leases = Leases::default();
        self.risk.reservations = Reservations::default();
        let now = self.queue.now();
        if let Some(run) = self.risk.disk_holder {
            self.risk
                .leases
                .restore(ACCOUNT, GATEWAY, &run.to_string(), now, LEASES);
        }
        // The operator's call broke: it is made again.
        if self.risk.answered.is_none() && self.wants_activation {
            self.queue.after(1, Event::Activate);
        }
        self.note("risk starts".to_owned());
    }

    fn lease_word(&self, asked_at: Option<i64>, lease_ms: i64) -> LeaseWord {
        LeaseWord {
            asked_at,
            epoch: self.risk.halts.epoch(),
            active: self.risk.halts.all().is_some(),
            lease_ms,
            risk_run: self.risk.run,
        }
    }

    /// A stream keeps its order, or breaks.
    fn say_on_stream(&mut self, word: LeaseWord) {
        let wait = self.chance.latency();
        let at = (self.queue.now() + wait).max(self.stream_free_at);
        self.stream_free_at = at;
        let event = if self.chance.lost() {
            Event::StreamToRiskLost {
                gateway_run: self.gateway.run,
            }
        } else {
            Event::LeaseWord {
                gateway_run: self.gateway.run,
                word,
            }
        };
        self.queue.at(at, event);
    }
}

fn operator() -> Author {
    Author {
        reason: "why".into(),
        actor: "operator".into(),
        at_ms: 0,
        cause: None,
    }
}
