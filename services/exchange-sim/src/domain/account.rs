//! Balances: free and locked, never negative.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// What an account holds of one asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Balance {
    /// Can be spent.
    pub free: Decimal,
    /// Bound by open orders.
    pub locked: Decimal,
}

impl Balance {
    /// Moves an amount from free to locked.
    pub fn lock(&mut self, amount: Decimal) {
        self.free -= amount;
        self.locked += amount;
        self.check();
    }

    /// Moves an amount from locked to free.
    pub fn unlock(&mut self, amount: Decimal) {
        self.locked -= amount;
        self.free += amount;
        self.check();
    }

    /// Takes an amount out of locked.
    pub fn spend_locked(&mut self, amount: Decimal) {
        self.locked -= amount;
        self.check();
    }

    /// Takes an amount out of free.
    pub fn spend_free(&mut self, amount: Decimal) {
        self.free -= amount;
        self.check();
    }

    /// Adds to free.
    pub fn credit(&mut self, amount: Decimal) {
        self.free += amount;
    }

    // A negative balance would be money made from nothing; everything that spends has asked for the funds before.
    fn check(&self) {
        assert!(
            !self.free.is_sign_negative() || self.free.is_zero(),
            "free balance went below zero: {self:?}"
        );
        assert!(
            !self.locked.is_sign_negative() || self.locked.is_zero(),
            "locked balance went below zero: {self:?}"
        );
    }
}
