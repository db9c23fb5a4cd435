//! The admin API and its faults.

use serde_json::json;
use tempfile::TempDir;

use crate::client::{Sim, now_ms, request, still};

const BUY: &str = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.001";

#[tokio::test]
async fn p4_before_and_after_differ_only_in_the_ledger() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    let mut answers = Vec::new();
    for (kind, orders) in [("error_503_before", 0), ("error_503_after", 1)] {
        sim.fault(json!({ "kind": kind })).await;
        let reply = sim.order(&format!("{BUY}&newClientOrderId={kind}")).await;
        answers.push((reply.status, reply.body));
        assert_eq!(sim.ledger().await["orders"].as_array().unwrap().len(), orders, "{kind}");
    }
    assert_eq!(answers[0], answers[1], "no client may be able to tell");
    assert_eq!((answers[0].0, &answers[0].1["code"]), (503, &json!(-1007)));
    for (kind, orders) in [("timeout_before", 1), ("timeout_after", 2)] {
        sim.fault(json!({ "kind": kind, "ms": 50 })).await;
        let reply = sim
            .signed_at(
                "POST",
                "/api/v3/order",
                &format!("{BUY}&newClientOrderId={kind}"),
                now_ms(),
            )
            .await;
        assert!(
            reply.is_none(),
            "{kind} must close the connection without an answer: {reply:?}"
        );
        assert_eq!(sim.ledger().await["orders"].as_array().unwrap().len(), orders, "{kind}");
    }
    let hits = sim.admin_get("/admin/faults").await["hits"].clone();
    let once = json!({ "error_503_before": 1, "error_503_after": 1, "timeout_before": 1, "timeout_after": 1 });
    assert_eq!(hits, once);
    sim.order(BUY).await.ok();
    sim.stop().await;
}

#[tokio::test]
async fn p4_an_order_that_arrived_is_carried_out_although_its_sender_is_gone() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    sim.fault(json!({ "kind": "latency", "count": 0, "ms": 300 })).await;
    let params = format!("{BUY}&newClientOrderId=gone");
    let order = sim.order(&params);
    // The caller gives up, and its connection is closed with it.
    let gave_up = tokio::time::timeout(std::time::Duration::from_millis(100), order).await;
    assert!(gave_up.is_err(), "the answer must not come before the latency");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while sim.ledger().await["orders"].as_array().unwrap().is_empty() {
        assert!(
            std::time::Instant::now() < deadline,
            "the order was dropped with its connection"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(sim.ledger().await["orders"][0]["client_order_id"], "gone");
    sim.stop().await;
}

#[tokio::test]
async fn p4_an_order_can_be_hidden_from_an_early_query() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    sim.order(&format!("{BUY}&newClientOrderId=there")).await.ok();
    sim.fault(json!({ "kind": "hide_order", "count": 2 })).await;
    let query = async || {
        sim.signed("GET", "/api/v3/order", "symbol=BTCUSDT&origClientOrderId=there")
            .await
    };
    assert_eq!((query().await.code(), query().await.code()), (-2013, -2013));
    assert_eq!(query().await.ok()["status"], "FILLED");
    assert_eq!(sim.admin_get("/admin/faults").await["hits"]["hide_order"], 2);
    sim.stop().await;
}

#[tokio::test]
async fn limits_halts_and_missing_funds_can_be_injected() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    sim.fault(json!({ "kind": "http_429", "retry_after_s": 7 })).await;
    let limited = sim.get("/api/v3/time").await;
    assert_eq!((limited.status, limited.code()), (429, -1003));
    assert!(limited.headers.contains("retry-after: 7"));
    sim.fault(json!({ "kind": "http_418", "path": "/api/v3/account" }))
        .await;
    assert_eq!(sim.get("/api/v3/time").await.status, 200);
    assert_eq!(sim.signed("GET", "/api/v3/account", "").await.status, 418);
    sim.fault(json!({ "kind": "insufficient_balance" })).await;
    assert_eq!(
        sim.order(BUY).await.body["msg"],
        "Account has insufficient balance for requested action."
    );
    sim.fault(json!({ "kind": "halt_symbol", "symbol": "BTCUSDT" })).await;
    for _ in 0..2 {
        assert_eq!(
            sim.order(BUY).await.body,
            json!({ "code": -1013, "msg": "Market is closed." })
        );
    }
    let info = sim.get("/api/v3/exchangeInfo?symbol=BTCUSDT").await.ok();
    assert_eq!(info["symbols"][0]["status"], "HALT");
    sim.order("symbol=ETHUSDT&side=BUY&type=MARKET&quantity=0.01")
        .await
        .ok();
    assert_eq!(sim.admin_get("/admin/faults").await["active"][0]["hits"], 2);
    let removed = request(sim.admin, "DELETE", "/admin/faults", None, "")
        .await
        .unwrap()
        .ok();
    assert_eq!(removed["removed"].as_array().unwrap().len(), 1);
    sim.order(BUY).await.ok();
    sim.stop().await;
}

