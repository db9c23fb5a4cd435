use rust_decimal::Decimal;

/// The exchange's own record, as the drill needs it.
#[derive(Debug, Clone, Default)]
pub struct SimLedger {
    pub orders: Vec<LedgerOrder>,
    pub fills: Vec<LedgerFill>,
    pub balances: Vec<LedgerBalance>,
}

/// An order that the exchange accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerOrder {
    pub client_order_id: String,
    pub symbol: String,
    /// BUY or SELL.
    pub side: String,
    pub status: String,
    pub accepted_at_ms: i64,
}

/// An execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerFill {
    pub symbol: String,
    pub trade_id: i64,
    pub client_order_id: String,
    pub base_asset: String,
    /// BUY or SELL.
    pub side: String,
    /// Base, before any fee.
    pub quantity: Decimal,
    pub commission: Decimal,
    pub commission_asset: String,
    pub executed_at_ms: i64,
}

/// What the account holds of an asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerBalance {
    pub asset: String,
    pub free: Decimal,
    pub locked: Decimal,
}

impl SimLedger {
    /// BUY orders that the exchange accepted after `at_ms`.
    pub fn buys_accepted_after(&self, at_ms: i64) -> Vec<&LedgerOrder> {
        self.orders
            .iter()
            .filter(|order| order.side == "BUY" && order.accepted_at_ms > at_ms)
            .collect()
    }

    /// The fills of one order.
    pub fn fills_of<'a>(&'a self, client_order_id: &'a str) -> impl Iterator<Item = &'a LedgerFill> {
        self.fills
            .iter()
            .filter(move |fill| fill.client_order_id == client_order_id)
    }

    /// Client order ids that made more than one order, with how many.
    pub fn sent_twice(&self) -> Vec<(String, usize)> {
        let mut counts = std::collections::BTreeMap::<&str, usize>::new();
        for order in &self.orders {
            *counts.entry(order.client_order_id.as_str()).or_default() += 1;
        }
        counts
            .into_iter()
            .filter(|(_, count)| *count > 1)
            .map(|(id, count)| (id.to_owned(), count))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(id: &str, side: &str, at: i64) -> LedgerOrder {
        LedgerOrder {
            client_order_id: id.into(),
            symbol: "BTCUSDT".into(),
            side: side.into(),
            status: "FILLED".into(),
            accepted_at_ms: at,
        }
    }

    #[test]
    fn p4_an_id_that_made_two_orders_is_seen() {
        let orders = vec![order("a", "BUY", 1), order("b", "BUY", 2), order("a", "BUY", 3)];
        let ledger = SimLedger {
            orders,
            ..SimLedger::default()
        };
        assert_eq!(ledger.sent_twice(), [("a".to_owned(), 2)]);
    }

    #[test]
    fn p1_only_buys_strictly_after_the_answer_break_the_fence() {
        let orders = vec![order("a", "BUY", 10), order("b", "BUY", 11), order("c", "SELL", 12)];
        let ledger = SimLedger {
            orders,
            ..SimLedger::default()
        };
        let late: Vec<_> = ledger
            .buys_accepted_after(10)
            .iter()
            .map(|o| o.client_order_id.as_str())
            .collect();
        assert_eq!(late, ["b"]);
    }
}
