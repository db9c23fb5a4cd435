use std::collections::{BTreeMap, BTreeSet};

/// How long things last. The exchange refuses an order `recv_window_ms` after it was signed; `uncertainty_ms` bounds what
/// clocks may differ by; so nothing signed under a lease is accepted later than both together after the lease's end.
#[derive(Debug, Clone, Copy)]
pub struct LeaseRules {
    pub lease_ms: i64,
    pub recv_window_ms: i64,
    pub uncertainty_ms: i64,
}

impl LeaseRules {
    /// From a lease's end until nothing signed under it can be accepted any more.
    pub fn grace_ms(&self) -> i64 {
        self.recv_window_ms + self.uncertainty_ms
    }
}

/// The one gateway of an account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holder {
    pub gateway_id: String,
    pub incarnation: String,
    /// Of its last lease, by risk's boot clock, counted from after the grant.
    pub lease_end_boot_ms: i64,
    /// By the epoch under which they were granted, when its leases end.
    granted: BTreeMap<i64, i64>,
    /// Until when it counts as alive by its last message, whether or not that brought it a lease.
    pub heard_until_boot_ms: i64,
    pub connected: bool,
    /// The highest epoch for which it said "closed, nothing in flight".
    pub confirmed_epoch: i64,
    /// The epochs of halts of one scope for which it said "closed for that scope, nothing of it in flight".
    pub confirmed_halts: BTreeSet<i64>,
    /// The highest halted epoch that it has on its own disk.
    pub persisted_epoch: i64,
}

/// What a gateway gets when it asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Claim {
    /// It is the account's gateway.
    Holder,
    /// It may become it: the present one's time is over. Its name must be on disk before the first grant.
    MayTakeOver,
    /// Another gateway, or another run of this one, may still have orders on the way.
    HeldByAnother { until_boot_ms: i64 },
}

/// Who may send opening orders, by account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Leases {
    holders: BTreeMap<String, Holder>,
}

impl Leases {
    /// After a restart risk does not know what it granted: each known holder may have a full lease.
    pub fn restore(&mut self, account: &str, gateway_id: &str, incarnation: &str, now_boot_ms: i64, rules: LeaseRules) {
        self.take_over(account, gateway_id, incarnation, now_boot_ms + rules.lease_ms);
    }

    pub fn claim(
        &self,
        account: &str,
        gateway_id: &str,
        incarnation: &str,
        now_boot_ms: i64,
        rules: LeaseRules,
    ) -> Claim {
        let Some(holder) = self.holders.get(account) else {
            return Claim::MayTakeOver;
        };
        if holder.gateway_id == gateway_id && holder.incarnation == incarnation {
            return Claim::Holder;
        }
        // While everything is halted there are no leases; who is heard still holds the account and carries out the halt.
        let until_boot_ms = holder.lease_end_boot_ms.max(holder.heard_until_boot_ms) + rules.grace_ms();
        if now_boot_ms >= until_boot_ms {
            Claim::MayTakeOver
        } else {
            Claim::HeldByAnother { until_boot_ms }
        }
    }

    pub fn take_over(&mut self, account: &str, gateway_id: &str, incarnation: &str, lease_end_boot_ms: i64) {
        let holder = Holder {
            gateway_id: gateway_id.to_owned(),
            incarnation: incarnation.to_owned(),
            lease_end_boot_ms,
            heard_until_boot_ms: lease_end_boot_ms,
            // Older than every halt.
            granted: BTreeMap::from([(0, lease_end_boot_ms)]),
            connected: false,
            confirmed_epoch: 0,
            confirmed_halts: BTreeSet::new(),
            persisted_epoch: 0,
        };
        self.holders.insert(account.to_owned(), holder);
    }

    /// The holder's entry, if this run of this gateway is the holder.
    pub fn holder_mut(&mut self, account: &str, gateway_id: &str, incarnation: &str) -> Option<&mut Holder> {
        self.holders
            .get_mut(account)
            .filter(|h| h.gateway_id == gateway_id && h.incarnation == incarnation)
    }

    pub fn all(&self) -> impl Iterator<Item = (&str, &Holder)> {
        self.holders.iter().map(|(account, holder)| (account.as_str(), holder))
    }
}

/// Epochs whose leases are told apart; the oldest are taken together, which waits longer and never shorter.
const GRANTS_MAX: usize = 16;

impl Holder {
    /// It got a lease under `epoch` that ends then.
    pub fn grant(&mut self, epoch: i64, lease_end_boot_ms: i64) {
        self.lease_end_boot_ms = self.lease_end_boot_ms.max(lease_end_boot_ms);
        let end = self.granted.entry(epoch).or_insert(lease_end_boot_ms);
        *end = (*end).max(lease_end_boot_ms);
        while self.granted.len() > GRANTS_MAX {
            // Under the older epoch and with the later end: whoever waits for either waits for both.
            let Some((oldest, end)) = self.granted.pop_first() else {
                return;
            };
            let Some((_, later)) = self.granted.pop_first() else {
                return;
            };
            self.granted.insert(oldest, later.max(end));
        }
    }

