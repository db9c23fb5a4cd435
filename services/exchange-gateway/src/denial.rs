//! Why an order is denied, in words.

use thunes_runtime::clock;
use thunes_types::{ReasonCode, TEXT_KILL_SWITCH_DENIED, text_opening_halted};

use crate::domain::fence::Subject;
use crate::engine::Engine;

/// Why an order goes no further.
pub(crate) struct Denial {
    pub code: ReasonCode,
    pub text: String,
}

impl Engine {
    /// Why the gate did not let it pass, with the scope of the halt if it is one of a symbol or strategy.
    pub(crate) fn closed_for(&self, subject: Subject<'_>, code: ReasonCode) -> Denial {
        let of_scope = self.gate(|gate| {
            let all = gate.closed_because(clock::boot_ms()) == Some(ReasonCode::KillSwitchActive);
            let scope = gate.scope_halting(subject.symbol, subject.strategy_id);
            scope.filter(|_| !all).map(text_opening_halted)
        });
        let text = match (code, of_scope) {
            (ReasonCode::KillSwitchActive, Some(text)) => text,
            (code, _) => closed_text(code),
        };
        Denial { code, text }
    }
}

/// What the gate says to an order that it does not let pass.
pub(crate) fn closed_text(code: ReasonCode) -> String {
    match code {
        ReasonCode::KillSwitchActive => TEXT_KILL_SWITCH_DENIED.to_owned(),
        ReasonCode::RiskUnreachable => "❌ Risk is unreachable; no new positions without it".into(),
        ReasonCode::LeaseExpired => "❌ The lease from risk has run out; no new positions without one".into(),
        ReasonCode::ClockUncertain => "❌ The exchange's clock is too uncertain for an opening order".into(),
        ReasonCode::AccountHeldByAnotherGateway => {
            "❌ Another gateway holds the account, or its orders may still be on the way".into()
        }
        other => {
            format!("❌ Risk's approval does not count any more ({other}); submit again under a new client_order_id")
        }
    }
}
