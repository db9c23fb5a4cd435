//! The ledger survives whatever happens to the process.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Sim, still};
use thunes_exchange_sim::{SimConfig, SimError, serve};

fn facts(ledger: &Value) -> Vec<Value> {
    ["orders", "fills", "balances", "transfers"]
        .iter()
        .map(|part| ledger[*part].clone())
        .collect()
}

#[tokio::test]
async fn p6_a_restart_keeps_the_ledger_and_the_ids_rise_on() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    let mut ws = sim.user_stream().await;
    sim.order("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.2").await.ok();
    let last_event = ws.event("executionReport").await["I"].as_u64().unwrap();
    let resting =
        "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.001&price=59000&newClientOrderId=rests";
    sim.order(resting).await.ok();
    sim.admin_post("/admin/deposit", json!({ "asset": "ETH", "amount": "1.5" }))
        .await
        .ok();
    let before = sim.ledger().await;
    let last_trade = before["fills"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|f| f["trade_id"].as_u64())
        .max()
        .unwrap();
    sim.abort().await;

    let sim = Sim::start(still(dir.path())).await;
    let after = sim.ledger().await;
    assert_eq!(facts(&before), facts(&after));
    assert_eq!(
        sim.order(resting).await.code(),
        -2010,
        "the client id is still taken by the open order"
    );
    let mut ws = sim.user_stream().await;
    let order = sim
        .order("symbol=BTCUSDT&side=SELL&type=MARKET&quantity=0.1")
        .await
        .ok();
    assert!(ws.event("executionReport").await["I"].as_u64().unwrap() > last_event);
    assert_eq!(order["orderId"], 3);
    assert!(order["fills"][0]["tradeId"].as_u64().unwrap() > last_trade);
    sim.price("BTCUSDT", "58900").await;
    let filled = sim
        .signed("GET", "/api/v3/order", "symbol=BTCUSDT&origClientOrderId=rests")
        .await
        .ok();
    assert_eq!(
        filled["status"], "FILLED",
        "an order that rested before the restart still matches"
    );
    sim.stop().await;
}

#[tokio::test]
async fn the_price_walk_goes_on_and_one_seed_gives_one_walk() {
    let mut prices = Vec::new();
    for _ in 0..2 {
        let dir = TempDir::new().unwrap();
        let sim = Sim::start(SimConfig {
            price_tick_ms: 10,
            request_weight_per_minute: 1_000_000,
            seed: 42,
            ..still(dir.path())
        })
        .await;
        let mut seen = Vec::new();
        while seen.len() < 15 {
            let trades = sim.get("/api/v3/trades?symbol=BTCUSDT").await.ok();
            seen = trades.as_array().unwrap().iter().map(|t| t["price"].clone()).collect();
        }
        seen.truncate(15);
        prices.push(seen);
        sim.stop().await;
    }
    assert_eq!(prices[0], prices[1]);
    assert!(prices[0].windows(2).any(|pair| pair[0] != pair[1]));
}

#[tokio::test]
async fn a_csv_of_klines_is_replayed() {
    let dir = TempDir::new().unwrap();
    let csv = dir.path().join("klines.csv");
    std::fs::write(&csv, "open_time,open,high,low,close\n1,50000,50200,49900,50100\n").unwrap();
    let sim = Sim::start(SimConfig {
        price_tick_ms: 10,
        klines_csv: Some(csv.clone()),
        ..still(dir.path())
    })
    .await;
    let mut prices: Vec<String> = Vec::new();
    while prices.len() < 4 {
        let trades = sim.get("/api/v3/trades?symbol=BTCUSDT").await.ok();
        prices = trades
            .as_array()
            .unwrap()
            .iter()
            .map(|t| t["price"].as_str().unwrap().to_owned())
            .collect();
    }
    assert_eq!(
        prices[..4],
        ["49900.00000000", "50200.00000000", "50100.00000000", "50100.00000000"]
    );
    sim.stop().await;

    std::fs::write(&csv, "1,50000,50200,oops,50100\n1,2,3,4\n").unwrap();
    let error = start_error(SimConfig {
        klines_csv: Some(csv),
        ..still(dir.path())
    })
    .await;
    assert!(error.to_string().contains("line 1"), "{error}");
}

async fn start_error(config: SimConfig) -> SimError {
    let bind = || async { tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap() };
    serve(
        config,
        bind().await,
        bind().await,
        tokio_util::sync::CancellationToken::new(),
    )
    .await
    .unwrap_err()
}

#[tokio::test]
async fn a_corrupt_database_or_a_data_dir_that_is_a_file_is_named() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("exchange.db"), vec![0x5a; 8_192]).unwrap();
    let error = start_error(still(dir.path())).await.to_string();
    assert!(error.contains("exchange.db"), "{error}");
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let error = start_error(still(&file)).await.to_string();
    assert!(error.contains("data folder") && error.contains("file"), "{error}");
}
