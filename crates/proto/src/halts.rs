//! Between the wire and the types of halts.

use thunes_types::{FieldError, HaltLevel, Scope};

use crate::risk::v1 as pb;

/// Reads a level; UNSPECIFIED halts what is new.
///
/// # Errors
/// For a number that is no level.
pub fn level_from_wire(level: i32) -> Result<HaltLevel, FieldError> {
    match pb::KillSwitchLevel::try_from(level) {
        Ok(pb::KillSwitchLevel::Unspecified | pb::KillSwitchLevel::HaltNew) => Ok(HaltLevel::HaltNew),
        Ok(pb::KillSwitchLevel::CancelOrders) => Ok(HaltLevel::CancelOrders),
        Ok(pb::KillSwitchLevel::Flatten) => Ok(HaltLevel::Flatten),
        Err(_) => Err(FieldError::new(
            "level",
            &level.to_string(),
            "KILL_SWITCH_LEVEL_HALT_NEW, KILL_SWITCH_LEVEL_CANCEL_ORDERS or KILL_SWITCH_LEVEL_FLATTEN",
        )),
    }
}

/// The wire's number of a level.
pub fn level_to_wire(level: HaltLevel) -> i32 {
    match level {
        HaltLevel::HaltNew => pb::KillSwitchLevel::HaltNew,
        HaltLevel::CancelOrders => pb::KillSwitchLevel::CancelOrders,
        HaltLevel::Flatten => pb::KillSwitchLevel::Flatten,
    }
    .into()
}

/// Reads a scope; left out means everything.
///
/// # Errors
/// For names that are wrong, or two at once.
pub fn scope_from_wire(scope: Option<&pb::Scope>) -> Result<Scope, FieldError> {
    scope.map_or(Ok(Scope::All), |scope| Scope::parse(&scope.strategy_id, &scope.symbol))
}

/// A scope for the wire; everything is left out.
pub fn scope_to_wire(scope: &Scope) -> Option<pb::Scope> {
    match scope {
        Scope::All => None,
        Scope::Strategy(_) | Scope::Symbol(_) => Some(pb::Scope {
            strategy_id: scope.strategy_id().to_owned(),
            symbol: scope.symbol().to_owned(),
        }),
    }
}
