//! Injections that strike requests and open streams: each does what it says and counts what it hit.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{KEY, Sim, request, still};

const RESTING: &str = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.001&price=50000";

async fn hits(sim: &Sim, kind: &str) -> u64 {
    sim.admin_get("/admin/faults").await["hits"][kind].as_u64().unwrap_or(0)
}

/// Waits until a fault has struck as often as expected; connections count on their own, a moment after the order.
async fn until_hits(sim: &Sim, kind: &str, expected: u64) {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(5);
    while hits(sim, kind).await != expected {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{kind} never hit {expected} times"
        );
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn p4_every_unknown_outcome_looks_the_same_before_and_after_and_overload_executes_nothing() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    let cases = [
        ("error_503_before", 503, -1007, 0),
        ("error_503_after", 503, -1007, 1),
        ("error_1006_before", 500, -1006, 1),
        ("error_1006_after", 500, -1006, 2),
        ("error_1008", 503, -1008, 2),
        ("http_403", 403, 0, 2),
    ];
    for (kind, status, code, orders_after) in cases {
        sim.fault(json!({ "kind": kind, "path": "/api/v3/order", "method": "POST" }))
            .await;
        let reply = sim.order(RESTING).await;
        assert_eq!((reply.status, reply.code()), (status, code), "{kind}: {}", reply.body);
        let orders = sim.ledger().await["orders"].as_array().unwrap().len();
        assert_eq!(orders, orders_after, "{kind}");
        assert_eq!(hits(&sim, kind).await, 1, "{kind}");
    }
    let says = |kind: &'static str| {
        let sim = &sim;
        async move {
            sim.fault(json!({ "kind": kind })).await;
            sim.order(RESTING).await.body
        }
    };
    assert_eq!(says("error_1006_before").await, says("error_1006_after").await);
    assert_eq!(says("error_503_before").await, says("error_503_after").await);
    sim.stop().await;
}

#[tokio::test]
async fn p4_a_cancel_can_be_hit_before_and_after_it_was_carried_out() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    for (kind, survives) in [
        ("error_503_before", true),
        ("error_503_after", false),
        ("timeout_before", true),
        ("timeout_after", false),
    ] {
        let id = sim.order(RESTING).await.ok()["orderId"].as_u64().unwrap();
        sim.fault(json!({ "kind": kind, "ms": 1, "path": "/api/v3/order", "method": "DELETE" }))
            .await;
        let params = format!("symbol=BTCUSDT&orderId={id}");
        let reply = sim
            .signed_at("DELETE", "/api/v3/order", &params, crate::client::now_ms())
            .await;
        match kind.starts_with("timeout") {
            true => assert!(reply.is_none(), "{kind} answered"),
            false => assert_eq!(reply.unwrap().status, 503, "{kind}"),
        }
        let status = sim.signed("GET", "/api/v3/order", &params).await.ok()["status"].clone();
        assert_eq!(status, if survives { "NEW" } else { "CANCELED" }, "{kind}");
        assert_eq!(hits(&sim, kind).await, 1, "{kind}");
    }
    sim.stop().await;
}

