use std::collections::BTreeMap;

use thunes_types::{ReasonCode, Scope};

/// A lease as the gateway counts it: from before it asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lease {
    pub end_boot_ms: i64,
    pub epoch: i64,
    /// Which run of risk gave it.
    pub risk_incarnation: String,
}

/// What an opening order needs besides a lease.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Approval {
    pub epoch: i64,
    pub risk_incarnation: String,
    pub expires_at_boot_ms: i64,
}

/// Whose and which order wants to pass.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub client_order_id: &'a str,
    pub symbol: &'a str,
    pub strategy_id: &'a str,
}

/// An opening order on the way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct InFlight {
    symbol: String,
    strategy_id: String,
    /// From when on it can no longer be accepted.
    dead_at_boot_ms: i64,
}

/// Bounds that make late orders die at the exchange.
#[derive(Debug, Clone, Copy)]
pub struct FenceRules {
    pub recv_window_ms: i64,
    /// The most that the exchange's clock may be away from what we believe.
    pub uncertainty_ms: i64,
}

/// The gate that every opening order passes last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Gate {
    lease: Option<Lease>,
    connected: bool,
    /// The epoch of the activation that closed the gate, while it is closed by the switch.
    halted: Option<i64>,
    highest_halted_epoch: i64,
    refused: Option<ReasonCode>,
    /// Halts of one symbol or strategy, each with its epoch, as risk told of them last.
    scoped: Vec<(Scope, i64)>,
    /// The epoch of that word.
    told_epoch: i64,
    in_flight: BTreeMap<String, InFlight>,
}

impl Gate {
    pub fn restored(highest_halted_epoch: i64) -> Self {
        Self {
            highest_halted_epoch,
            ..Self::default()
        }
    }

    pub fn highest_halted_epoch(&self) -> i64 {
        self.highest_halted_epoch
    }

    pub fn connected(&mut self, connected: bool) {
        self.connected = connected;
        self.refused = None;
    }

    /// Risk granted what was asked for at `asked_boot_ms`.
    pub fn granted(&mut self, lease: Lease) {
        let newest = self
            .lease
            .as_ref()
            .map_or(0, |l| l.epoch)
            .max(self.halted.map_or(0, |halted| halted + 1));
        if lease.epoch >= newest {
            self.halted = None;
            self.refused = None;
            self.lease = Some(lease);
        }
    }

    /// The switch is active: no lease counts any more. Says whether this epoch is news.
    pub fn halt(&mut self, epoch: i64) -> bool {
        self.lease = None;
        let news = self.halted.is_none_or(|halted| epoch > halted);
        self.halted = Some(self.halted.unwrap_or(0).max(epoch));
        self.highest_halted_epoch = self.highest_halted_epoch.max(epoch);
        news
    }

    /// Which symbols and strategies are halted each by itself, at `epoch`. An older word than the last counts for nothing.
    /// Says whether it changes anything.
    pub fn told(&mut self, epoch: i64, scoped: Vec<(Scope, i64)>) -> bool {
        if epoch < self.told_epoch {
            return false;
        }
        if !scoped.is_empty() {
            self.highest_halted_epoch = self.highest_halted_epoch.max(epoch);
        }
        self.told_epoch = epoch;
        let news = self.scoped != scoped;
        self.scoped = scoped;
        news
    }

    /// The halt of one symbol or strategy that stops such an order.
    pub fn scope_halting(&self, symbol: &str, strategy_id: &str) -> Option<&Scope> {
        let halting = self.scoped.iter().find(|(scope, _)| scope.covers(symbol, strategy_id));
        halting.map(|(scope, _)| scope)
    }

    /// The epochs of halts of one symbol or strategy that can be confirmed: nothing of that scope can be accepted any
    /// more. What is in flight was admitted before the halt was known.
    pub fn confirmable_scoped(&self, now_boot_ms: i64) -> Vec<i64> {
        let alive = |scope: &Scope| {
            let of_scope = |order: &&InFlight| scope.covers(&order.symbol, &order.strategy_id);
            self.in_flight
                .values()
                .filter(of_scope)
                .any(|order| now_boot_ms < order.dead_at_boot_ms)
        };
        let quiet = self.scoped.iter().filter(|(scope, _)| !alive(scope));
        quiet.map(|(_, epoch)| *epoch).collect()
    }

    /// Risk gave no lease, for another reason than the switch.
    pub fn refuse(&mut self, code: ReasonCode) {
        self.lease = None;
        self.refused = Some(code);
    }

