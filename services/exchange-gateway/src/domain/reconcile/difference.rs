use serde_json::Value;
use thunes_types::Decimal;

use super::TradeFact;

/// Begins the key of a trade that may be that of an order in doubt. No client_order_id has a space in it.
pub(super) const TRADE_KEY: &str = "trade ";

/// What kind of difference it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    MissedFill,
    PhantomFill,
    ExternalTrade,
    UnknownOpenOrder,
    PhantomOrder,
    FillMismatch,
    InDoubt,
    UnexplainedBalance,
    PositionMismatch,
    DuplicateFill,
    FeeDifference,
    Dust,
    DepositWithdrawal,
    ExternalLock,
    TestnetWipe,
    TurnedUp,
}

/// What would mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Repair {
    /// It is accounted for.
    Nothing,
    /// Take the exchange's trade into the book.
    AdoptFill,
    /// It ends by itself, or an operator resolves the order.
    Wait,
    CancelAtExchange,
    RestorePosition,
    /// A person has to find out.
    Investigate,
}

/// What differs, with both sides' evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub class: Class,
    pub symbol: String,
    pub asset: String,
    /// Tells this difference from others of its class.
    pub key: String,
    pub local: Value,
    pub exchange: Value,
    pub difference: Option<Decimal>,
    pub cause: String,
    pub repair: Repair,
    pub proposed_repair: String,
    /// The exchange's trade that a repair would adopt.
    pub adopt: Option<TradeFact>,
}

impl Difference {
    /// A difference with nothing but its class and its key.
    pub(super) fn new(class: Class, key: impl Into<String>) -> Self {
        Self {
            class,
            symbol: String::new(),
            asset: String::new(),
            key: key.into(),
            local: Value::Null,
            exchange: Value::Null,
            difference: None,
            cause: String::new(),
            repair: Repair::Investigate,
            proposed_repair: String::new(),
            adopt: None,
        }
    }

    pub(super) fn why(mut self, cause: impl Into<String>) -> Self {
        self.cause = cause.into();
        self
    }

    pub(super) fn mended_by(mut self, repair: Repair, text: impl Into<String>) -> Self {
        self.repair = repair;
        self.proposed_repair = text.into();
        self
    }

    /// Whether it is an order in doubt, not a trade that may be that order's.
    pub fn is_order_in_doubt(&self) -> bool {
        self.class == Class::InDoubt && !self.key.starts_with(TRADE_KEY)
    }

    /// What makes two sightings the same difference.
    pub fn identity(&self) -> String {
        let amount = self.difference.map_or_else(String::new, |d| d.normalize().to_string());
        format!("{:?}|{}|{}|{}|{amount}", self.class, self.symbol, self.asset, self.key)
    }
}
