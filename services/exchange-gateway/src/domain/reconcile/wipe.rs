//! A wiped test account: what the exchange itself once told of is gone, and nothing older has stayed.

use super::difference::{Class, Difference, Repair};
use super::trades::trade_json;
use super::{OpenOrderFact, Snapshot};

/// Balances that are shown as evidence.
const BALANCES_SHOWN: usize = 20;
const EXAMPLES_SHOWN: usize = 3;

/// What speaks for a wipe.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WipeSigns {
    pub vanished_trades: u64,
    /// Of the newest trade that is gone, exchange time; 0 when there was none.
    pub newest_vanished_ms: i64,
    pub vanished_orders: Vec<String>,
    /// The baseline's own last trades are gone.
    pub vanished_cursors: usize,
    pub examples: Vec<serde_json::Value>,
}

/// An exchange forgets no trade and no open order. If it does, and all that has stayed is newer than all that is gone, the
/// account was wiped in between.
pub(super) fn signs(s: &Snapshot) -> Option<WipeSigns> {
    if !s.wipe_possible {
        return None;
    }
    let denied = |order: &&OpenOrderFact| order.denied && !order.in_doubt;
    let signs = WipeSigns {
        vanished_trades: s.symbols.iter().map(|symbol| symbol.vanished_count).sum(),
        newest_vanished_ms: s
            .symbols
            .iter()
            .map(|symbol| symbol.vanished_newest_ms)
            .max()
            .unwrap_or(0),
        vanished_orders: s
            .own_open
            .iter()
            .filter(denied)
            .map(|order| order.client_order_id.clone())
            .collect(),
        vanished_cursors: s.symbols.iter().filter(|symbol| symbol.cursor_vanished).count(),
        examples: s
            .symbols
            .iter()
            .flat_map(|symbol| &symbol.vanished)
            .take(EXAMPLES_SHOWN)
            .map(trade_json)
            .collect(),
    };
    let oldest_common = s.symbols.iter().filter_map(|symbol| symbol.common_oldest_ms).min();
    let trades_gone = signs.vanished_trades > 0 || signs.vanished_cursors > 0;
    let nothing_older_stayed = oldest_common.is_none_or(|oldest| trades_gone && oldest > signs.newest_vanished_ms);
    let gone = trades_gone || !signs.vanished_orders.is_empty();
    (gone && nothing_older_stayed).then_some(signs)
}

/// The wipe as one difference, with the balances that it left.
pub(super) fn difference(signs: &WipeSigns, balances: &[Difference]) -> Difference {
    // What differs beyond the wipe must not hide behind it: the balances are part of its identity.
    let amounts: Vec<String> = balances
        .iter()
        .map(|b| format!("{} {}", b.asset, b.difference.unwrap_or_default()))
        .collect();
    let key = format!("{} {}", signs.newest_vanished_ms, amounts.join(", "));
    let mut wipe = Difference::new(Class::TestnetWipe, key)
        .why(format!(
            "the exchange does not know {} trades and {} open orders any more that it told of before, and nothing older has stayed: the test account was wiped",
            signs.vanished_trades,
            signs.vanished_orders.len()
        ))
        .mended_by(
            Repair::Investigate,
            "the positions of before are gone: start over in a new data folder, or override with a reason",
        );
    wipe.local = serde_json::json!({
        "trades": signs.vanished_trades,
        "open_orders": signs.vanished_orders.iter().take(BALANCES_SHOWN).collect::<Vec<_>>(),
        "baseline_trades": signs.vanished_cursors,
        "examples": signs.examples,
    });
    wipe.exchange = serde_json::json!({
        "knows": "none of them",
        "balances_beyond_what_is_expected": amounts.iter().take(BALANCES_SHOWN).collect::<Vec<_>>(),
    });
    wipe
}