    /// The switch is off at `epoch`, and no lease has come yet.
    pub fn lifted(&mut self, epoch: i64) {
        if self.halted.is_some_and(|halted| epoch > halted) {
            self.halted = None;
        }
        // A lease of an older epoch was given before a halt that this gateway did not hear of.
        if self.lease.as_ref().is_some_and(|lease| lease.epoch < epoch) {
            self.lease = None;
        }
    }

    /// The epoch whose halt can be confirmed: the gate is closed and nothing that was sent can be accepted any more.
    pub fn confirmable(&self, now_boot_ms: i64) -> Option<i64> {
        let quiet = self
            .in_flight
            .values()
            .all(|order| now_boot_ms >= order.dead_at_boot_ms);
        self.halted.filter(|_| quiet)
    }

    /// When the last order in flight can no longer be accepted.
    pub fn quiet_at_boot_ms(&self) -> Option<i64> {
        self.in_flight.values().map(|order| order.dead_at_boot_ms).max()
    }

    /// Why an opening order would not pass now; None when it would.
    pub fn closed_because(&self, now_boot_ms: i64) -> Option<ReasonCode> {
        if self.halted.is_some() {
            return Some(ReasonCode::KillSwitchActive);
        }
        match &self.lease {
            Some(lease) if now_boot_ms < lease.end_boot_ms => None,
            _ if self.refused.is_some() => self.refused,
            _ if !self.connected => Some(ReasonCode::RiskUnreachable),
            Some(_) | None => Some(ReasonCode::LeaseExpired),
        }
    }

    /// Lets an opening order pass, or says why not. `signed_boot_ms` is the one reading that its timestamp was made of.
    ///
    /// # Errors
    /// The reason to deny it.
    pub fn admit(
        &mut self,
        subject: Subject<'_>,
        signed_boot_ms: i64,
        approval: &Approval,
        uncertainty_ms: Option<i64>,
        rules: FenceRules,
    ) -> Result<(), ReasonCode> {
        if let Some(code) = self.closed_because(signed_boot_ms) {
            return Err(code);
        }
        if self.scope_halting(subject.symbol, subject.strategy_id).is_some() {
            return Err(ReasonCode::KillSwitchActive);
        }
        if uncertainty_ms.is_none_or(|uncertainty| uncertainty > rules.uncertainty_ms) {
            return Err(ReasonCode::ClockUncertain);
        }
        let same = self
            .lease
            .as_ref()
            .is_some_and(|l| l.epoch == approval.epoch && l.risk_incarnation == approval.risk_incarnation);
        if !same || signed_boot_ms >= approval.expires_at_boot_ms {
            return Err(ReasonCode::ApprovalStale);
        }
        let order = InFlight {
            symbol: subject.symbol.to_owned(),
            strategy_id: subject.strategy_id.to_owned(),
            dead_at_boot_ms: signed_boot_ms + rules.recv_window_ms + rules.uncertainty_ms,
        };
        self.in_flight.insert(subject.client_order_id.to_owned(), order);
        Ok(())
    }

    /// The exchange has answered, or its silence has been written down as doubt and its time is over.
    pub fn answered(&mut self, client_order_id: &str) {
        self.in_flight.remove(client_order_id);
    }

    /// Forgets orders whose time is over; their fate is asked for elsewhere.
    pub fn forget_dead(&mut self, now_boot_ms: i64) {
        self.in_flight.retain(|_, order| now_boot_ms < order.dead_at_boot_ms);
    }

    /// Whether the lease is of this epoch and run, so that an approval of theirs can pass.
    pub fn matches(&self, approval: &Approval, now_boot_ms: i64) -> bool {
        self.closed_because(now_boot_ms).is_none()
            && self
                .lease
                .as_ref()
                .is_some_and(|l| l.epoch == approval.epoch && l.risk_incarnation == approval.risk_incarnation)
    }

    /// How much of the lease is left; 0 without one.
    pub fn lease_remaining_ms(&self, now_boot_ms: i64) -> i64 {
        self.lease
            .as_ref()
            .map_or(0, |lease| (lease.end_boot_ms - now_boot_ms).max(0))
    }

    /// Whether the gate knows of a newer epoch than the approval's: then it can never pass.
    pub fn is_outdated(&self, approval: &Approval) -> bool {
        self.lease
            .as_ref()
            .is_some_and(|l| l.epoch > approval.epoch && l.risk_incarnation == approval.risk_incarnation)
    }

