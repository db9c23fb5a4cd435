//! How values look to people.

use thunes_proto::gateway::v1::{Order, OrderState};
use thunes_proto::types::v1::{Check, Side};
use thunes_runtime::clock;

/// `SIDE_BUY` as `BUY`: the last part of an enum value's name.
pub fn short<'a>(name: &'a str, prefix: &str) -> &'a str {
    name.strip_prefix(prefix).unwrap_or(name)
}

pub fn side(side: Side) -> &'static str {
    short(side.as_str_name(), "SIDE_")
}

pub fn state(state: OrderState) -> &'static str {
    short(state.as_str_name(), "ORDER_STATE_")
}

/// As the paper form writes it.
pub fn truth(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

pub fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// A time for people, or nothing when there is none.
pub fn time(ms: i64) -> String {
    if ms <= 0 { String::new() } else { clock::iso_utc(ms) }
}

/// How long ago, in whole seconds.
pub fn age(since_ms: i64) -> String {
    format!("{} s", (clock::now_ms() - since_ms).max(0) / 1000)
}

/// Microseconds as milliseconds.
pub fn micros(us: i64) -> String {
    format!("{}.{:03} ms", us / 1000, (us % 1000).abs())
}

/// An amount with its unit; nothing when there is no amount.
pub fn amount(value: &str, unit: &str) -> String {
    if value.is_empty() {
        String::new()
    } else {
        format!("{value} {unit}")
    }
}

pub fn checks(checks: &[Check]) -> String {
    let one = |check: &Check| {
        let mark = if check.passed { "✓" } else { "✗" };
        let bound = if check.bound.is_empty() {
            String::new()
        } else {
            format!("  (must be: {})", check.bound)
        };
        format!("  {mark} {}: {}{bound}\n", check.name, check.value)
    };
    checks.iter().map(one).collect()
}

/// Where the page of a reason code is, with the code.
pub fn reason_code(code: &str) -> String {
    if code.is_empty() {
        String::new()
    } else {
        format!("{code} (docs/errors/{code}.md)")
    }
}

/// One order, in lines.
pub fn order(order: &Order) -> String {
    let mut facts = crate::output::Facts::default();
    facts.add("Order", &order.client_order_id);
    facts.add("State", state(order.state()));
    facts.add(
        "Trade",
        format!("{} {} {}", side(order.side()), asked_size(order), order.symbol),
    );
    let mut add = |label: &str, value: &str| {
        if !value.is_empty() {
            facts.add(label, value);
        }
    };
    add("Limit price", &order.limit_price);
    add("Reason", &order.reason);
    add("Reason code", &reason_code(&order.reason_code));
    if !order.fills.is_empty()
        || order
            .executed_quantity
            .contains(|digit: char| ('1'..='9').contains(&digit))
    {
        add(
            "Executed",
            &format!("{} for {}", order.executed_quantity, order.executed_quote),
        );
    }
    add("Exchange's id", &order.venue_order_id);
    add("Strategy", &order.strategy_id);
    add("Created", &time(order.created_at_ms));
    add("Resolved", &time(order.resolved_at_ms));
    add("Resolved by", &order.resolved_by);
    add("Turned up", &time(order.turned_up_at_ms));
    add("Trace", &order.trace_id);
    let mut text = facts.render();
    for fill in &order.fills {
        text += &format!(
            "  fill {}: {} @ {}, fee {} {}\n",
            fill.trade_id, fill.quantity, fill.price, fill.commission, fill.commission_asset
        );
    }
    text + &checks(&order.checks)
}

/// What the order asked for.
pub fn asked_size(order: &Order) -> String {
    if order.quantity.is_empty() {
        format!("for {} (quote)", order.quote_amount)
    } else {
        order.quantity.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_prefix_and_truths_are_written_as_in_the_form() {
        assert_eq!(side(Side::Buy), "BUY");
        assert_eq!(state(OrderState::NeverArrived), "NEVER_ARRIVED");
        assert_eq!((truth(true), truth(false)), ("True", "False"));
        assert_eq!(micros(1_234_567), "1234.567 ms");
        assert_eq!(
            (amount("5", "USDT"), amount("", "USDT")),
            ("5 USDT".to_owned(), String::new())
        );
    }
}
