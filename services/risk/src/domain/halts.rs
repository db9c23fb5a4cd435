use std::collections::{BTreeMap, BTreeSet};

use thunes_types::{HaltLevel, Scope};

/// What made a trigger fire.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cause {
    pub trigger: &'static str,
    pub measured: String,
    pub threshold: String,
}

/// Who wants a halt or its end, and why.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Author {
    pub reason: String,
    pub actor: String,
    pub at_ms: i64,
    /// Set when no person but a trigger wants it.
    pub cause: Option<Cause>,
}

/// A halt that holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Halt {
    pub scope: Scope,
    pub level: HaltLevel,
    /// Its last change: activated, or raised.
    pub epoch: i64,
    /// Who changed it last.
    pub author: Author,
    /// When it was first activated.
    pub since_ms: i64,
    /// Whether this very state is on a disk.
    pub durable: bool,
}

/// How the switch for everything came to be off.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Quiet {
    /// Of the deactivation.
    pub epoch: i64,
    pub reason: String,
    pub actor: String,
    pub changed_at_ms: i64,
}

/// A deactivation that is not in force yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lifting {
    pub halt: Halt,
    /// The epoch from which it counts.
    pub epoch: i64,
    pub author: Author,
}

/// The kill-switch: what is halted, and how often that has changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Halts {
    /// Counts every change of any scope; an approval of an older epoch is worth nothing.
    epoch: i64,
    held: BTreeMap<Scope, Halt>,
    quiet: Quiet,
    /// The counter as this run found it.
    restored_epoch: i64,
    /// Gateways that have been heard in this run.
    met: BTreeSet<String>,
}

/// Most halts of single symbols and strategies that hold at once; a higher number would not fit into a lease's answer.
pub const SCOPED_MAX: usize = 1000;

impl Halts {
    /// A switch that was never touched.
    pub fn untouched(now_ms: i64) -> Self {
        Self::restored(
            1,
            Quiet {
                epoch: 1,
                reason: "never activated".into(),
                actor: "risk".into(),
                changed_at_ms: now_ms,
            },
            Vec::new(),
        )
    }

    /// As the disk has it. The counter is never below the epoch of a halt.
    pub fn restored(epoch: i64, quiet: Quiet, held: Vec<Halt>) -> Self {
        let epoch = held
            .iter()
            .map(|halt| halt.epoch)
            .fold(epoch.max(quiet.epoch), i64::max);
        Self {
            epoch,
            held: held.into_iter().map(|halt| (halt.scope.clone(), halt)).collect(),
            quiet,
            restored_epoch: epoch,
            met: BTreeSet::new(),
        }
    }

    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// The halt of everything, if it holds.
    pub fn all(&self) -> Option<&Halt> {
        self.held.get(&Scope::All)
    }

    pub fn get(&self, scope: &Scope) -> Option<&Halt> {
        self.held.get(scope)
    }

    /// How the halt of everything last ended, or that it never began.
    pub fn quiet(&self) -> &Quiet {
        &self.quiet
    }

    /// Every halt, that of everything first.
    pub fn held(&self) -> impl Iterator<Item = &Halt> {
        self.held.values()
    }

    /// The halt that stops an order of this symbol and strategy; that of everything comes before the others.
    pub fn halting(&self, symbol: &str, strategy_id: &str) -> Option<&Halt> {
        self.held.values().find(|halt| halt.scope.covers(symbol, strategy_id))
    }

    /// Whether one more scope can be halted.
    pub fn has_room_for(&self, scope: &Scope) -> bool {
        *scope == Scope::All || self.held.contains_key(scope) || self.held.len() < SCOPED_MAX
    }

    /// Takes hold at once; says whether that changed anything. A halt that holds can only be raised.
    pub fn activate(&mut self, scope: &Scope, level: HaltLevel, author: Author) -> bool {
        let since_ms = match self.held.get(scope) {
            Some(halt) if halt.level >= level => return false,
            Some(halt) => halt.since_ms,
            None => author.at_ms,
        };
        self.epoch += 1;
        let halt = Halt {
            scope: scope.clone(),
            level,
            epoch: self.epoch,
            author,
            since_ms,
            durable: false,
        };
        self.held.insert(scope.clone(), halt);
        true
    }

