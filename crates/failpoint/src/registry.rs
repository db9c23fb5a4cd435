//! Every place by name, so that a test can go through all of them. A test compares this list with the sources.

/// What a place is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Before or after something becomes durable, leaves the process or is answered.
    Boundary,
    /// Does damage of its own kind (`=break`), so that a drill or a test can be seen to notice.
    Damage,
}

/// Which process passes a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    ExchangeSim,
    Audit,
    Position,
    Risk,
    ExchangeGateway,
    /// Every service that keeps an outbox: position, risk and the gateway.
    WithOutbox,
}

/// When a place is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failpoint {
    pub name: &'static str,
    pub owner: Owner,
    pub kind: Kind,
}

impl Failpoint {
    /// Whether the service of that name (as in `thunes serve NAME`) passes it.
    pub fn is_of(&self, service: &str) -> bool {
        match self.owner {
            Owner::ExchangeSim => service == "exchange-sim",
            Owner::Audit => service == "audit",
            Owner::Position => service == "position",
            Owner::Risk => service == "risk",
            Owner::ExchangeGateway => service == "exchange-gateway",
            Owner::WithOutbox => matches!(service, "position" | "risk" | "exchange-gateway"),
        }
    }
}

/// The place of that name.
pub fn find(name: &str) -> Option<&'static Failpoint> {
    ALL.iter().find(|point| point.name == name)
}

/// The boundaries that a service passes, in the order of the list.
pub fn of_service(service: &str) -> impl Iterator<Item = &'static Failpoint> {
    ALL.iter()
        .filter(move |point| point.kind == Kind::Boundary && point.is_of(service))
}

const fn boundary(owner: Owner, name: &'static str) -> Failpoint {
    Failpoint {
        name,
        owner,
        kind: Kind::Boundary,
    }
}

const fn damage(owner: Owner, name: &'static str) -> Failpoint {
    Failpoint {
        name,
        owner,
        kind: Kind::Damage,
    }
}

