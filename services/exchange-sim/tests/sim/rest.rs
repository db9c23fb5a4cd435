//! Keys, signatures, parameters, errors, limits.

use serde_json::json;
use tempfile::TempDir;

use crate::client::{KEY, Sim, now_ms, request, sign, still};
use thunes_exchange_sim::SimConfig;

#[tokio::test]
async fn public_endpoints_answer_in_the_documented_form() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    assert_eq!(sim.get("/api/v3/ping").await.ok(), json!({}));
    assert!((sim.get("/api/v3/time").await.ok()["serverTime"].as_i64().unwrap() - now_ms()).abs() < 5_000);
    let info = sim.get("/api/v3/exchangeInfo").await.ok();
    let names: Vec<_> = info["symbols"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["symbol"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["BNBUSDT", "BTCUSDT", "ETHBTC", "ETHUSDT"]);
    assert_eq!(info["rateLimits"][0]["limit"], 6_000);
    let one = sim.get("/api/v3/exchangeInfo?symbol=BTCUSDT").await.ok();
    assert_eq!(one["symbols"][0]["filters"][0]["tickSize"], "0.01000000");
    assert_eq!(
        sim.get("/api/v3/ticker/price?symbol=BTCUSDT").await.ok()["price"],
        "60000.00000000"
    );
    assert_eq!(sim.get("/api/v3/ticker/price").await.ok().as_array().unwrap().len(), 4);
    let two = sim
        .get("/api/v3/ticker/price?symbols=%5B%22BTCUSDT%22,%22ETHBTC%22%5D")
        .await
        .ok();
    assert_eq!(two.as_array().unwrap().len(), 2);
    let depth = sim.get("/api/v3/depth?symbol=BTCUSDT&limit=5").await.ok();
    assert_eq!(
        (
            depth["bids"].as_array().unwrap().len(),
            depth["asks"].as_array().unwrap().len()
        ),
        (5, 5)
    );
    assert_eq!(depth["asks"][0][0], "60003.00000000");
    sim.price("BTCUSDT", "61000").await;
    assert_eq!(
        sim.get("/api/v3/trades?symbol=BTCUSDT").await.ok()[0]["price"],
        "61000.00000000"
    );
    assert_eq!(
        sim.get("/api/v3/klines?symbol=BTCUSDT&interval=1m").await.ok()[0][4],
        "61000.00000000"
    );
    assert_eq!(
        sim.get("/api/v3/ticker/24hr?symbol=BTCUSDT").await.ok()["lastPrice"],
        "61000.00000000"
    );
    assert_eq!(
        sim.get("/api/v3/ticker/bookTicker?symbol=BTCUSDT").await.ok()["symbol"],
        "BTCUSDT"
    );
    assert_eq!(
        sim.get("/api/v3/avgPrice?symbol=BTCUSDT").await.ok()["price"],
        "61000.00000000"
    );
    let reply = sim.get("/api/v3/ticker/price?symbol=BTCUSDT").await;
    assert!(reply.headers.contains("x-mbx-used-weight-1m: "), "{}", reply.headers);
    sim.stop().await;
}

