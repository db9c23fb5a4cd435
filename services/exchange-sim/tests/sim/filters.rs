//! Every filter, at its bound and one step beyond.

use tempfile::TempDir;

use crate::client::{Sim, still};

async fn message(sim: &Sim, params: &str) -> String {
    let reply = sim.order(&format!("symbol=BTCUSDT&{params}")).await;
    if reply.status == 200 {
        "ok".to_owned()
    } else {
        format!("{} {}", reply.code(), reply.body["msg"].as_str().unwrap())
    }
}

fn limit(quantity: &str, price: &str) -> String {
    format!("side=BUY&type=LIMIT&timeInForce=GTC&quantity={quantity}&price={price}")
}

#[tokio::test]
async fn filters_hold_at_their_bounds() {
    let dir = TempDir::new().unwrap();
    let mut config = still(dir.path());
    config.symbols[0].max_num_orders = 3;
    config.symbols[0].max_position = Some("0.01".parse().unwrap());
    let sim = Sim::start(config).await;
    let cases = [
        (limit("0.0001", "60000.005"), "-1013 Filter failure: PRICE_FILTER"),
        (limit("0.0001", "0.001"), "-1013 Filter failure: PRICE_FILTER"),
        (limit("0.0001", "60000001"), "-1013 Filter failure: PRICE_FILTER"),
        (
            limit("0.0001", "300000.01"),
            "-1013 Filter failure: PERCENT_PRICE_BY_SIDE",
        ),
        (
            limit("0.001", "11999.99"),
            "-1013 Filter failure: PERCENT_PRICE_BY_SIDE",
        ),
        (limit("0.000105", "60000"), "-1013 Filter failure: LOT_SIZE"),
        (limit("9000.00001", "60000"), "-1013 Filter failure: LOT_SIZE"),
        (limit("0.0001", "49999.99"), "-1013 Filter failure: NOTIONAL"),
        (
            "side=BUY&type=MARKET&quoteOrderQty=4.99".to_owned(),
            "-1013 Filter failure: NOTIONAL",
        ),
        (
            "side=BUY&type=MARKET&quantity=0.00008".to_owned(),
            "-1013 Filter failure: NOTIONAL",
        ),
        (limit("0.01001", "50000"), "-1013 Filter failure: MAX_POSITION"),
        (
            "side=SELL&type=STOP_LOSS&quantity=0.001&stopPrice=0.005".to_owned(),
            "-1013 Filter failure: PRICE_FILTER",
        ),
        (
            limit("0.0001", "50000") + "&icebergQty=0.00005&newClientOrderId=i",
            "ok",
        ),
        (limit("0.0001", "50000"), "ok"),
        (limit("0.0001", "50000"), "ok"),
        (limit("0.0001", "50000"), "-1013 Filter failure: MAX_NUM_ORDERS"),
    ];
    for (params, expected) in cases {
        assert_eq!(message(&sim, &params).await, expected, "{params}");
    }
    sim.stop().await;
}

#[tokio::test]
async fn stop_orders_are_counted_apart() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    let stop = "side=BUY&type=STOP_LOSS&quantity=0.001&stopPrice=61000";
    for _ in 0..5 {
        assert_eq!(message(&sim, stop).await, "ok");
    }
    assert_eq!(message(&sim, stop).await, "-1013 Filter failure: MAX_NUM_ALGO_ORDERS");
    sim.stop().await;
}

#[tokio::test]
async fn a_market_order_has_a_largest_quantity_of_its_own_and_prices_are_bounded_on_both_sides() {
    let dir = TempDir::new().unwrap();
    let mut config = still(dir.path());
    config.symbols[0].market_max_qty = Some("0.02".parse().unwrap());
    config.accounts[0].balances.insert("BTC".to_owned(), 1.into());
    let sim = Sim::start(config).await;
    let sell = |price: &str| format!("side=SELL&type=LIMIT&timeInForce=GTC&quantity=0.03&price={price}");
    for (params, expected) in [
        ("side=BUY&type=MARKET&quantity=0.02".to_owned(), "ok"),
        (
            "side=BUY&type=MARKET&quantity=0.02001".to_owned(),
            "-1013 Filter failure: MARKET_LOT_SIZE",
        ),
        (
            "side=SELL&type=STOP_LOSS&quantity=0.02001&stopPrice=50000".to_owned(),
            "-1013 Filter failure: MARKET_LOT_SIZE",
        ),
        (sell("310000.00"), "-1013 Filter failure: PERCENT_PRICE_BY_SIDE"),
        (sell("11000.00"), "-1013 Filter failure: PERCENT_PRICE_BY_SIDE"),
        (sell("61000.00"), "ok"),
    ] {
        assert_eq!(message(&sim, &params).await, expected, "{params}");
    }
    let info = sim.get("/api/v3/exchangeInfo?symbol=BTCUSDT").await.ok();
    let filters = info["symbols"][0]["filters"].as_array().unwrap();
    let shown = filters.iter().find(|filter| filter["filterType"] == "MARKET_LOT_SIZE");
    assert_eq!(shown.unwrap()["maxQty"], "0.02000000");
    sim.stop().await;
}