    /// The epoch that the gate knows of.
    pub fn epoch(&self) -> i64 {
        self.halted.or(self.lease.as_ref().map(|l| l.epoch)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: FenceRules = FenceRules {
        recv_window_ms: 2000,
        uncertainty_ms: 500,
    };

    fn lease(end_boot_ms: i64, epoch: i64) -> Lease {
        Lease {
            end_boot_ms,
            epoch,
            risk_incarnation: "r".into(),
        }
    }

    fn approval(epoch: i64) -> Approval {
        Approval {
            epoch,
            risk_incarnation: "r".into(),
            expires_at_boot_ms: 1_000_000,
        }
    }

    fn order(id: &str) -> Subject<'_> {
        Subject {
            client_order_id: id,
            symbol: "BTCUSDT",
            strategy_id: "s",
        }
    }

    fn symbol(name: &str) -> Scope {
        Scope::parse("", name).expect("a symbol")
    }

    fn open_gate() -> Gate {
        let mut gate = Gate::default();
        gate.connected(true);
        gate.granted(lease(1000, 1));
        gate
    }

    #[test]
    fn p1_an_order_signed_at_the_end_of_the_lease_does_not_pass() {
        let mut gate = open_gate();
        assert_eq!(gate.admit(order("a"), 999, &approval(1), Some(10), RULES), Ok(()));
        assert_eq!(
            gate.admit(order("b"), 1000, &approval(1), Some(10), RULES),
            Err(ReasonCode::LeaseExpired)
        );
    }

    #[test]
    fn p1_an_approval_of_another_epoch_or_run_or_time_does_not_pass() {
        let mut gate = open_gate();
        assert_eq!(
            gate.admit(order("a"), 0, &approval(2), Some(10), RULES),
            Err(ReasonCode::ApprovalStale)
        );
        let other_run = Approval {
            risk_incarnation: "s".into(),
            ..approval(1)
        };
        assert_eq!(
            gate.admit(order("a"), 0, &other_run, Some(10), RULES),
            Err(ReasonCode::ApprovalStale)
        );
        let late = Approval {
            expires_at_boot_ms: 5,
            ..approval(1)
        };
        assert_eq!(
            gate.admit(order("a"), 5, &late, Some(10), RULES),
            Err(ReasonCode::ApprovalStale)
        );
        assert_eq!(
            gate.admit(order("a"), 0, &approval(1), Some(501), RULES),
            Err(ReasonCode::ClockUncertain)
        );
        assert_eq!(
            gate.admit(order("a"), 0, &approval(1), None, RULES),
            Err(ReasonCode::ClockUncertain)
        );
    }

    #[test]
    fn p1_a_halt_is_confirmed_only_when_nothing_in_flight_can_be_accepted() {
        let mut gate = open_gate();
        gate.admit(order("a"), 900, &approval(1), Some(10), RULES)
            .expect("open");
        assert!(gate.halt(2));
        assert_eq!(
            gate.admit(order("b"), 901, &approval(1), Some(10), RULES),
            Err(ReasonCode::KillSwitchActive)
        );
        assert_eq!(gate.confirmable(3399), None);
        assert_eq!(
            gate.confirmable(3400),
            Some(2),
            "past its own timestamp, window and uncertainty"
        );
        gate.answered("a");
        assert_eq!(gate.confirmable(902), Some(2));
        gate.granted(lease(5000, 1));
        assert_eq!(
            gate.closed_because(950),
            Some(ReasonCode::KillSwitchActive),
            "a late grant of an older epoch opens nothing"
        );
        gate.granted(lease(5000, 3));
        assert_eq!(gate.closed_because(950), None);
    }

    #[test]
    fn p2_without_risk_nothing_opens_and_the_reason_says_so() {
        let mut gate = Gate::default();
        assert_eq!(gate.closed_because(0), Some(ReasonCode::RiskUnreachable));
        gate.connected(true);
        assert_eq!(gate.closed_because(0), Some(ReasonCode::LeaseExpired));
        gate.refuse(ReasonCode::AccountHeldByAnotherGateway);
        assert_eq!(gate.closed_because(0), Some(ReasonCode::AccountHeldByAnotherGateway));
    }

    #[test]
    fn p1_a_halt_of_one_symbol_closes_the_gate_for_it_alone() {
        let mut gate = open_gate();
        let eth = Subject {
            symbol: "ETHUSDT",
            ..order("eth")
        };
        gate.admit(order("a"), 900, &approval(1), Some(10), RULES)
            .expect("open");
        gate.told(2, vec![(symbol("BTCUSDT"), 2)]);
        gate.lifted(2);
        assert!(
            gate.admit(eth, 901, &approval(1), Some(10), RULES).is_err(),
            "that approval is of an older epoch"
        );
        gate.granted(lease(5000, 2));
        assert!(gate.is_outdated(&approval(1)) && !gate.is_outdated(&approval(2)));
        assert_eq!(gate.admit(eth, 901, &approval(2), Some(10), RULES), Ok(()));
        let denied = gate.admit(order("b"), 901, &approval(2), Some(10), RULES);
        assert_eq!(denied, Err(ReasonCode::KillSwitchActive));
        assert_eq!(gate.scope_halting("BTCUSDT", "s"), Some(&symbol("BTCUSDT")));
        assert_eq!(gate.highest_halted_epoch(), 2);
        assert!(
            gate.confirmable_scoped(3399).is_empty(),
            "an order of that symbol is in flight"
        );
        assert_eq!(gate.confirmable_scoped(3400), [2], "the other symbol's does not count");
        gate.answered("a");
        assert_eq!(gate.confirmable_scoped(902), [2]);
        gate.told(1, Vec::new());
        assert!(
            gate.scope_halting("BTCUSDT", "s").is_some(),
            "an older word lifts nothing"
        );
        gate.told(3, Vec::new());
        gate.granted(lease(6000, 3));
        assert_eq!(gate.admit(order("b"), 950, &approval(3), Some(10), RULES), Ok(()));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Grant(i64),
        Halt,
        Lift,
        HaltSymbol(bool),
        LiftSymbol,
        Admit(i64),
        Answer,
        Later(i64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (1i64..2000).prop_map(Step::Grant),
            Just(Step::Halt),
            Just(Step::Lift),
            proptest::bool::ANY.prop_map(Step::HaltSymbol),
            Just(Step::LiftSymbol),
            (-3i64..3).prop_map(Step::Admit),
            Just(Step::Answer),
            (1i64..3000).prop_map(Step::Later),
        ];
        proptest::collection::vec(step, 1..60)
    }

    proptest! {
        // Whatever happens: when a halt is confirmable, no admitted order can be accepted any more.
        #[test]
        fn p1_no_schedule_confirms_while_an_order_can_be_accepted(steps in steps()) {
            let (mut gate, mut now, mut epoch) = (Gate::default(), 0i64, 1i64);
            let mut alive: BTreeMap<String, (&str, i64)> = BTreeMap::new();
            let mut halted: Vec<(Scope, i64)> = Vec::new();
            gate.connected(true);
            for (index, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Grant(ms) => gate.granted(lease(now + ms, epoch)),
                    Step::Halt => { epoch += 1; gate.told(epoch, halted.clone()); gate.halt(epoch); }
                    Step::Lift => { epoch += 1; gate.told(epoch, halted.clone()); gate.lifted(epoch); }
                    Step::HaltSymbol(first) => {
                        epoch += 1;
                        halted.push((symbol(if first { "BTCUSDT" } else { "ETHUSDT" }), epoch));
                        gate.told(epoch, halted.clone());
                        gate.lifted(epoch);
                    }
                    Step::LiftSymbol => { epoch += 1; halted.pop(); gate.told(epoch, halted.clone()); gate.lifted(epoch); }
                    Step::Admit(delta) => {
                        let id = format!("o{index}");
                        let name = if index % 2 == 0 { "BTCUSDT" } else { "ETHUSDT" };
                        let subject = Subject { symbol: name, ..order(&id) };
                        if gate.admit(subject, now, &approval(epoch + delta), Some(0), RULES).is_ok() {
                            prop_assert!(delta == 0);
                            prop_assert!(halted.iter().all(|(scope, _)| !scope.covers(name, "s")));
                            alive.insert(id, (name, now + RULES.recv_window_ms + RULES.uncertainty_ms));
                        }
                    }
                    Step::Answer => if let Some((id, _)) = alive.pop_first() { gate.answered(&id); },
                    Step::Later(ms) => now += ms,
                }
                for confirmed in gate.confirmable_scoped(now) {
                    let (scope, _) = halted.iter().find(|(_, epoch)| *epoch == confirmed).expect("it is held");
                    let of_scope = alive.values().filter(|(name, _)| scope.covers(name, "s"));
                    prop_assert!(of_scope.into_iter().all(|(_, dead_at)| now >= *dead_at));
                }
                if gate.confirmable(now).is_some() {
                    prop_assert!(alive.values().all(|(_, dead_at)| now >= *dead_at));
                    prop_assert!(gate.closed_because(now).is_some());
                }
            }
        }
    }
}
