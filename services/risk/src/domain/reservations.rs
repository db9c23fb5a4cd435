use std::collections::{BTreeSet, HashMap};

use thunes_types::{Decimal, MoneyError, checked_add};

/// Exposure that an approved order may still add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The account whose gateway asked.
    pub account: String,
    pub symbol: String,
    /// Quote.
    pub notional: Decimal,
    /// By the boot clock; a gateway must not send the order after this.
    pub expires_at_boot_ms: i64,
    /// The book that holds its fills; the reservation goes when that book has come.
    pub settled_at_revision: Option<i64>,
}

/// An order that a gateway reports as not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveExposure {
    pub client_order_id: String,
    pub symbol: String,
    pub notional: Decimal,
}

/// All reserved exposure.
#[derive(Debug, Default)]
pub struct Reservations {
    by_order: HashMap<String, Reservation>,
}

impl Reservations {
    pub fn insert(&mut self, client_order_id: &str, reservation: Reservation) {
        self.by_order.insert(client_order_id.to_owned(), reservation);
    }

    /// Takes a reservation out, so that an order that is judged again does not stand in its own way.
    pub fn take(&mut self, client_order_id: &str) -> Option<Reservation> {
        self.by_order.remove(client_order_id)
    }

    pub fn len(&self) -> usize {
        self.by_order.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_order.is_empty()
    }

    /// Reserved quote in one symbol.
    ///
    /// # Errors
    /// When the sum does not fit.
    pub fn notional_of(&self, symbol: &str) -> Result<Decimal, MoneyError> {
        sum(self.by_order.values().filter(|r| r.symbol == symbol))
    }

    /// Reserved quote in all symbols.
    ///
    /// # Errors
    /// When the sum does not fit.
    pub fn notional(&self) -> Result<Decimal, MoneyError> {
        sum(self.by_order.values())
    }

    pub fn symbols(&self) -> BTreeSet<&str> {
        self.by_order.values().map(|r| r.symbol.as_str()).collect()
    }

    /// The order ended. Without fills its exposure is free at once; with fills, when the book holds them.
    pub fn settle(&mut self, client_order_id: &str, book_revision: i64, present_revision: i64) -> bool {
        let Some(reservation) = self.by_order.get_mut(client_order_id) else {
            return false;
        };
        if book_revision <= present_revision {
            self.by_order.remove(client_order_id);
        } else {
            reservation.settled_at_revision = Some(book_revision);
        }
        true
    }

    /// The book has come to `revision`.
    pub fn book_arrived(&mut self, revision: i64) {
        self.by_order
            .retain(|_, r| r.settled_at_revision.is_none_or(|at| at > revision));
    }

    /// Takes over a gateway's whole list of live orders: unknown ones are reserved (risk restarted), known ones shrink
    /// or stay, and ones that the gateway does not list are freed once nothing signed under their approval can be
    /// accepted any more (`grace_ms` after they expired).
    pub fn reconcile(&mut self, account: &str, live: &[LiveExposure], now_boot_ms: i64, grace_ms: i64) {
        for order in live {
            let known = self.by_order.get_mut(&order.client_order_id);
            match known {
                Some(reservation) => reservation.notional = reservation.notional.min(order.notional),
                None => self.insert(
                    &order.client_order_id,
                    Reservation {
                        account: account.to_owned(),
                        symbol: order.symbol.clone(),
                        notional: order.notional,
                        expires_at_boot_ms: now_boot_ms,
                        settled_at_revision: None,
                    },
                ),
            }
        }
        let listed: BTreeSet<&str> = live.iter().map(|order| order.client_order_id.as_str()).collect();
        self.by_order.retain(|id, r| {
            let alive = now_boot_ms < r.expires_at_boot_ms.saturating_add(grace_ms);
            r.account != account || listed.contains(id.as_str()) || alive
        });
    }
}

fn sum<'a>(reservations: impl Iterator<Item = &'a Reservation>) -> Result<Decimal, MoneyError> {
    reservations.map(|r| r.notional).try_fold(Decimal::ZERO, checked_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reservation(expires_at_boot_ms: i64) -> Reservation {
        Reservation {
            account: "main".into(),
            symbol: "BTCUSDT".into(),
            notional: Decimal::from(100),
            expires_at_boot_ms,
            settled_at_revision: None,
        }
    }

    #[test]
    fn p2_exposure_moves_to_the_book_only_when_the_book_holds_it() {
        let mut all = Reservations::default();
        all.insert("a", reservation(10));
        assert!(all.settle("a", 5, 4), "known");
        assert_eq!(all.len(), 1, "the book is still at 4");
        all.book_arrived(4);
        assert_eq!(all.len(), 1);
        all.book_arrived(5);
        assert_eq!(all.len(), 0);
        assert!(!all.settle("a", 5, 5));
    }

    #[test]
    fn p2_an_order_that_may_still_be_accepted_keeps_its_exposure() {
        let mut all = Reservations::default();
        all.insert("a", reservation(1000));
        all.reconcile("main", &[], 3499, 2500);
        assert_eq!(all.len(), 1, "it could still be accepted");
        all.reconcile("main", &[], 3500, 2500);
        assert_eq!(all.len(), 0);
    }

    #[test]
    fn p2_a_restarted_risk_learns_the_live_orders() {
        let mut all = Reservations::default();
        let live = LiveExposure {
            client_order_id: "x".into(),
            symbol: "ETHUSDT".into(),
            notional: Decimal::from(70),
        };
        all.reconcile("main", std::slice::from_ref(&live), 0, 2500);
        assert_eq!(all.notional_of("ETHUSDT").expect("fits"), Decimal::from(70));
        all.reconcile(
            "main",
            &[LiveExposure {
                notional: Decimal::from(30),
                ..live
            }],
            10_000,
            2500,
        );
        assert_eq!(
            all.notional().expect("fits"),
            Decimal::from(30),
            "partly filled: the rest stays reserved"
        );
    }
}