    /// When nothing that it signed before it could know of a halt of `epoch` can be accepted any more. Leases of that
    /// epoch and later ones carry the halt, so they do not count.
    pub fn silent_until(&self, epoch: i64, rules: LeaseRules) -> i64 {
        let before = self.granted.range(..epoch).map(|(_, end)| *end).max();
        before.unwrap_or(self.lease_end_boot_ms) + rules.grace_ms()
    }

    /// Whether nothing of this gateway can be accepted any more, for an activation with `epoch`; None while it can.
    pub fn fenced(&self, epoch: i64, now_boot_ms: i64, rules: LeaseRules) -> Option<Fenced> {
        if self.confirmed_epoch >= epoch || self.confirmed_halts.contains(&epoch) {
            Some(Fenced::Confirmed)
        } else if now_boot_ms >= self.silent_until(epoch, rules) {
            Some(Fenced::LeaseExpired)
        } else {
            None
        }
    }
}

/// Why a gateway is known to be fenced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fenced {
    Confirmed,
    LeaseExpired,
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: LeaseRules = LeaseRules {
        lease_ms: 1000,
        recv_window_ms: 2000,
        uncertainty_ms: 500,
    };

    #[test]
    fn p1_a_second_run_waits_until_the_first_ones_orders_are_dead() {
        let mut leases = Leases::default();
        assert_eq!(leases.claim("acc", "g", "1", 0, RULES), Claim::MayTakeOver);
        leases.take_over("acc", "g", "1", 1000);
        assert_eq!(leases.claim("acc", "g", "1", 5000, RULES), Claim::Holder);
        for (gateway, run) in [("g", "2"), ("other", "1")] {
            assert_eq!(
                leases.claim("acc", gateway, run, 3499, RULES),
                Claim::HeldByAnother { until_boot_ms: 3500 }
            );
            assert_eq!(leases.claim("acc", gateway, run, 3500, RULES), Claim::MayTakeOver);
        }
        assert_eq!(leases.claim("other account", "h", "1", 0, RULES), Claim::MayTakeOver);
    }

    #[test]
    fn p1_a_holder_that_is_heard_keeps_the_account_while_everything_is_halted() {
        let mut leases = Leases::default();
        leases.take_over("acc", "a", "1", 0);
        let holder = leases.holder_mut("acc", "a", "1").expect("the holder");
        holder.heard_until_boot_ms = 60_000;
        assert_eq!(
            leases.claim("acc", "b", "1", 60_000, RULES),
            Claim::HeldByAnother { until_boot_ms: 62_500 },
            "without a lease, but alive"
        );
        assert_eq!(leases.claim("acc", "b", "1", 62_500, RULES), Claim::MayTakeOver);
    }

    #[test]
    fn p1_silence_is_waited_for_until_the_receive_window_is_over() {
        let mut leases = Leases::default();
        leases.restore("acc", "g", "1", 0, RULES);
        let holder = leases.holder_mut("acc", "g", "1").expect("restored");
        assert_eq!(
            holder.fenced(2, 3499, RULES),
            None,
            "after a restart a full lease may be out"
        );
        assert_eq!(holder.fenced(2, 3500, RULES), Some(Fenced::LeaseExpired));
        holder.confirmed_epoch = 1;
        assert_eq!(
            holder.fenced(2, 100, RULES),
            None,
            "a word about an older epoch is no word"
        );
        holder.confirmed_epoch = 2;
        assert_eq!(holder.fenced(2, 100, RULES), Some(Fenced::Confirmed));
    }

    #[test]
    fn p1_leases_that_carry_the_halt_do_not_push_its_fence_out() {
        let mut leases = Leases::default();
        leases.take_over("acc", "g", "1", 0);
        let holder = leases.holder_mut("acc", "g", "1").expect("it holds the account");
        holder.grant(4, 1000);
        // A symbol is halted at epoch 5; leases for the others go on.
        for end in [1300, 1600, 60_000] {
            holder.grant(5, end);
        }
        assert_eq!(holder.fenced(5, 3499, RULES), None);
        assert_eq!(holder.fenced(5, 3500, RULES), Some(Fenced::LeaseExpired));
        assert_eq!(holder.fenced(6, 3500, RULES), None, "a later halt waits for them");
        holder.confirmed_halts.insert(6);
        assert_eq!(holder.fenced(6, 3500, RULES), Some(Fenced::Confirmed));
        assert_eq!(holder.fenced(7, 3500, RULES), None, "that word was about another halt");
    }

    #[test]
    fn p1_leases_of_many_epochs_are_taken_together_on_the_safe_side() {
        let mut leases = Leases::default();
        leases.take_over("acc", "g", "1", 0);
        let holder = leases.holder_mut("acc", "g", "1").expect("it holds the account");
        let end_under = |epoch: i64| epoch * 1000;
        for epoch in 1..200 {
            holder.grant(epoch, end_under(epoch));
            assert!(holder.granted.len() <= GRANTS_MAX);
            for halted in 1..=epoch + 1 {
                let exact = end_under(halted - 1) + RULES.grace_ms();
                assert!(holder.silent_until(halted, RULES) >= exact, "{epoch} {halted}");
            }
            assert_eq!(
                holder.silent_until(epoch + 1, RULES),
                end_under(epoch) + RULES.grace_ms()
            );
        }
    }
}