    /// The end of a halt; it must be on disk before it is put in force. None when there is no such halt.
    pub fn lifting(&self, scope: &Scope, author: Author) -> Option<Lifting> {
        self.held.get(scope).map(|halt| Lifting {
            halt: halt.clone(),
            epoch: self.epoch + 1,
            author,
        })
    }

    /// The switch for everything as it is after a deactivation.
    pub fn quiet_after(&self, lifting: &Lifting) -> Quiet {
        match lifting.halt.scope {
            Scope::All => Quiet {
                epoch: lifting.epoch,
                reason: lifting.author.reason.clone(),
                actor: lifting.author.actor.clone(),
                changed_at_ms: lifting.author.at_ms,
            },
            Scope::Strategy(_) | Scope::Symbol(_) => self.quiet.clone(),
        }
    }

    /// Puts a deactivation in force that is on disk.
    pub fn lift(&mut self, lifting: &Lifting) {
        self.quiet = self.quiet_after(lifting);
        self.held.remove(&lifting.halt.scope);
        self.epoch = lifting.epoch;
    }

    /// A deactivation is on disk, but must not take effect: the halt goes on as a new one, which has to be written.
    pub fn keep_in_spite_of(&mut self, lifting: &Lifting) {
        self.epoch = self.epoch.max(lifting.epoch) + 1;
        let halt = self
            .held
            .entry(lifting.halt.scope.clone())
            .or_insert_with(|| lifting.halt.clone());
        halt.epoch = self.epoch;
        halt.durable = false;
    }

    /// The state of `epoch` is on disk.
    pub fn recorded(&mut self, scope: &Scope, epoch: i64) {
        if let Some(halt) = self.held.get_mut(scope).filter(|halt| halt.epoch == epoch) {
            halt.durable = true;
        }
    }

