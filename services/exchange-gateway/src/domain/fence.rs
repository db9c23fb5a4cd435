use std::collections::BTreeMap;

use thunes_types::ReasonCode;

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
    /// Opening orders on the way: when each can no longer be accepted.
    in_flight: BTreeMap<String, i64>,
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
        let quiet = self.in_flight.values().all(|dead_at| now_boot_ms >= *dead_at);
        self.halted.filter(|_| quiet)
    }

    /// When the last order in flight can no longer be accepted.
    pub fn quiet_at_boot_ms(&self) -> Option<i64> {
        self.in_flight.values().max().copied()
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
        client_order_id: &str,
        signed_boot_ms: i64,
        approval: &Approval,
        uncertainty_ms: Option<i64>,
        rules: FenceRules,
    ) -> Result<(), ReasonCode> {
        if let Some(code) = self.closed_because(signed_boot_ms) {
            return Err(code);
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
        let dead_at = signed_boot_ms + rules.recv_window_ms + rules.uncertainty_ms;
        self.in_flight.insert(client_order_id.to_owned(), dead_at);
        Ok(())
    }

    /// The exchange has answered, or its silence has been written down as doubt and its time is over.
    pub fn answered(&mut self, client_order_id: &str) {
        self.in_flight.remove(client_order_id);
    }

    /// Forgets orders whose time is over; their fate is asked for elsewhere.
    pub fn forget_dead(&mut self, now_boot_ms: i64) {
        self.in_flight.retain(|_, dead_at| now_boot_ms < *dead_at);
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

    fn open_gate() -> Gate {
        let mut gate = Gate::default();
        gate.connected(true);
        gate.granted(lease(1000, 1));
        gate
    }

    #[test]
    fn p1_an_order_signed_at_the_end_of_the_lease_does_not_pass() {
        let mut gate = open_gate();
        assert_eq!(gate.admit("a", 999, &approval(1), Some(10), RULES), Ok(()));
        assert_eq!(
            gate.admit("b", 1000, &approval(1), Some(10), RULES),
            Err(ReasonCode::LeaseExpired)
        );
    }

    #[test]
    fn p1_an_approval_of_another_epoch_or_run_or_time_does_not_pass() {
        let mut gate = open_gate();
        assert_eq!(
            gate.admit("a", 0, &approval(2), Some(10), RULES),
            Err(ReasonCode::ApprovalStale)
        );
        let other_run = Approval {
            risk_incarnation: "s".into(),
            ..approval(1)
        };
        assert_eq!(
            gate.admit("a", 0, &other_run, Some(10), RULES),
            Err(ReasonCode::ApprovalStale)
        );
        let late = Approval {
            expires_at_boot_ms: 5,
            ..approval(1)
        };
        assert_eq!(
            gate.admit("a", 5, &late, Some(10), RULES),
            Err(ReasonCode::ApprovalStale)
        );
        assert_eq!(
            gate.admit("a", 0, &approval(1), Some(501), RULES),
            Err(ReasonCode::ClockUncertain)
        );
        assert_eq!(
            gate.admit("a", 0, &approval(1), None, RULES),
            Err(ReasonCode::ClockUncertain)
        );
    }

    #[test]
    fn p1_a_halt_is_confirmed_only_when_nothing_in_flight_can_be_accepted() {
        let mut gate = open_gate();
        gate.admit("a", 900, &approval(1), Some(10), RULES).expect("open");
        assert!(gate.halt(2));
        assert_eq!(
            gate.admit("b", 901, &approval(1), Some(10), RULES),
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

    #[derive(Debug, Clone)]
    enum Step {
        Grant(i64),
        Halt,
        Lift,
        Admit(i64),
        Answer,
        Later(i64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (1i64..2000).prop_map(Step::Grant),
            Just(Step::Halt),
            Just(Step::Lift),
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
            let mut alive: BTreeMap<String, i64> = BTreeMap::new();
            gate.connected(true);
            for (index, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Grant(ms) => gate.granted(lease(now + ms, epoch)),
                    Step::Halt => { epoch += 1; gate.halt(epoch); }
                    Step::Lift => { epoch += 1; gate.lifted(epoch); }
                    Step::Admit(delta) => {
                        let id = format!("o{index}");
                        if gate.admit(&id, now, &approval(epoch + delta), Some(0), RULES).is_ok() {
                            prop_assert!(delta == 0);
                            alive.insert(id, now + RULES.recv_window_ms + RULES.uncertainty_ms);
                        }
                    }
                    Step::Answer => if let Some((id, _)) = alive.pop_first() { gate.answered(&id); },
                    Step::Later(ms) => now += ms,
                }
                if gate.confirmable(now).is_some() {
                    prop_assert!(alive.values().all(|dead_at| now >= *dead_at));
                    prop_assert!(gate.closed_because(now).is_some());
                }
            }
        }
    }
}
