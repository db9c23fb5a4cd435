use std::collections::BTreeMap;

use thunes_types::{Decimal, Symbol};

use super::Asset;

/// What an account holds of one asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldBalance {
    pub free: Decimal,
    pub locked: Decimal,
}

/// What an account held before the first fill of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline {
    pub account: String,
    pub balances: BTreeMap<Asset, HeldBalance>,
    /// The highest trade id per symbol that the balances include.
    pub cursors: BTreeMap<Symbol, i64>,
    pub taken_at_ms: i64,
}

/// What recording a baseline means, given what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaselineChange {
    First,
    /// This very baseline is known.
    Same,
    Replaced,
    /// Another one is known, and nobody asked to replace it.
    Conflict,
}

impl Baseline {
    /// Decides what becomes of this baseline.
    pub fn change_from(&self, known: Option<&Self>, replace: bool) -> BaselineChange {
        match known {
            None => BaselineChange::First,
            Some(known) if known == self => BaselineChange::Same,
            Some(_) if replace => BaselineChange::Replaced,
            Some(_) => BaselineChange::Conflict,
        }
    }
}