/// All places.
pub const ALL: &[Failpoint] = &[
    // The path of an order.
    boundary(Owner::ExchangeGateway, "gateway.deny.before_commit"),
    boundary(Owner::ExchangeGateway, "gateway.deny.after_commit"),
    boundary(Owner::ExchangeGateway, "gateway.intent.before_commit"),
    boundary(Owner::ExchangeGateway, "gateway.intent.after_commit"),
    boundary(Owner::ExchangeGateway, "gateway.submit.before_send"),
    boundary(Owner::ExchangeGateway, "gateway.submit.after_send"),
    boundary(Owner::ExchangeGateway, "gateway.submit.before_answer"),
    boundary(Owner::ExchangeGateway, "gateway.end.before_commit"),
    boundary(Owner::ExchangeGateway, "gateway.end.after_commit"),
    boundary(Owner::ExchangeGateway, "gateway.doubt.before_commit"),
    boundary(Owner::ExchangeGateway, "gateway.doubt.after_commit"),
    boundary(Owner::ExchangeGateway, "gateway.hear.before_commit"),
    boundary(Owner::ExchangeGateway, "gateway.hear.after_commit"),
    boundary(Owner::ExchangeGateway, "gateway.absence.before_commit"),
    boundary(Owner::ExchangeGateway, "gateway.absence.after_commit"),
    boundary(Owner::ExchangeGateway, "gateway.leftover.before_commit"),
    boundary(Owner::ExchangeGateway, "gateway.leftover.after_commit"),
    boundary(Owner::ExchangeGateway, "gateway.cancel.before_send"),
    boundary(Owner::ExchangeGateway, "gateway.cancel.after_send"),
    boundary(Owner::ExchangeGateway, "gateway.cancel_note.before_commit"),
    boundary(Owner::ExchangeGateway, "gateway.cancel_note.after_commit"),
    // Beside it.
    boundary(Owner::ExchangeGateway, "gateway.delivery.before_mark"),
    boundary(Owner::ExchangeGateway, "gateway.delivery.after_mark"),
    boundary(Owner::ExchangeGateway, "gateway.halt.before_commit"),
    boundary(Owner::ExchangeGateway, "gateway.halt.after_commit"),
    boundary(Owner::ExchangeGateway, "gateway.baseline.before_commit"),
    boundary(Owner::ExchangeGateway, "gateway.baseline.after_commit"),
    boundary(Owner::ExchangeGateway, "gateway.adopt.before_commit"),
    boundary(Owner::ExchangeGateway, "gateway.adopt.after_commit"),
    boundary(Owner::ExchangeGateway, "gateway.reconcile.before_commit"),
    boundary(Owner::ExchangeGateway, "gateway.reconcile.after_commit"),
    boundary(Owner::ExchangeGateway, "gateway.cursor.before_commit"),
    boundary(Owner::ExchangeGateway, "gateway.cursor.after_commit"),
    boundary(Owner::ExchangeGateway, "gateway.override.before_commit"),
    boundary(Owner::ExchangeGateway, "gateway.override.after_commit"),
    boundary(Owner::ExchangeGateway, "gateway.wipe.before_commit"),
    boundary(Owner::ExchangeGateway, "gateway.wipe.after_commit"),
    boundary(Owner::ExchangeGateway, "gateway.resolve.before_commit"),
    boundary(Owner::ExchangeGateway, "gateway.resolve.after_commit"),
    boundary(Owner::ExchangeGateway, "gateway.transfer.before_commit"),
    boundary(Owner::ExchangeGateway, "gateway.transfer.after_commit"),
    boundary(Owner::ExchangeGateway, "gateway.wipe_doubt.before_commit"),
    boundary(Owner::ExchangeGateway, "gateway.wipe_doubt.after_commit"),
    boundary(Owner::ExchangeGateway, "gateway.stop_start.before_commit"),
    boundary(Owner::ExchangeGateway, "gateway.stop_start.after_commit"),
    boundary(Owner::ExchangeGateway, "gateway.stop_state.before_commit"),
    boundary(Owner::ExchangeGateway, "gateway.stop_state.after_commit"),
    boundary(Owner::ExchangeGateway, "gateway.stop_confirm.before_commit"),
    boundary(Owner::ExchangeGateway, "gateway.stop_confirm.after_commit"),
    boundary(Owner::ExchangeGateway, "gateway.stop.after_cancel"),
    boundary(Owner::ExchangeGateway, "gateway.stop.before_sale"),
    boundary(Owner::ExchangeGateway, "gateway.stop.after_sale"),
    // The switch and what else risk keeps.
    boundary(Owner::Risk, "risk.activate.before_commit"),
    boundary(Owner::Risk, "risk.activate.after_commit"),
    boundary(Owner::Risk, "risk.activate.before_answer"),
    boundary(Owner::Risk, "risk.answer.before_commit"),
    boundary(Owner::Risk, "risk.answer.after_commit"),
    boundary(Owner::Risk, "risk.deactivate.before_commit"),
    boundary(Owner::Risk, "risk.deactivate.after_commit"),
    boundary(Owner::Risk, "risk.deactivate.before_answer"),
    boundary(Owner::Risk, "risk.overtaken.before_commit"),
    boundary(Owner::Risk, "risk.overtaken.after_commit"),
    boundary(Owner::Risk, "risk.triggers.before_commit"),
    boundary(Owner::Risk, "risk.triggers.after_commit"),
    boundary(Owner::Risk, "risk.holder.before_commit"),
    boundary(Owner::Risk, "risk.holder.after_commit"),
    boundary(Owner::Risk, "risk.limits.before_commit"),
    boundary(Owner::Risk, "risk.limits.after_commit"),
    boundary(Owner::Risk, "risk.alert.before_commit"),
    boundary(Owner::Risk, "risk.alert.after_commit"),
    boundary(Owner::Position, "position.record.before_commit"),
    boundary(Owner::Position, "position.record.after_commit"),
    boundary(Owner::Position, "position.record.before_answer"),
    boundary(Owner::Position, "position.baseline.before_commit"),
    boundary(Owner::Position, "position.baseline.after_commit"),
    // The way of an event, and the log.
    boundary(Owner::WithOutbox, "outbox.delivery.before_delete"),
    boundary(Owner::WithOutbox, "outbox.delivery.after_delete"),
    boundary(Owner::Audit, "audit.append.before_write"),
    boundary(Owner::Audit, "audit.append.after_write"),
    boundary(Owner::Audit, "audit.append.after_sync"),
    boundary(Owner::Audit, "audit.append.before_answer"),
    boundary(Owner::Audit, "tlog.commit.before_mark"),
    boundary(Owner::Audit, "tlog.quarantine.before_cut"),
    boundary(Owner::Audit, "tlog.open.before_mark"),
    // The exchange's own: the judge has to survive its own crashes.
    boundary(Owner::ExchangeSim, "sim.ledger.before_commit"),
    boundary(Owner::ExchangeSim, "sim.ledger.after_commit"),
    damage(Owner::Position, "position.record.lose_fill"),
    damage(Owner::Audit, "audit.append.break_chain"),
    damage(Owner::Risk, "risk.restore.forget"),
];