#[tokio::test]
async fn latency_after_delays_the_answer_but_not_the_acceptance() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    sim.fault(json!({ "kind": "latency_after", "ms": 400 })).await;
    let before = now_ms();
    sim.order(BUY).await.ok();
    assert!(now_ms() - before >= 400);
    let accepted = sim.ledger().await["orders"][0]["accepted_at_ms"].as_i64().unwrap();
    assert!(accepted - before < 400, "accepted after {} ms", accepted - before);
    sim.stop().await;
}

#[tokio::test]
async fn bad_admin_requests_name_field_value_and_rule() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    let cases = [
        (
            "/admin/deposit",
            json!({ "asset": "USDT", "amount": "-5" }),
            "amount = \"-5\"",
        ),
        ("/admin/deposit", json!({ "asset": "GOLD", "amount": "5" }), "GOLD"),
        (
            "/admin/deposit",
            json!({ "asset": "USDT", "amount": "99999999999999999999" }),
            "at most",
        ),
        (
            "/admin/withdraw",
            json!({ "asset": "USDT", "amount": "100001" }),
            "insufficient",
        ),
        (
            "/admin/price",
            json!({ "symbol": "BTCUSDT", "price": "60000.001" }),
            "PRICE_FILTER",
        ),
        (
            "/admin/price",
            json!({ "symbol": "NOSUCH", "price": "1" }),
            "Invalid symbol",
        ),
        (
            "/admin/external-trade",
            json!({ "symbol": "BTCUSDT", "side": "HOLD", "quantity": "1" }),
            "HOLD",
        ),
        (
            "/admin/external-trade",
            json!({ "symbol": "BTCUSDT", "side": "SELL", "quantity": "1" }),
            "insufficient",
        ),
        (
            "/admin/external-trade",
            json!({ "account": "x", "symbol": "BTCUSDT", "side": "SELL", "quantity": "1" }),
            "\"x\"",
        ),
        ("/admin/faults", json!({ "kind": "earthquake" }), "earthquake"),
        ("/admin/faults", json!({ "kind": "latency", "ms": -1 }), "ms = -1"),
        (
            "/admin/faults",
            json!({ "kind": "latency", "symbol": "NOSUCH" }),
            "NOSUCH",
        ),
    ];
    for (path, body, part) in cases {
        let reply = sim.admin_post(path, body.clone()).await;
        let text = reply.body["msg"].as_str().unwrap_or_default();
        assert!(
            reply.status == 400 && text.contains(part),
            "{path} {body}: {} {}",
            reply.status,
            reply.body
        );
    }
    assert_eq!(
        request(sim.admin, "GET", "/admin/nothing", None, "")
            .await
            .unwrap()
            .status,
        404
    );
    assert_eq!(sim.admin_get("/admin/health").await["status"], "SERVING");
    sim.stop().await;
}

#[tokio::test]
async fn p9_a_wipe_takes_orders_trades_and_balances_but_not_the_keys() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    sim.order(BUY).await.ok();
    sim.order("symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.001&price=59000")
        .await
        .ok();
    sim.admin_post("/admin/wipe", json!({})).await.ok();
    let ledger = sim.ledger().await;
    assert_eq!((&ledger["orders"], &ledger["fills"]), (&json!([]), &json!([])));
    assert_eq!(
        ledger["balances"]["main"]["USDT"],
        json!({ "free": "100000", "locked": "0" })
    );
    sim.abort().await;
    let sim = Sim::start(still(dir.path())).await;
    assert_eq!(sim.ledger().await["orders"], json!([]));
    assert_eq!(sim.order(BUY).await.ok()["orderId"], 3, "ids are never used again");
    sim.stop().await;
}