#[tokio::test]
async fn bad_requests_get_the_documented_code_and_status() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    let query = format!("timestamp={}", now_ms());
    let account = format!("/api/v3/account?{query}&signature={}", sign(&query));
    for (key, status, code) in [
        (None, 401, -2014),
        (Some("no such key!"), 401, -2014),
        (Some("unknown"), 401, -2015),
    ] {
        let reply = request(sim.rest, "GET", &account, key, "").await.unwrap();
        assert_eq!((reply.status, reply.code()), (status, code), "{key:?}");
    }
    let forged = request(
        sim.rest,
        "GET",
        &account.replace("signature=", "signature=0"),
        Some(KEY),
        "",
    )
    .await
    .unwrap();
    assert_eq!((forged.status, forged.code()), (400, -1022));

    let many = format!("symbol=BTCUSDT&side=BUY&type=MARKET&quantity={}", "9".repeat(31));
    let cases = [
        ("side=BUY&type=MARKET&quantity=1", -1102),
        ("symbol=&side=BUY&type=MARKET&quantity=1", -1105),
        ("symbol=btcusdt&side=BUY&type=MARKET&quantity=1", -1100),
        ("symbol=NOSUCH&side=BUY&type=MARKET&quantity=1", -1121),
        ("symbol=BTCUSDT&side=HOLD&type=MARKET&quantity=1", -1117),
        ("symbol=BTCUSDT&side=BUY&type=DREAM&quantity=1", -1116),
        ("symbol=BTCUSDT&side=BUY&type=MARKET", -1102),
        ("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=-1", -1100),
        ("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=1e3", -1100),
        (many.as_str(), -1100),
        ("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0", -1013),
        ("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.123456789", -1111),
        ("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.000001", -1013),
        ("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=1&price=5", -1106),
        ("symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=5", -1102),
        (
            "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=NOW&quantity=1&price=5",
            -1115,
        ),
        (
            "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=60000.001",
            -1013,
        ),
        (
            "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.00001&price=60000",
            -1013,
        ),
        ("symbol=BTCUSDT&side=BUY&type=MARKET&quoteOrderQty=1", -1013),
        (
            "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=1&newClientOrderId=has%20space",
            -1100,
        ),
        ("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=1&surprise=1", -1104),
        ("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=1&quantity=2", -1101),
        ("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=100", -2010),
        ("symbol=BTCUSDT&side=SELL&type=MARKET&quantity=1", -2010),
        ("symbol=BTCUSDT&side=BUY&type=LIMIT_MAKER&quantity=1&price=70000", -2010),
        ("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=1&recvWindow=60001", -1131),
    ];
    for (params, code) in cases {
        let reply = sim.order(params).await;
        assert_eq!((reply.status, reply.code()), (400, code), "{params}: {}", reply.body);
    }
    assert_eq!(sim.get("/api/v3/nothing").await.status, 404);
    assert_eq!(sim.signed("POST", "/api/v3/account", "").await.status, 405);
    assert_eq!(sim.signed("POST", "/api/v3/userDataStream", "").await.status, 410);
    assert_eq!(
        sim.signed("GET", "/api/v3/order", "symbol=BTCUSDT&orderId=7")
            .await
            .code(),
        -2013
    );
    assert_eq!(
        sim.signed("DELETE", "/api/v3/order", "symbol=BTCUSDT&orderId=7")
            .await
            .code(),
        -2011
    );
    assert_eq!(
        sim.signed("DELETE", "/api/v3/openOrders", "symbol=BTCUSDT")
            .await
            .code(),
        -2011
    );
    let big = "x=".to_owned() + &"y".repeat(70_000);
    assert_eq!(
        request(sim.rest, "POST", "/api/v3/order", Some(KEY), &big)
            .await
            .unwrap()
            .status,
        413
    );
    assert_eq!(
        sim.ledger().await["orders"],
        json!([]),
        "a refused order must leave nothing behind"
    );
    sim.stop().await;
}

#[tokio::test]
async fn parameters_may_come_in_the_body_and_signatures_cover_both_parts() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    let query = "symbol=BTCUSDT&side=BUY&type=MARKET";
    let body = format!("quantity=0.001&timestamp={}", now_ms());
    let signature = sign(&format!("{query}{body}"));
    let path = format!("/api/v3/order?{query}");
    let reply = request(
        sim.rest,
        "POST",
        &path,
        Some(KEY),
        &format!("{body}&signature={signature}"),
    )
    .await
    .unwrap();
    assert_eq!(reply.ok()["status"], "FILLED");
    sim.stop().await;
}

#[tokio::test]
async fn used_up_weight_is_refused_with_429_and_a_retry_after() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(SimConfig {
        request_weight_per_minute: 45,
        ..still(dir.path())
    })
    .await;
    // The minute may turn between two requests, so it is asked until the bound is hit.
    let mut refused = None;
    for _ in 0..10 {
        let reply = sim.get("/api/v3/exchangeInfo").await;
        if reply.status == 429 {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.expect("10 requests of weight 20 must exceed 45");
    assert_eq!(refused.code(), -1003);
    assert!(refused.headers.contains("retry-after: "), "{}", refused.headers);
    sim.stop().await;
}

#[tokio::test]
async fn a_successful_order_costs_no_weight_and_counts_only_while_unfilled() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(SimConfig {
        orders_per_day: 1,
        ..still(dir.path())
    })
    .await;
    for _ in 0..3 {
        let reply = sim.order("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.001").await;
        assert!(reply.headers.contains("x-mbx-used-weight-1m: 0") && reply.headers.contains("x-mbx-order-count-1d: 0"));
        reply.ok();
    }
    let resting = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.001&price=50000";
    sim.order(resting).await.ok();
    let refused = sim.order(resting).await;
    assert_eq!((refused.status, refused.code()), (429, -1015));
    sim.stop().await;
}

#[tokio::test]
async fn a_config_with_mistakes_names_them_all() {
    let dir = TempDir::new().unwrap();
    let config = SimConfig {
        price_tick_ms: 3,
        ws_ping_ms: 1,
        ..still(dir.path())
    };
    let bind = || async { tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap() };
    let error = thunes_exchange_sim::serve(
        config,
        bind().await,
        bind().await,
        tokio_util::sync::CancellationToken::new(),
    )
    .await;
    let text = error.unwrap_err().to_string();
    assert!(
        text.contains("price_tick_ms = 3") && text.contains("ws_ping_ms = 1"),
        "{text}"
    );
}
