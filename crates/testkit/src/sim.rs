use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::local_client;

/// The simulated exchange's admin interface: its own ledger, faults, prices, trades of somebody else.
#[derive(Debug, Clone)]
pub struct Sim {
    admin_url: String,
    http: reqwest::Client,
}

/// Everything that the exchange accepted, in its own words.
#[derive(Debug, Clone, Deserialize)]
pub struct Ledger {
    pub orders: Vec<LedgerOrder>,
    pub fills: Vec<LedgerFill>,
    pub balances: BTreeMap<String, BTreeMap<String, LedgerBalance>>,
    pub refused: Vec<Refused>,
}

/// One accepted order.
#[derive(Debug, Clone, Deserialize)]
pub struct LedgerOrder {
    pub order_id: i64,
    pub client_order_id: String,
    pub symbol: String,
    pub side: String,
    pub status: String,
    pub executed_qty: Decimal,
    /// UTC, by a clock that no fault skews.
    pub accepted_at_ms: i64,
    pub signed_timestamp_ms: i64,
    pub external: bool,
}

/// One execution.
#[derive(Debug, Clone, Deserialize)]
pub struct LedgerFill {
    pub symbol: String,
    pub trade_id: i64,
    pub client_order_id: String,
    pub side: String,
    pub price: Decimal,
    pub qty: Decimal,
    pub commission: Decimal,
    pub commission_asset: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct LedgerBalance {
    pub free: Decimal,
    pub locked: Decimal,
}

/// A request that the exchange refused.
#[derive(Debug, Clone, Deserialize)]
pub struct Refused {
    pub at_ms: i64,
    /// "arrival", "before_matching" or "order".
    pub stage: String,
    pub code: i64,
    pub msg: String,
    pub client_order_id: Option<String>,
}

impl Ledger {
    /// The order of that id, if the exchange accepted one.
    ///
    /// # Panics
    /// When it accepted two: an id makes at most one order.
    pub fn order(&self, client_order_id: &str) -> Option<&LedgerOrder> {
        let of: Vec<_> = self
            .orders
            .iter()
            .filter(|o| o.client_order_id == client_order_id)
            .collect();
        assert!(
            of.len() <= 1,
            "P4: the exchange has {} orders of id {client_order_id}: {of:#?}",
            of.len()
        );
        of.first().copied()
    }

    /// Orders that open positions.
    pub fn buys(&self) -> impl Iterator<Item = &LedgerOrder> {
        self.orders
            .iter()
            .filter(|order| order.side == "BUY" && !order.external)
    }

    /// Asserts that no id made two orders.
    ///
    /// # Panics
    /// When one did.
    pub fn assert_no_order_twice(&self) {
        for order in &self.orders {
            self.order(&order.client_order_id);
        }
    }
}

impl Sim {
    pub fn new(admin_url: &str) -> Self {
        Self {
            admin_url: admin_url.to_owned(),
            http: local_client(),
        }
    }

    async fn call(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}{path}", self.admin_url);
        let mut request = self.http.request(method, &url);
        if let Some(body) = &body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap_or_else(|e| panic!("{url}: {e}"));
        let status = answer.status();
        let text = answer.text().await.unwrap_or_else(|e| panic!("{url}: {e}"));
        assert!(status.is_success(), "{url} {body:?}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{url}: {e}: {text}"))
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.call(reqwest::Method::POST, path, Some(body)).await
    }

    pub async fn ledger(&self) -> Ledger {
        let ledger = self.call(reqwest::Method::GET, "/admin/ledger", None).await;
        serde_json::from_value(ledger).expect("a ledger")
    }

    /// Orders a fault, such as `json!({"kind": "latency", "ms": 1500})`; returns its id.
    pub async fn fault(&self, spec: Value) -> i64 {
        let fault = self.post("/admin/faults", spec).await;
        fault["id"].as_i64().expect("a fault has an id")
    }

    /// Ends every fault.
    pub async fn clear_faults(&self) {
        self.call(reqwest::Method::DELETE, "/admin/faults", None).await;
    }

    /// How often faults of that kind have struck.
    pub async fn hits(&self, kind: &str) -> i64 {
        let faults = self.call(reqwest::Method::GET, "/admin/faults", None).await;
        faults["hits"][kind].as_i64().unwrap_or(0)
    }

    /// Moves the last price; resting orders match at once.
    pub async fn price(&self, symbol: &str, price: &str) {
        self.post("/admin/price", json!({ "symbol": symbol, "price": price }))
            .await;
    }

    /// Pays into the account.
    pub async fn deposit(&self, asset: &str, amount: &str) {
        self.post("/admin/deposit", json!({ "asset": asset, "amount": amount }))
            .await;
    }

    /// Pays out of the account.
    pub async fn withdraw(&self, asset: &str, amount: &str) {
        self.post("/admin/withdraw", json!({ "asset": asset, "amount": amount }))
            .await;
    }

    /// What a test network does now and then: orders, trades and balances go.
    pub async fn wipe(&self) {
        self.post("/admin/wipe", json!({})).await;
    }

    /// Somebody else trades this account at the exchange.
    pub async fn external_trade(&self, symbol: &str, side: &str, quantity: &str) {
        self.post(
            "/admin/external-trade",
            json!({ "symbol": symbol, "side": side, "quantity": quantity }),
        )
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(ids: &[&str]) -> Ledger {
        let order = |id: &&str| {
            json!({ "order_id": 1, "client_order_id": id, "symbol": "BTCUSDT", "side": "BUY", "status": "FILLED",
                "executed_qty": "1", "accepted_at_ms": 1, "signed_timestamp_ms": 1, "external": false })
        };
        let orders: Vec<_> = ids.iter().map(order).collect();
        serde_json::from_value(json!({ "orders": orders, "fills": [], "balances": {}, "refused": [] }))
            .expect("a ledger")
    }

    #[test]
    fn p4_ids_that_differ_are_different_orders() {
        ledger(&["a", "b"]).assert_no_order_twice();
    }

    #[test]
    #[should_panic(expected = "2 orders of id a")]
    fn p4_an_id_that_made_two_orders_is_seen() {
        ledger(&["a", "b", "a"]).assert_no_order_twice();
    }
}
