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

/// Begins the last line of an alert that could not be delivered when it was raised.
pub const TEXT_ALERT_LATE: &str = "⏰ This alert is late:";
