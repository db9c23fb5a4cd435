//! The receive window: the exchange itself must refuse what comes too late, on arrival and again before matching.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Sim, now_ms, still};

const BUY: &str = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.001&recvWindow=1000&newClientOrderId=late";

async fn refusals(sim: &Sim) -> Vec<(Value, Value)> {
    let ledger = sim.ledger().await;
    assert_eq!(ledger["orders"], json!([]), "a late order must never be accepted");
    ledger["refused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["stage"].clone(), r["code"].clone()))
        .collect()
}

#[tokio::test]
async fn p1_a_late_order_is_refused_on_arrival() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    let late = sim
        .signed_at("POST", "/api/v3/order", BUY, now_ms() - 1_500)
        .await
        .unwrap();
    assert_eq!((late.status, late.code()), (400, -1021));
    let early = sim
        .signed_at("POST", "/api/v3/order", BUY, now_ms() + 5_000)
        .await
        .unwrap();
    assert_eq!(early.code(), -1021);
    assert_eq!(
        refusals(&sim).await,
        [(json!("arrival"), json!(-1021)), (json!("arrival"), json!(-1021))]
    );
    sim.stop().await;
}

#[tokio::test]
async fn p1_an_order_that_grew_late_on_the_way_is_refused_before_matching() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    sim.fault(json!({ "kind": "latency", "ms": 1_200 })).await;
    let late = sim.order(BUY).await;
    assert_eq!((late.status, late.code()), (400, -1021));
    assert_eq!(refusals(&sim).await, [(json!("before_matching"), json!(-1021))]);
    assert_eq!(sim.admin_get("/admin/faults").await["hits"]["latency"], 1);
    // The fault is spent: the same order passes now, and the ledger says when it was taken.
    let before = now_ms();
    sim.order(BUY).await.ok();
    let ledger = sim.ledger().await;
    let accepted = ledger["orders"][0]["accepted_at_ms"].as_i64().unwrap();
    assert!(accepted >= before && accepted <= now_ms());
    assert_eq!(ledger["orders"][0]["recv_window_ms"], "1000");
    sim.stop().await;
}

#[tokio::test]
async fn p1_a_cancel_that_grew_late_is_refused_too() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    sim.order("symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.001&price=59000&newClientOrderId=c")
        .await
        .ok();
    sim.fault(json!({ "kind": "latency", "ms": 1_200, "path": "/api/v3/order", "method": "DELETE" }))
        .await;
    let params = "symbol=BTCUSDT&origClientOrderId=c&recvWindow=1000";
    assert_eq!(sim.signed("DELETE", "/api/v3/order", params).await.code(), -1021);
    assert_eq!(
        sim.signed("GET", "/api/v3/openOrders", "")
            .await
            .ok()
            .as_array()
            .unwrap()
            .len(),
        1
    );
    sim.stop().await;
}

#[tokio::test]
async fn p1_a_skewed_exchange_clock_moves_the_window_but_not_the_ledgers_truth() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    sim.fault(json!({ "kind": "clock_skew", "ms": 30_000 })).await;
    assert_eq!(sim.order(BUY).await.code(), -1021);
    let skewed = sim.get("/api/v3/time").await.ok()["serverTime"].as_i64().unwrap();
    assert!(skewed - now_ms() > 25_000);
    sim.signed_at("POST", "/api/v3/order", BUY, skewed).await.unwrap().ok();
    let ledger = sim.ledger().await;
    let order = &ledger["orders"][0];
    assert!((order["accepted_at_ms"].as_i64().unwrap() - now_ms()).abs() < 5_000);
    assert!(order["time_ms"].as_i64().unwrap() - now_ms() > 20_000);
    assert_eq!(sim.admin_get("/admin/faults").await["hits"]["clock_skew"], 2);
    sim.stop().await;
}
