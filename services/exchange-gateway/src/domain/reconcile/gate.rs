//! Whether what is known of the account is good enough to open positions.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// An operator's word that opening may go on in spite of these discrepancies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// What it was given for: another discrepancy ends it.
    pub seen: BTreeSet<String>,
    /// UTC.
    pub expires_at_ms: i64,
    pub reason: String,
    pub actor: String,
}

/// Why an override does not hold any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    Expired,
    /// Discrepancies that it was not given for.
    NewDiscrepancies(BTreeSet<String>),
}

/// Opening waits for the first clean reconciliation of a run, or for an operator.
#[derive(Debug, Clone, Default)]
pub struct ReconcileGate {
    clean_once: bool,
    /// What the last reconciliation with a verdict found in the way; None before the first of this run.
    found: Option<BTreeSet<String>>,
    overridden: Option<Override>,
}

impl ReconcileGate {
    /// With the override that the run before was given. It counts once this run has looked for itself.
    pub fn restored(overridden: Option<Override>) -> Self {
        Self {
            overridden,
            ..Self::default()
        }
    }

    /// Whether opening is allowed. Once clean it stays so for this run: what is found later is the kill-switch's business.
    pub fn is_open(&self, now_ms: i64) -> bool {
        if self.clean_once {
            return true;
        }
        let (Some(overridden), Some(found)) = (&self.overridden, &self.found) else {
            return false;
        };
        now_ms < overridden.expires_at_ms && found.is_subset(&overridden.seen)
    }

    pub fn is_clean(&self) -> bool {
        self.clean_once
    }

    pub fn overridden(&self) -> Option<&Override> {
        self.overridden.as_ref()
    }

    /// What the last reconciliation found in the way.
    pub fn found(&self) -> Option<&BTreeSet<String>> {
        self.found.as_ref()
    }

    /// A reconciliation came to a verdict. Says why an override has ended by it.
    pub fn reconciled(&mut self, blocking: BTreeSet<String>, now_ms: i64) -> Option<Ended> {
        self.clean_once |= blocking.is_empty();
        let ended = self.overridden.as_ref().and_then(|overridden| {
            let new: BTreeSet<String> = blocking.difference(&overridden.seen).cloned().collect();
            if !new.is_empty() {
                Some(Ended::NewDiscrepancies(new))
            } else {
                (now_ms >= overridden.expires_at_ms).then_some(Ended::Expired)
            }
        });
        if ended.is_some() {
            self.overridden = None;
        }
        self.found = Some(blocking);
        ended
    }

    /// An operator opens in spite of what was found.
    pub fn set_override(&mut self, overridden: Override) {
        // Where nothing could be read yet, it is given for nothing found so far.
        self.found.get_or_insert_default();
        self.overridden = Some(overridden);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(keys: &[&str]) -> BTreeSet<String> {
        keys.iter().map(|k| (*k).to_owned()).collect()
    }

    fn word(seen: &[&str]) -> Override {
        Override {
            seen: set(seen),
            expires_at_ms: 1000,
            reason: "known".into(),
            actor: "op".into(),
        }
    }

    #[test]
    fn p9_nothing_opens_before_the_first_clean_reconciliation() {
        let mut gate = ReconcileGate::default();
        assert!(!gate.is_open(0));
        assert_eq!(gate.reconciled(set(&["a"]), 0), None);
        assert!(!gate.is_open(0));
        assert_eq!(gate.reconciled(set(&[]), 0), None);
        assert!(gate.is_open(0));
        assert_eq!(gate.reconciled(set(&["later"]), 0), None);
        assert!(gate.is_open(0), "what comes later is the switch's business");
    }

    #[test]
    fn p9_an_override_ends_with_its_time_and_with_a_discrepancy_that_it_did_not_see() {
        let mut gate = ReconcileGate::default();
        gate.reconciled(set(&["a", "b"]), 0);
        gate.set_override(word(&["a", "b"]));
        assert!(gate.is_open(999) && !gate.is_open(1000));
        assert_eq!(gate.reconciled(set(&["a"]), 1), None, "fewer is fine");
        assert!(gate.is_open(1));
        let ended = gate.reconciled(set(&["a", "c"]), 2);
        assert_eq!(ended, Some(Ended::NewDiscrepancies(set(&["c"]))));
        assert!(!gate.is_open(2));
        gate.set_override(word(&["a", "c"]));
        assert_eq!(gate.reconciled(set(&["a"]), 1000), Some(Ended::Expired));
    }

    #[test]
    fn p9_an_override_of_the_run_before_counts_only_once_this_run_has_looked() {
        let mut gate = ReconcileGate::restored(Some(word(&["a"])));
        assert!(!gate.is_open(0));
        gate.reconciled(set(&["a"]), 0);
        assert!(gate.is_open(0));
    }
}
