/// The kill-switch: whether it is active, and how often it has changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Switch {
    pub active: bool,
    /// Counts changes; an approval of an older epoch is worth nothing.
    pub epoch: i64,
    pub reason: String,
    pub actor: String,
    pub changed_at_ms: i64,
    /// Whether this very state is on a disk.
    pub durable: bool,
}

impl Switch {
    /// A switch that was never touched.
    pub fn untouched(now_ms: i64) -> Self {
        Self {
            active: false,
            epoch: 1,
            reason: "never activated".into(),
            actor: "risk".into(),
            changed_at_ms: now_ms,
            durable: true,
        }
    }

    /// Takes hold at once; says whether that changed anything.
    pub fn activate(&mut self, reason: &str, actor: &str, now_ms: i64) -> bool {
        if self.active {
            return false;
        }
        *self = Self {
            active: true,
            epoch: self.epoch + 1,
            reason: reason.to_owned(),
            actor: actor.to_owned(),
            changed_at_ms: now_ms,
            durable: false,
        };
        true
    }

    /// The state after a deactivation; it must be on disk before it is put in force.
    pub fn deactivated(&self, reason: &str, actor: &str, now_ms: i64) -> Self {
        Self {
            active: false,
            epoch: self.epoch + 1,
            reason: reason.to_owned(),
            actor: actor.to_owned(),
            changed_at_ms: now_ms,
            durable: true,
        }
    }

    /// A gateway has seen the switch active at `epoch`. If this state cannot be newer than that, it has forgotten
    /// something: it becomes active, beyond that epoch.
    pub fn learn_halted_epoch(&mut self, epoch: i64, gateway: &str, now_ms: i64) -> bool {
        let forgot = epoch > self.epoch || (epoch == self.epoch && !self.active);
        if forgot {
            *self = Self {
                active: true,
                epoch: epoch + 1,
                reason: format!(
                    "gateway {gateway} saw the kill-switch active at epoch {epoch}, which risk does not know"
                ),
                actor: "risk".into(),
                changed_at_ms: now_ms,
                durable: false,
            };
        }
        forgot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p3_a_switch_that_forgot_becomes_active_again() {
        let mut switch = Switch::untouched(0);
        assert!(!switch.learn_halted_epoch(0, "g", 1), "older news changes nothing");
        assert!(switch.learn_halted_epoch(7, "g", 1));
        assert!(switch.active && switch.epoch == 8 && !switch.durable);
        let mut restored = Switch {
            epoch: 7,
            ..Switch::untouched(0)
        };
        assert!(
            restored.learn_halted_epoch(7, "g", 1),
            "the same epoch cannot be both active and not"
        );
    }

    #[test]
    fn p1_each_change_has_its_own_epoch() {
        let mut switch = Switch::untouched(0);
        assert!(switch.activate("why", "me", 5));
        assert_eq!(switch.epoch, 2);
        assert!(!switch.activate("again", "me", 6), "active stays active");
        assert_eq!((switch.epoch, switch.reason.as_str()), (2, "why"));
        assert_eq!(switch.deactivated("done", "me", 7).epoch, 3);
    }
}