#[tokio::test]
async fn p9_an_external_lock_moves_funds_tells_the_stream_and_survives_a_restart() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    let mut stream = sim.user_stream().await;
    let lock = |path: &'static str, asset: &'static str, amount: &'static str| {
        let sim = &sim;
        async move { sim.admin_post(path, json!({ "asset": asset, "amount": amount })).await }
    };
    assert_eq!(
        lock("/admin/lock", "USDT", "99999.5").await.ok()["locked_externally"],
        "99999.5"
    );
    let event = stream.event("externalLockUpdate").await;
    assert_eq!((&event["a"], &event["d"]), (&json!("USDT"), &json!("99999.50000000")));
    let keys: BTreeSet<&str> = event.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(["E", "T", "a", "d", "e"]));
    let position = stream.event("outboundAccountPosition").await;
    assert_eq!(
        position["B"],
        json!([{ "a": "USDT", "f": "0.50000000", "l": "99999.50000000" }])
    );
    assert_eq!(sim.order(RESTING).await.code(), -2010, "locked funds must not buy");
    for (path, asset, amount, code) in [
        ("/admin/lock", "USDT", "0.50000001", -2010),
        ("/admin/unlock", "USDT", "99999.50000001", -1102),
        ("/admin/unlock", "BTC", "1", -1102),
        ("/admin/lock", "NOSUCH", "1", -1102),
        ("/admin/lock", "USDT", "0", -1102),
    ] {
        assert_eq!(lock(path, asset, amount).await.code(), code, "{path} {asset} {amount}");
    }
    drop(stream);
    sim.abort().await;
    let sim = Sim::start(still(dir.path())).await;
    assert_eq!(sim.ledger().await["external_locks"]["main"]["USDT"], "99999.5");
    let mut stream = sim.user_stream().await;
    sim.admin_post("/admin/unlock", json!({ "asset": "USDT", "amount": "99999.5" }))
        .await
        .ok();
    assert_eq!(stream.event("externalLockUpdate").await["d"], "-99999.50000000");
    assert_eq!(
        sim.ledger().await["balances"]["main"]["USDT"],
        json!({ "free": "100000", "locked": "0" })
    );
    sim.order(RESTING).await.ok();
    sim.stop().await;
}

#[tokio::test]
async fn a_shutdown_notice_reaches_every_stream_and_a_terminated_subscription_says_so() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    let mut user = sim.user_stream().await;
    let mut raw = sim.ws("/ws/btcusdt@trade").await;
    let mut combined = sim.ws("/stream?streams=btcusdt@trade").await;
    // A control request that is answered proves that the connection listens.
    for market in [&mut raw, &mut combined] {
        market.send(json!({ "method": "LIST_SUBSCRIPTIONS", "id": 1 })).await;
        market.next().await.unwrap();
    }
    sim.fault(json!({ "kind": "server_shutdown" })).await;
    assert_eq!(user.next().await.unwrap()["event"]["e"], "serverShutdown");
    assert_eq!(raw.next().await.unwrap()["e"], "serverShutdown");
    let frame = combined.next().await.unwrap();
    assert_eq!(
        (&frame["stream"], &frame["data"]["e"]),
        (&json!("!serverShutdown"), &json!("serverShutdown"))
    );
    until_hits(&sim, "server_shutdown", 3).await;
    sim.fault(json!({ "kind": "terminate_user_streams" })).await;
    let frame = user.next().await.unwrap();
    assert_eq!(
        (&frame["subscriptionId"], &frame["event"]["e"]),
        (&json!(0), &json!("eventStreamTerminated"))
    );
    until_hits(&sim, "terminate_user_streams", 1).await;
    sim.order(RESTING).await.ok();
    let answer = user.call("ping", json!({})).await;
    assert_eq!(answer["status"], 200, "no event may come after the end: {answer}");
    sim.stop().await;
}

#[tokio::test]
async fn a_halted_symbol_shows_the_status_it_was_given_and_still_takes_cancels() {
    let dir = TempDir::new().unwrap();
    let sim = Sim::start(still(dir.path())).await;
    for status in ["HALT", "BREAK", "CANCEL_ONLY"] {
        let id = sim.order(RESTING).await.ok()["orderId"].as_u64().unwrap();
        sim.fault(json!({ "kind": "halt_symbol", "symbol": "BTCUSDT", "status": status }))
            .await;
        let info = sim.get("/api/v3/exchangeInfo?symbol=BTCUSDT").await.ok();
        assert_eq!(info["symbols"][0]["status"], status);
        let refused = sim.order(RESTING).await;
        assert_eq!(
            (refused.code(), &refused.body["msg"]),
            (-1013, &json!("Market is closed."))
        );
        sim.signed("DELETE", "/api/v3/order", &format!("symbol=BTCUSDT&orderId={id}"))
            .await
            .ok();
        let gone = request(sim.admin, "DELETE", "/admin/faults?kind=halt_symbol", None, "").await;
        let removed: Value = gone.unwrap().ok();
        assert_eq!(removed["removed"][0]["hits"], 1, "{status}");
    }
    assert!(
        request(sim.rest, "GET", "/api/v3/ping", Some(KEY), "")
            .await
            .unwrap()
            .status
            == 200
    );
    sim.stop().await;
}