    /// A gateway has seen something halted at `epoch`. If this state cannot be newer than that, it has forgotten
    /// something: everything is halted, beyond that epoch. The first word of a gateway is held against what this run found
    /// at its start, since what came after could have been counted anew.
    pub fn learn_halted_epoch(&mut self, epoch: i64, gateway: &str, now_ms: i64) -> bool {
        let first = self.met.insert(gateway.to_owned());
        let forgot = (first && epoch > self.restored_epoch)
            || epoch > self.epoch
            || (epoch == self.epoch && self.held.is_empty());
        if forgot {
            let reason =
                format!("gateway {gateway} saw the kill-switch active at epoch {epoch}, which risk does not know");
            self.epoch = self.epoch.max(epoch) + 1;
            let halt = Halt {
                scope: Scope::All,
                // What was forgotten may have gone further; a person decides that.
                level: self.all().map_or(HaltLevel::HaltNew, |halt| halt.level),
                epoch: self.epoch,
                author: Author {
                    reason,
                    actor: "risk".into(),
                    at_ms: now_ms,
                    cause: None,
                },
                since_ms: now_ms,
                durable: false,
            };
            self.held.insert(Scope::All, halt);
        }
        forgot
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use thunes_types::Symbol;

    use super::*;

    fn author(reason: &str, at_ms: i64) -> Author {
        Author {
            reason: reason.into(),
            actor: "me".into(),
            at_ms,
            cause: None,
        }
    }

    fn symbol(name: &str) -> Scope {
        Scope::Symbol(Symbol::parse(name).expect("a symbol"))
    }

    #[test]
    fn p3_a_switch_that_forgot_becomes_active_again() {
        let mut halts = Halts::untouched(0);
        assert!(!halts.learn_halted_epoch(0, "g", 1), "older news changes nothing");
        assert!(halts.learn_halted_epoch(7, "g", 1));
        let all = halts.all().expect("active");
        assert!(all.epoch == 8 && !all.durable && halts.epoch() == 8);
        let quiet = Halts::untouched(0).quiet().clone();
        let mut reused = Halts::restored(4, quiet.clone(), Vec::new());
        assert!(reused.activate(&symbol("ETHUSDT"), HaltLevel::HaltNew, author("other", 1)));
        assert!(
            reused.learn_halted_epoch(5, "g", 2) && reused.all().is_some(),
            "epoch 5 was counted anew; the gateway saw another one"
        );
        assert!(
            !reused.learn_halted_epoch(6, "g", 3),
            "what this run told it since is no news"
        );
        let mut restored = Halts::restored(7, quiet, Vec::new());
        assert!(
            restored.learn_halted_epoch(7, "g", 1),
            "the same epoch cannot be both active and not"
        );
    }

    #[test]
    fn p3_a_scoped_halt_is_no_reason_to_halt_everything_while_risk_knows_it() {
        let mut halts = Halts::untouched(0);
        assert!(!halts.learn_halted_epoch(0, "g", 4), "it has seen none");
        assert!(halts.activate(&symbol("BTCUSDT"), HaltLevel::HaltNew, author("why", 5)));
        assert!(!halts.learn_halted_epoch(2, "g", 6), "risk knows that halt");
        assert_eq!(halts.all(), None);
        assert!(halts.learn_halted_epoch(3, "g", 6), "a halt that risk does not know");
        assert!(halts.all().is_some() && halts.get(&symbol("BTCUSDT")).is_some());
    }

    #[test]
    fn p1_each_change_has_its_own_epoch() {
        let mut halts = Halts::untouched(0);
        assert!(halts.activate(&Scope::All, HaltLevel::HaltNew, author("why", 5)));
        assert_eq!(halts.epoch(), 2);
        assert!(
            !halts.activate(&Scope::All, HaltLevel::HaltNew, author("again", 6)),
            "active stays active"
        );
        let all = halts.all().expect("active");
        assert_eq!((all.epoch, all.author.reason.as_str()), (2, "why"));
        assert!(
            halts.activate(&Scope::All, HaltLevel::Flatten, author("more", 7)),
            "it can be raised"
        );
        let all = halts.all().expect("active");
        assert_eq!((all.epoch, all.since_ms, all.level), (3, 5, HaltLevel::Flatten));
        assert!(
            !halts.activate(&Scope::All, HaltLevel::CancelOrders, author("less", 8)),
            "and not lowered"
        );
        let lifting = halts.lifting(&Scope::All, author("done", 9)).expect("it holds");
        halts.lift(&lifting);
        assert_eq!(
            (halts.epoch(), halts.all(), halts.quiet().reason.as_str()),
            (4, None, "done")
        );
    }

    #[test]
    fn ending_the_halt_of_everything_leaves_the_others() {
        let mut halts = Halts::untouched(0);
        halts.activate(&symbol("BTCUSDT"), HaltLevel::HaltNew, author("one", 1));
        halts.activate(&Scope::All, HaltLevel::HaltNew, author("all", 2));
        let halting = |halts: &Halts, symbol: &str| halts.halting(symbol, "").map(|halt| halt.scope.clone());
        assert_eq!(
            halting(&halts, "BTCUSDT"),
            Some(Scope::All),
            "that of everything is named first"
        );
        let lifting = halts.lifting(&Scope::All, author("done", 3)).expect("it holds");
        halts.lift(&lifting);
        assert_eq!(halting(&halts, "BTCUSDT"), Some(symbol("BTCUSDT")));
        assert_eq!(halting(&halts, "ETHUSDT"), None);
    }

    proptest! {
        // Whatever is activated, raised, ended or kept: each change has an epoch of its own, and no halt is above it.
        #[test]
        fn p1_the_epoch_only_rises(steps in proptest::collection::vec((0u8..4, 0usize..3, 0usize..3), 1..40)) {
            let scopes = [Scope::All, symbol("BTCUSDT"), symbol("ETHUSDT")];
            let levels = [HaltLevel::HaltNew, HaltLevel::CancelOrders, HaltLevel::Flatten];
            let mut halts = Halts::untouched(0);
            for (step, scope, level) in steps {
                let (before, held) = (halts.epoch(), halts.get(&scopes[scope]).cloned());
                let changed = match (step, halts.lifting(&scopes[scope], author("end", 1))) {
                    (0 | 1, _) => halts.activate(&scopes[scope], levels[level], author("go", 1)),
                    (2, Some(lifting)) => { halts.lift(&lifting); true }
                    (_, Some(lifting)) => { halts.keep_in_spite_of(&lifting); true }
                    (_, None) => false,
                };
                prop_assert_eq!(halts.epoch() > before, changed);
                prop_assert!(halts.held().all(|halt| halt.epoch <= halts.epoch()));
                if step < 2 {
                    let now = halts.get(&scopes[scope]).expect("it was activated");
                    prop_assert!(held.is_none_or(|held| now.level >= held.level && now.since_ms == held.since_ms));
                }
            }
        }
    }
}
