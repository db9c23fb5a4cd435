use crate::Scope;

/// Said of a position-opening order while the kill-switch is active.
pub const TEXT_KILL_SWITCH_DENIED: &str = "❌ Kill-switch is active. No new positions allowed.";
/// Said of a position-closing order while the kill-switch is active.
pub const TEXT_SELL_ALLOWED: &str = "✅ SELL orders allowed during kill-switch to close positions";
/// Said of a trade that passes every check.
pub const TEXT_TRADE_PASSED: &str = "✅ Trade validation passed";

/// Logged and sent as the alert when the switch is activated.
pub fn text_kill_switch_activated(reason: &str) -> String {
    format!("🚨 KILL SWITCH ACTIVATED: {reason}")
}

/// Logged and sent as the alert when the switch is deactivated.
pub fn text_kill_switch_deactivated(reason: &str) -> String {
    format!("🔓 Kill-switch deactivated: {reason}")
}

/// Said of a position-opening order that a halt of `scope` stops.
pub fn text_opening_halted(scope: &Scope) -> String {
    match scope {
        Scope::All => TEXT_KILL_SWITCH_DENIED.to_owned(),
        Scope::Strategy(_) | Scope::Symbol(_) => {
            format!("❌ Kill-switch is active for {scope}. No new positions allowed.")
        }
    }
}

/// Logged and sent as the alert when a halt of `scope` is activated.
pub fn text_halt_activated(scope: &Scope, reason: &str) -> String {
    match scope {
        Scope::All => text_kill_switch_activated(reason),
        Scope::Strategy(_) | Scope::Symbol(_) => format!("🚨 KILL SWITCH ACTIVATED for {scope}: {reason}"),
    }
}

/// Logged and sent as the alert when a halt of `scope` is ended.
pub fn text_halt_deactivated(scope: &Scope, reason: &str) -> String {
    match scope {
        Scope::All => text_kill_switch_deactivated(reason),
        Scope::Strategy(_) | Scope::Symbol(_) => format!("🔓 Kill-switch deactivated for {scope}: {reason}"),
    }
}

/// Begins the last line of an alert that could not be delivered when it was raised.
pub const TEXT_ALERT_LATE: &str = "⏰ This alert is late:";
