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
